"""A gateway of two companies, each with an issuer of its own, and MCP servers of both behind it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.mcp.stand import TOP, fixture, serving, wait_until_ready
from tests.ports import free_port
from tests.serving import oncegate

if TYPE_CHECKING:
    import subprocess
    from collections.abc import AsyncGenerator, Generator, Mapping
    from pathlib import Path

_CONFIG = """version: 1
listen: 127.0.0.1:{port}
admin: 127.0.0.1:{admin}
public_url: http://127.0.0.1:{port}
state: sqlite:///oncegate.db?synchronous=NORMAL
secret_key: file:oncegate.key
policies: policies
trust_domains:
  acme: {{issuers: [{{issuer: "https://idp.acme.example", jwks_file: acme.json, algorithms: [ES256], audience: gate}}]}}
  partner:
    issuers: [{{issuer: "https://login.partner.example", jwks_file: partner.json, algorithms: [ES256], audience: gate}}]
mcp_servers:
  web: {{url: "{url}", domain: acme, tools: {{echo: {{effect: safe}}}}}}
  mail: {{url: "{url}", domain: acme}}
  shared: {{url: "{url}", domain: partner, tools: {{echo: {{effect: safe}}}}}}
redaction: {{default_profile: "off"}}
{more}"""
_ISSUERS = {"acme": "https://idp.acme.example", "partner": "https://login.partner.example"}


@dataclass
class Company:
    """The running gateway."""

    folder: Path
    port: int
    admin: int
    effects: Path
    keys: Mapping[str, ec.EllipticCurvePrivateKey]
    #: what answers to the official client said of the mode they were decided in
    said: list[str] = field(default_factory=list[str])

    @property
    def url(self) -> str:
        """Where agents call."""
        return f"http://127.0.0.1:{self.port}"

    def token(self, agent: str, domain: str = "acme", **claims: object) -> str:
        """Return an access token of the domain's own issuer."""
        now = int(time.time())
        said = {
            "iss": _ISSUERS[domain],
            "sub": agent,
            "aud": "gate",
            "iat": now,
            "exp": now + 600,
            "jti": os.urandom(8).hex(),
        }
        return jwt.encode({**said, **claims}, self.keys[domain], "ES256", {"typ": "at+jwt", "kid": domain})

    def run(self, agent: str, run_id: str | None = None) -> dict[str, Any]:
        """Open a run, or its next attempt."""
        headers = {"authorization": f"Bearer {self.token(agent)}"}
        body = {} if run_id is None else {"id": run_id}
        answer = httpx.post(f"{self.url}/runs", json=body, headers=headers, timeout=60)
        assert answer.status_code in {200, 201}, answer.text
        return answer.json()

    def readiness(self) -> dict[str, Any]:
        """Return what the gateway says of itself."""
        return httpx.get(f"{self.url}/readyz", timeout=60).json()

    def counted(self) -> list[str]:
        """Return the effects so far."""
        return self.effects.read_text(encoding="utf-8").splitlines() if self.effects.exists() else []

    def oncegate(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the owner's socket, or on the files."""
        return oncegate(*words)

    def audited(self) -> list[dict[str, Any]]:
        """Return the audit so far."""
        done = self.oncegate("audit", "export", "-c", str(self.folder / "oncegate.yaml"))
        assert done.returncode == 0, done.stderr
        return [json.loads(line)["record"] for line in done.stdout.splitlines()]

    @asynccontextmanager
    async def client(self, server: str, token: str) -> AsyncGenerator[Client]:
        """Give the official MCP client with nothing but a URL and a token."""

        async def noted(response: httpx2.Response) -> None:
            self.said.append(response.headers.get("oncegate-policy", ""))

        hooks: dict[str, list[Any]] = {"response": [noted]}
        headers = {"authorization": f"Bearer {token}"}
        async with (
            httpx2.AsyncClient(headers=headers, event_hooks=hooks, timeout=60) as http,
            Client(streamable_http_client(f"{self.url}/mcp/{server}", http_client=http)) as client,
        ):
            yield client


@contextmanager
def company(folder: Path, policy: str, conditions: str = "", *, more: str = "", **files: str) -> Generator[Company]:
    """Run everything in `folder` until the block ends; `files` go beside the policy, `__` standing for a dot."""
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in _ISSUERS}
    with fixture(folder / "effects.txt") as direct:
        found = Company(folder, free_port(), free_port(), folder / "effects.txt", keys)
        (folder / "policies").mkdir()
        shutil.copy(TOP / "policies" / "redaction.yaml", folder / "policies" / "redaction.yaml")
        (folder / "policies" / "policy.csv").write_text(policy, encoding="utf-8")
        if conditions:
            (folder / "policies" / "conditions.yaml").write_text(conditions, encoding="utf-8")
        for name, text in files.items():
            path = folder / name.replace("__", ".").replace("_in_", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        (folder / "oncegate.key").write_bytes(base64.b64encode(os.urandom(32)))
        (folder / "oncegate.key").chmod(0o600)
        for name, key in keys.items():
            jwk = json.loads(ECAlgorithm.to_jwk(key.public_key()))
            (folder / f"{name}.json").write_text(json.dumps({"keys": [jwk | {"kid": name, "use": "sig"}]}))
        text = _CONFIG.format(port=found.port, admin=found.admin, url=direct, more=more)
        (folder / "oncegate.yaml").write_text(text, encoding="utf-8")
        with serving(folder):
            wait_until_ready(f"{found.url}/readyz", folder / "gateway.log")
            yield found
