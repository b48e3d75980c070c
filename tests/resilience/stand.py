"""A gateway process in front of scripted models and a bank, whose configuration a test writes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import httpx
from openai import OpenAI

from gateway.admin.address import socket_path
from tests.gateway.running import RunningGateway
from tests.mcp.wire import called, headers_for, read
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.mcp.wire import Answered, Tree

HEAD = """version: 1
listen: 127.0.0.1:%(port)d
admin: 127.0.0.1:%(admin)d
state: sqlite:///oncegate.db?synchronous=NORMAL
secret_key: file:oncegate.key
policies: policies
trust_domains: {acme: {api_keys_file: keys.yaml}}
redaction: {default_profile: "off"}
"""
RULES = """p, role:clerk, acme, model/*, call, -, allow, redact=off
p, role:clerk, acme, mcp/bank, list, -, allow, -
p, role:clerk, acme, mcp/bank/tool/*, call, -, allow, -
p, role:any, acme, run/*, create, -, allow, -
g, agent:billing, role:clerk, acme
g, agent:shipping, role:clerk, acme
"""


@dataclass
class Stand:
    """The running gateway with what its agents do."""

    gateway: RunningGateway
    _clients: list[OpenAI] = field(default_factory=list[OpenAI])

    def sdk(self) -> OpenAI:
        made = OpenAI(base_url=f"{self.gateway.url}/v1", api_key=self.gateway.keys["billing"], max_retries=0)
        self._clients.append(made)
        return made

    def close(self) -> None:
        """Close the clients and stop the gateway."""
        for client in self._clients:
            client.close()
        self.gateway.stop()

    def ask(
        self, model: str, content: str = "hi", *, headers: Mapping[str, str] | None = None, **more: object
    ) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": content}], **more}
        return self.gateway.chat(body, headers=headers)

    def call(self, tool: str, arguments: Tree) -> Answered:
        """Call a tool of the bank, as one HTTP request."""
        message = called(tool, arguments)
        headers = headers_for(message) | {"authorization": f"Bearer {self.gateway.keys['billing']}"}
        return read(
            httpx.post(f"{self.gateway.url}/mcp/bank", content=json.dumps(message), headers=headers, timeout=60)
        )

    def admin(self, path: str) -> object:
        """Ask the owner's socket."""
        transport = httpx.HTTPTransport(uds=str(socket_path(self.gateway.folder / "oncegate.db")))
        with httpx.Client(transport=transport, base_url="http://oncegate/api/v1", timeout=60) as client:
            return client.get(path).json()

    def newest(self) -> Tree:
        """Return the newest call."""
        return cast("list[Tree]", self.admin("/calls?limit=1"))[0]

    def outcomes(self) -> list[dict[str, object]]:
        """Return the audit's records of how calls ended, oldest first."""
        done = self.gateway.oncegate("audit", "export")
        assert done.returncode == 0, done.stderr
        records = [cast("dict[str, object]", json.loads(line)["record"]) for line in done.stdout.splitlines()]
        return [one for one in records if one["event"] == "outcome"]


def stand_in(folder: Path, config: str, *, rules: str = RULES, profiles: str | None = None) -> Stand:
    """Return a stand in `folder`, not started yet; `config` is everything after the listeners and keys."""
    gateway = RunningGateway(folder, "http://127.0.0.1:9/v1", inspects=False)
    head = HEAD % {"port": gateway.port, "admin": free_port()}
    gateway.config.write_text(head + config, encoding="utf-8")
    gateway.write_policies(rules)
    if profiles is not None:
        (folder / "policies" / "redaction.yaml").write_text(profiles, encoding="utf-8")
    return Stand(gateway)
