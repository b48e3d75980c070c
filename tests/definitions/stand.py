"""A gateway in front of servers whose definitions change while it runs."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
from base64 import b64encode
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.mcp.stand import TOP, serving, wait_until_ready
from tests.ports import free_port
from tests.serving import oncegate

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path
    from typing import Literal

POLICY = """\
p, role:any, *, mcp/*, list, -, allow, -
p, role:any, *, mcp/*/**, *, -, allow, redact=off
"""
PAY: dict[str, Any] = {
    "name": "charge_card",
    "description": "Charge a card.",
    "inputSchema": {
        "type": "object",
        "properties": {"amount": {"type": "integer", "maximum": 1000}, "note": {"type": "string"}},
        "required": ["amount"],
    },
}
LIST: dict[str, Any] = {
    "name": "list_charges",
    "description": "List charges.",
    "inputSchema": {"type": "object"},
    "outputSchema": {"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """The running gateway, and the servers' folder."""

    folder: Path
    port: int
    _serving: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        """Serve."""
        self._serving.enter_context(serving(self.folder))
        wait_until_ready(f"http://127.0.0.1:{self.port}/readyz", self.folder / "gateway.log")

    def stop(self) -> None:
        """Serve no more."""
        self._serving.close()

    def restart(self) -> None:
        """Begin anew on the same store."""
        self.stop()
        self.start()

    def show(self, server: str = "shop", **shown: object) -> None:
        """Make a server show this from now on."""
        place = self.folder / server
        place.mkdir(exist_ok=True)
        (place / "fresh.json").write_text(
            json.dumps({"tools": [PAY, LIST], "results": {"list_charges": {"count": 0}}, **shown}), encoding="utf-8"
        )
        (place / "fresh.json").replace(place / "shown.json")

    def calls(self, server: str = "shop") -> list[str]:
        """Return the calls a server has executed."""
        effects = self.folder / server / "calls.txt"
        return effects.read_text(encoding="utf-8").splitlines() if effects.exists() else []

    def oncegate(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the owner's socket."""
        return oncegate(*words, "-c", str(self.folder / "oncegate.yaml"))

    def shown(self, name: str, *more: str, server: str = "shop") -> dict[str, Any]:
        """Return what `oncegate tools show` says."""
        done = self.oncegate("tools", "show", server, name, "--json", *more)
        assert done.returncode == 0, done.stderr
        return cast("dict[str, Any]", json.loads(done.stdout))

    def audited(self, event: str) -> list[dict[str, Any]]:
        """Return the audit's records of one event."""
        done = self.oncegate("audit", "export")
        assert done.returncode == 0, done.stderr
        records = [json.loads(line)["record"] for line in done.stdout.splitlines()]
        return [record for record in records if record["event"] == event]

    def client(self, place: str = "/mcp/shop", mode: Literal["auto", "legacy"] = "auto") -> Client:
        """Return an official client, not yet connected; without a cache of its own."""
        return Client(streamable_http_client(f"http://127.0.0.1:{self.port}{place}"), mode=mode)


async def listed(client: Client) -> set[str]:
    """Return the names of the tools a client sees."""
    return {one.name for one in (await client.list_tools(cache_mode="bypass")).tools}


@contextmanager
def shop(folder: Path, servers: str = "", options: str = "") -> Generator[Shop]:
    """Run the gateway with the server `shop` until the block ends; `servers` are further YAML lines."""
    found = Shop(folder=folder, port=free_port())
    found.show()
    command = [sys.executable, "-m", "tests.definitions.changing_server", str(folder / "shop")]
    child = subprocess.Popen(command, cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with child:
        try:
            assert child.stdout is not None
            url = f"http://127.0.0.1:{int(child.stdout.readline())}/mcp"
            (folder / "policies").mkdir()
            shutil.copy(TOP / "policies" / "redaction.yaml", folder / "policies" / "redaction.yaml")
            (folder / "policies" / "shop.csv").write_text(POLICY, encoding="utf-8")
            (folder / "oncegate.key").write_bytes(b64encode(secrets.token_bytes(32)))
            (folder / "oncegate.key").chmod(0o600)
            (folder / "oncegate.yaml").write_text(
                f"version: 1\ndevelopment: true\nlisten: 127.0.0.1:{found.port}\nadmin: 127.0.0.1:{free_port()}\n"
                "state: sqlite:///oncegate.db\nsecret_key: file:oncegate.key\npolicies: policies\n"
                "redaction: {default_profile: 'off'}\n"
                f"mcp_servers:\n  shop: {{url: '{url}'{options}}}\n{servers}",
                encoding="utf-8",
            )
            found.start()
            yield found
        finally:
            found.stop()
            child.terminate()
