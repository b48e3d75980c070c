"""A gateway process whose `effect` tool needs a person above an amount, and the people who may say yes."""

from __future__ import annotations

import base64
import json
import os
import shutil
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import httpx
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests import keys
from tests.mcp.stand import TOP, fixture, serving, wait_until_ready
from tests.ports import free_port
from tests.serving import oncegate

if TYPE_CHECKING:
    import subprocess
    from collections.abc import AsyncGenerator, Generator
    from pathlib import Path
    from typing import Literal

POLICY = """\
p, agent:billing, acme, mcp/pay, list, -, allow, -
p, agent:billing, acme, mcp/pay/tool/effect, call, -, allow, redact=standard;approval=finance;restore=PERSON@approver
p, agent:billing, acme, mcp/pay/tool/echo, call, -, allow, redact=off;approval=finance,four-eyes
p, role:any, acme, run/*, create, -, allow, -
p, agent:cfo, acme, admin/approvals/finance, approve, -, allow, -
p, agent:ceo, acme, admin/approvals/finance, approve, -, allow, -
p, agent:billing, acme, admin/approvals/finance, approve, -, allow, -
p, agent:clerk, acme, admin/approvals/sales, approve, -, allow, -
"""
_CONFIG = """version: 1
listen: 127.0.0.1:{port}
admin: 127.0.0.1:{admin}
state: sqlite:///oncegate.db
secret_key: file:oncegate.key
policies: policies
trust_domains: {{acme: {{api_keys_file: keys.yaml{more}}}}}
mcp_servers: {{pay: {{url: "{url}", domain: acme}}}}
approvals: {{wait: {wait}}}
"""


@dataclass
class Office:
    """The running gateway; `people` and `billing` are API keys."""

    folder: Path
    port: int
    admin: int
    effects: Path
    keys: dict[str, str] = field(default_factory=dict[str, str])

    def counted(self) -> list[str]:
        """Return the effects so far."""
        return self.effects.read_text(encoding="utf-8").splitlines() if self.effects.exists() else []

    def oncegate(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the owner's socket."""
        return oncegate(*words, "-c", str(self.folder / "oncegate.yaml"))

    def say(self, who: str, method: str, path: str, body: object = None) -> httpx.Response:
        """Ask the admin listener as one of the people."""
        headers = {"authorization": f"Bearer {self.keys[who]}"}
        url = f"http://127.0.0.1:{self.admin}/api/v1/approvals{path}"
        return httpx.request(method, url, headers=headers, json=body, timeout=60)

    def write_policy(self, text: str) -> None:
        """Replace the policy in one step, as deployments do, and wait until it is in force."""
        before = self._policy()
        fresh = self.folder / "office.csv"
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self.folder / "policies" / "office.csv")
        until = time.monotonic() + 60
        while self._policy() == before:
            assert time.monotonic() < until

    def _policy(self) -> object:
        return httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=60).json()["policies"]

    def waiting(self, who: str = "cfo") -> list[dict[str, object]]:
        """Return what waits for one of the people."""
        answer = self.say(who, "GET", "?state=pending")
        assert answer.status_code == 200, answer.text
        return cast("list[dict[str, object]]", answer.json())

    def audited(self) -> list[dict[str, object]]:
        """Return the audit so far."""
        done = self.oncegate("audit", "export")
        assert done.returncode == 0, done.stderr
        return [json.loads(line)["record"] for line in done.stdout.splitlines()]

    @asynccontextmanager
    async def client(self, mode: Literal["auto", "legacy"] = "auto") -> AsyncGenerator[Client]:
        """Give the agent's official MCP client, connected."""
        headers = {"authorization": f"Bearer {self.keys['billing']}"}
        async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
            transport = streamable_http_client(f"http://127.0.0.1:{self.port}/mcp/pay", http_client=http)
            async with Client(transport, mode=mode) as client:
                yield client


@contextmanager
def office(folder: Path, *, wait: str, more: str = "") -> Generator[Office]:
    """Run everything in `folder` until the block ends, with `more` settings of the trust domain."""
    effects = folder / "effects.txt"
    with fixture(effects) as direct:
        found = Office(folder, free_port(), free_port(), effects)
        (folder / "policies").mkdir()
        shutil.copy(TOP / "policies" / "redaction.yaml", folder / "policies" / "redaction.yaml")
        (folder / "policies" / "office.csv").write_text(POLICY, encoding="utf-8")
        (folder / "oncegate.key").write_bytes(base64.b64encode(os.urandom(32)))
        (folder / "oncegate.key").chmod(0o600)
        text = _CONFIG.format(port=found.port, admin=found.admin, url=direct, wait=wait, more=more)
        (folder / "oncegate.yaml").write_text(text, encoding="utf-8")
        found.keys["billing"] = keys.add(folder / "keys.yaml", "billing")
        for name, agent in (("cfo", "cfo"), ("ceo", "ceo"), ("clerk", "clerk"), ("requester", "billing")):
            found.keys[name] = keys.add(folder / "keys.yaml", agent, admin=True)
        with serving(folder):
            wait_until_ready(f"http://127.0.0.1:{found.port}/readyz", folder / "gateway.log")
            yield found
