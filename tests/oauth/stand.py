"""A gateway process between an authority's clients and a server, and its agent with bare HTTP."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from tests.gateway.running import RunningGateway
from tests.mcp.wire import called, headers_for, post

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tests.mcp.wire import Answered, Tree
    from tests.oauth.authority import Authority
    from tests.oauth.ledger import Ledger

AUDIENCE = "https://gateway.example"
RULES = """p, role:any, acme, mcp/*, list, -, allow, -
p, role:any, acme, mcp/**, call, -, allow, -
p, role:any, acme, run/*, create, -, allow, -
"""


@dataclass
class Stand:
    """What runs. `authority` signs for agents and gives tokens for servers."""

    authority: Authority
    ledger: Ledger
    gateway: RunningGateway

    def token(self, audience: str | None = None, **more: object) -> str:
        """Return a token of agent `billing` for the gateway."""
        return self.authority.sign("billing", audience or AUDIENCE, **more)

    def endpoint(self, server: str) -> str:
        """Return the URL of a server behind the gateway."""
        return f"{self.gateway.url}/mcp/{server}"

    def send(self, url: str, message: Tree, token: str | None = None) -> Answered:
        """Send one message."""
        headers = headers_for(message)
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        return post(url, message, headers)

    def call(self, server: str, tool: str = "note", token: str | None = None, key: str | None = None) -> Answered:
        """Call a tool as `billing`."""
        meta = None if key is None else {"dev.oncegate/idempotency-key": key}
        return self.send(self.endpoint(server), called(tool, {"text": "x"}, meta=meta), token or self.token())

    def metadata(self, path: str = "", **headers: str) -> httpx.Response:
        """Ask for the metadata of the resource at `path`."""
        return httpx.get(f"{self.gateway.url}/.well-known/oauth-protected-resource{path}", headers=headers, timeout=60)


@contextlib.contextmanager
def stand(folder: Path, servers: str, *, authority: Authority, ledger: Ledger, more: str = "") -> Generator[Stand]:
    """Run the gateway, with `more` settings of the issuer.

    In `servers` `@ledger@`, `@token@` are the URLs of the server and the token endpoint.
    """
    gateway = RunningGateway(folder, "http://127.0.0.1:9/v1", inspects=False)
    text = gateway.config.read_text(encoding="utf-8")
    issuer = f'{{issuer: "{authority.url}", algorithms: [ES256], audience: "{AUDIENCE}"{more}}}'
    text = text.replace("acme: {api_keys_file: keys.yaml}", f"acme: {{api_keys_file: keys.yaml, issuers: [{issuer}]}}")
    servers = servers.replace("@ledger@", ledger.url).replace("@token@", f"{authority.url}/token")
    servers = servers.replace("@issuer@", authority.url)
    gateway.config.write_text(f"{text}mcp_servers:\n{servers}", encoding="utf-8")
    gateway.write_policies(RULES)
    gateway.start()
    try:
        yield Stand(authority, ledger, gateway)
    finally:
        gateway.stop()
