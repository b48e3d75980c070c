"""A gateway process in front of the bank and of a model, and its agent with bare HTTP."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import httpx

from gateway.admin.address import socket_path
from tests.gateway.running import RunningGateway
from tests.mcp.wire import called, headers_for, read

if TYPE_CHECKING:
    from pathlib import Path

    from tests.mcp.wire import Answered, Tree

KEY = "dev.oncegate/idempotency-key"
#: Only `charge` is over soon: it is for charges that come to no answer. `charge_patient` leaves a test the time to see
#: both sides of the call's own time on a busy machine; the others are never to run out.
SERVER = """
mcp_servers:
  bank:
    url: "%(url)s"
    era: modern
    domain: acme
    relist: 1d
    tools:
      charge:
        timeout: 400ms
        verify: {tool: list_charges, items: /charges, key: /key, settle: %(settle)s}
      charge_patient:
        timeout: 3s
        verify: {tool: list_charges, items: /charges, key: /key, settle: %(settle)s}
      charge_like:
        timeout: 2s
        verify:
          tool: list_charges
          arguments: {customer: /customer}
          items: /charges
          match: {/amount: /amount, /customer: /customer}
          id: /charge_id
          settle: 0s
      charge_mute: {timeout: 30s}
      charge_keyed: {effect: keyed, timeout: 30s, key_ttl: 1h}
      charge_safe: {effect: safe, timeout: 30s}
      list_charges: {effect: safe, timeout: 30s}
%(more)s
"""
RULES = """p, role:clerk, acme, mcp/bank, list, -, allow, -
p, role:clerk, acme, mcp/bank/tool/*, call, -, allow, %(redact)s
"""


@dataclass
class Desk:
    """The running gateway with what its agent does."""

    gateway: RunningGateway

    def call(
        self, tool: str, arguments: Tree, *, key: str | None = None, run: Tree | None = None, timeout: float = 30
    ) -> Answered:
        """Call a tool of the bank, as one HTTP request."""
        message = called(tool, arguments, meta=None if key is None else {KEY: key})
        token = self.gateway.keys["billing"] if run is None else cast("str", run["token"])
        headers = headers_for(message) | {"authorization": f"Bearer {token}"}
        url = f"{self.gateway.url}/mcp/bank"
        return read(httpx.post(url, content=json.dumps(message), headers=headers, timeout=timeout))

    def look(self) -> None:
        """Let the gateway see the bank's tools, so that nothing but the call itself is sent later."""
        assert "lists no tool" in self.call("nothing", {}).text

    def admin(self, path: str, method: str = "GET", body: object = None) -> httpx.Response:
        """Ask the owner's socket."""
        transport = httpx.HTTPTransport(uds=str(socket_path(self.gateway.folder / "oncegate.db")))
        with httpx.Client(transport=transport, base_url="http://oncegate/api/v1", timeout=60) as client:
            return client.request(method, path, json=body)

    def calls(self, **query: str) -> list[Tree]:
        """Return the newest calls that are no verify calls."""
        found = cast("list[Tree]", self.admin(f"/calls?{httpx.QueryParams({'limit': '500', **query})}").json())
        return [one for one in found if "list_charges" not in str(one["resource"])]

    def newest(self) -> Tree:
        """Return the newest call that is no verify call."""
        return self.calls()[0]

    def shown(self, call_id: object) -> Tree:
        """Return one call whole."""
        return cast("Tree", self.admin(f"/calls/{call_id}").json())

    def audited(self, event: str) -> list[dict[str, object]]:
        """Return the audit's records of one kind."""
        done = self.gateway.oncegate("audit", "export")
        assert done.returncode == 0, done.stderr
        records = [cast("dict[str, object]", json.loads(line)["record"]) for line in done.stdout.splitlines()]
        return [one for one in records if one["event"] == event]


def desk_in(  # noqa: PLR0917 - what a test may want otherwise
    folder: Path, url: str, model: str = "http://127.0.0.1:9/v1", redact: str = "-", settle: str = "0s", more: str = ""
) -> Desk:
    """Return a desk in `folder`, not started yet; with `redact` its gateway finds personal data."""
    inspects = redact != "-"
    gateway = RunningGateway(folder, model, inspects=inspects)
    with gateway.config.open("a", encoding="utf-8") as config:
        config.write(SERVER % {"url": url, "settle": settle, "more": more})
    rules = (folder / "policies" / "rules.csv").read_text(encoding="utf-8")
    gateway.write_policies(rules + RULES % {"redact": redact})
    return Desk(gateway)
