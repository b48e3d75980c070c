"""Two gateways on one database: what one took out, the other puts back; a number that cannot be is sent by neither."""

from __future__ import annotations

import contextlib
import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import httpx
import pytest

from redaction.model import default_folder
from tests.mcp.stand import gateway, write
from tests.redaction.echo import Echo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contracts.cluster import Cluster

Tree = dict[str, object]
PLACES: Tree = {
    "to": {"type": "string", "format": "email"}, "dob": {"type": "string", "format": "date"},
    "card": {"type": "integer", "maximum": 10**16 - 1}, "ssn": {"type": "string", "pattern": r"^\d{3}-\d{2}-\d{4}$"},
    "cvv": {"type": "integer"},
}  # fmt: skip
SCHEMA: Tree = {"type": "object", "properties": PLACES}
TOOL: Tree = {"name": "note", "inputSchema": SCHEMA, "outputSchema": SCHEMA}
POLICY = """\
p, role:any, *, run/**, create, -, allow, -
p, role:any, *, mcp/plain/**, *, -, allow, redact=strict
p, role:any, *, mcp/trusted/**, *, -, allow, redact=strict;restore=*@/to;restore=*@/dob;restore=*@/card;restore=*@/ssn
p, role:any, *, mcp/codes/**, *, -, allow, redact=strict;restore=SECRET@/otp;restore=SECRET@/entered
p, role:any, *, mcp/shown/**, *, -, allow, redact=strict;restore=*@agent
"""
HEADERS = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-06-18", "oncegate-run": "one"}
TYPED: Tree = {"to": "grace@example.com", "dob": "1990-12-09", "card": 5555555555554444, "ssn": "219-09-9999"}


@dataclass(frozen=True, slots=True)
class Pair:
    """Both gateways before one upstream."""

    echo: Echo
    clients: tuple[httpx.Client, httpx.Client]

    def tool(self, at: int, server: str, arguments: Tree) -> Tree:
        """Return the result of one tool call at one of the gateways."""
        message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call",
                   "params": {"name": "note", "arguments": arguments}}  # fmt: skip
        answer = self.clients[at].post(f"/mcp/{server}", json=message, headers=HEADERS)
        assert answer.status_code < 500, answer.text
        return cast("Tree", answer.json()["result"])

    def sent(self) -> Tree:
        """Return the arguments the server got last."""
        return cast("Tree", json.loads(self.echo.received[-1])["params"]["arguments"])

    def refused(self, at: int, server: str, arguments: Tree) -> str:
        """Return what a call is answered that is refused, and sent nowhere."""
        before = self.called()
        result = self.tool(at, server, arguments)
        assert result["isError"] is True
        assert self.called() == before
        return json.dumps(result)

    def called(self) -> int:
        """Return how many tool calls the server got."""
        return sum(b'"tools/call"' in one for one in self.echo.received)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[Pair]:
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    database = cluster.create("redaction_of_two")
    with Echo(TOOL) as echo, contextlib.ExitStack() as stack:
        servers = "".join(f"  {name}: {{url: '{echo.url}/mcp'}}\n" for name in ("plain", "trusted", "codes", "shown"))
        for folder in folders:
            write(folder, policy=POLICY, servers=servers, more=f'redaction: {{model: "{default_folder()}"}}\n')
            config = folder / "oncegate.yaml"
            text = config.read_text(encoding="utf-8")
            config.write_text(text.replace("sqlite:///oncegate.db", database), encoding="utf-8")
        shutil.copy(folders[0] / "oncegate.key", folders[1] / "oncegate.key")
        urls = [stack.enter_context(gateway(folder))[0] for folder in folders]
        first, second = (stack.enter_context(httpx.Client(base_url=url, timeout=60)) for url in urls)
        yield Pair(echo, (first, second))


@pytest.mark.requirement("RED-36")
def test_typed_stand_ins_made_at_one_instance_are_put_back_at_the_other(pair: Pair) -> None:
    for at, other in ((0, 1), (1, 0)):
        typed = TYPED | {"to": f"grace{at}@example.com"}
        pair.echo.structured = typed
        shown = cast("Tree", pair.tool(at, "plain", {"note": f"answer {at}"})["structuredContent"])
        assert not [name for name in TYPED if shown[name] == typed[name]]
        pair.tool(other, "plain", shown)
        assert pair.sent() == shown  # known there for what it is
        pair.tool(other, "trusted", shown)
        assert pair.sent() == typed
        pair.tool(at, "plain", typed)  # outward as inward: the same stand-ins
        assert pair.sent() == shown


@pytest.mark.requirement("RED-35")
def test_a_short_number_that_stands_for_another_reaches_no_tool_that_may_have_the_original(pair: Pair) -> None:
    pair.echo.structured = {"otp": 471199}
    otp = cast("Tree", pair.tool(0, "plain", {"note": "a code, please"})["structuredContent"])["otp"]
    assert otp != 471199
    for at in (0, 1):
        for code in (otp, 471199):
            assert "SECRET at `/params/arguments/otp`" in pair.refused(at, "codes", {"otp": code})
        for code in (otp, str(otp)):
            said = pair.refused(at, "codes", {"entered": code})
            assert "the number at `/params/arguments/entered` stands for SECRET" in said
        assert "SECRET at `/params/arguments/cvv`" in pair.refused(at, "plain", {"cvv": 123})
    unlike = 471198 if otp != 471198 else 471197
    allowed: tuple[Tree, ...] = ({"entered": unlike}, {"elsewhere": otp})
    for free in allowed:
        pair.tool(1, "codes", free)
        assert pair.sent() == free


@pytest.mark.requirement("RED-35")
def test_an_agent_that_may_see_originals_is_given_no_other_number_for_one(pair: Pair) -> None:
    pair.echo.structured = {"otp": 471199}
    said = json.dumps(pair.tool(0, "shown", {"note": "shown, please"}))
    assert "SECRET at `" in said
    assert "/otp`" in said
    assert "withheld" in said
    assert "471199" not in said
