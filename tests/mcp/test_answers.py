"""What a server's answer proves, however it is cut into pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import body
from gateway.call import Refusal, Sent
from gateway.mcp.turn import Turn
from gateway.protocols.mcp_answer import ANSWER_SHAPE, McpReader
from gateway.sse import event
from redaction.walk import texts_in
from tests.mcp.test_adapter import adapter, read
from tests.mcp.wire import called, modern

if TYPE_CHECKING:
    from gateway.call import Call, Unit
    from tests.mcp.wire import Tree

STREAM = ((b"content-type", b"text/event-stream"),)
JSON = ((b"content-type", b"application/json"),)
RESULT: Tree = {"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": "done"}]}}
PROGRESS: Tree = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}}
ASKING: Tree = {"jsonrpc": "2.0", "id": 7, "method": "sampling/createMessage", "params": {}}


def begun(call: Call, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = JSON) -> McpReader:
    reader = adapter().reader(call)
    reader.begin(status, headers)
    return reader


def failing(code: int) -> Tree:
    return {"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": "no"}}


@pytest.mark.requirement("MCP-17")
@pytest.mark.parametrize(
    ("status", "message", "kind", "form"),
    [
        (200, RESULT, "outcome", "result"),
        (200, {**RESULT, "result": {"content": [], "isError": True}}, "outcome", "result"),
        (200, failing(-32603), "outcome", "error"),
        (200, failing(-32602), "outcome", "error"),
        (400, failing(-32020), "not_executed", "error"),
        (400, failing(-32022), "not_executed", "error"),
        (404, failing(-32601), "not_executed", "error"),
        (401, failing(-1), "not_executed", "error"),
        (429, failing(-1), "not_executed", "error"),
        (409, failing(-1), "unknown", "error"),
        (408, failing(-1), "unknown", "error"),
        (500, failing(-32603), "unknown", "error"),
        (503, failing(-32603), "unknown", "error"),
    ],
)
def test_only_proof_of_an_outcome_counts_as_one(status: int, message: Tree, kind: str, form: str) -> None:
    reader = begun(read(adapter(), called("kept")), status)
    reader.feed(body.encode(message))
    (unit,) = reader.end()
    verdict = reader.verdict()
    assert (unit.final, unit.hold, verdict.kind, verdict.form, verdict.status) == (True, True, kind, form, status)


@pytest.mark.requirement("MCP-17")
@pytest.mark.parametrize("content", [b"", b" ", b"{", b"[]", b"null", b'{"jsonrpc":"2.0","id":1,"id":1,"result":{}}'])
def test_an_answer_that_is_none_proves_nothing(content: bytes) -> None:
    reader = begun(read(adapter(), called("kept")))
    assert reader.feed(content) == []
    with pytest.raises(Sent):
        reader.end()


@pytest.mark.requirement("MCP-17")
@pytest.mark.parametrize("content", [b"<html>oops</html>", b""])
def test_an_error_page_is_no_outcome(content: bytes) -> None:
    reader = begun(read(adapter(), called("kept")), 502, ((b"content-type", b"text/html"),))
    reader.feed(content)
    (unit,) = reader.end()
    assert (unit.raw, reader.verdict().kind) == (b"", "unknown")


@pytest.mark.requirement("MCP-17")
def test_a_stream_that_ends_before_its_response_proves_nothing() -> None:
    reader = begun(read(adapter(), called("kept")), headers=STREAM)
    assert [unit.hold for unit in reader.feed(event(body.encode(PROGRESS), event_id="1"))] == [False]
    with pytest.raises(Sent, match="closed before the response"):
        reader.end()
    assert reader.verdict().kind == "unknown"


@pytest.mark.requirement("MCP-17")
def test_a_client_that_can_ask_for_the_rest_of_a_stream_is_told_nothing_instead() -> None:
    asked: Tree = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "kept", "arguments": {}}}
    reader = begun(read(adapter(), asked), headers=STREAM)
    reader.feed(event(body.encode(PROGRESS), event_id="1"))
    assert reader.end() == []
    assert reader.verdict().kind == "unknown"


@pytest.mark.requirement("MCP-17")
@given(st.lists(st.integers(1, 40), max_size=30), st.sampled_from(["\n", "\r\n"]))
def test_cutting_a_stream_changes_nothing(cuts: list[int], end: str) -> None:
    stream = b": hello\n\n" + b"".join(
        event(body.encode(message), name="message", event_id=str(number))
        for number, message in enumerate((PROGRESS, ASKING, RESULT))
    )
    stream = stream.replace(b"\n", end.encode())
    reader = begun(read(adapter(), called("kept")), headers=STREAM)
    units: list[Unit] = []
    at = 0
    for cut in [*cuts, len(stream)]:
        units += reader.feed(stream[at : at + cut])
        at += cut
    assert b"".join(unit.raw for unit in units) == stream
    assert [(unit.tree, unit.hold, unit.final) for unit in units] == [
        (None, False, False), (PROGRESS, False, False), (ASKING, False, False), (RESULT, True, True),
    ]  # fmt: skip
    assert reader.verdict().kind == "outcome"


@pytest.mark.requirement("MCP-17")
def test_an_answer_to_another_request_is_not_ours() -> None:
    reader = begun(read(adapter(), called("kept")), headers=STREAM)
    (unit,) = reader.feed(event(body.encode(RESULT | {"id": 2})))
    assert not unit.final
    assert reader.verdict().kind == "unknown"


@pytest.mark.requirement("MCP-10")
@given(st.sets(st.sampled_from(["a", "b", "c", "d"])), st.booleans())
def test_a_list_shows_what_may_be_used_and_nothing_else(usable: set[str], streamed: bool) -> None:  # noqa: FBT001 - drawn
    call = read(adapter(), modern("tools/list"))
    turn = Turn(
        message=call.target.turn.message,  # pyright: ignore[reportAttributeAccessIssue,reportUnknownMemberType,reportUnknownArgumentType] - the adapter's own value
        method="tools/list", may_list=lambda _, item: item.get("name") in usable, seal_session=str,
    )  # fmt: skip
    reader = McpReader(turn)
    reader.begin(200, STREAM if streamed else JSON)
    tools: list[object] = [{"name": name} for name in ("a", "b", "c", "d")]
    listed: Tree = {"jsonrpc": "2.0", "id": 1, "result": {"tools": [*tools, {}, 7], "cacheScope": "public"}}
    content = body.encode(listed)
    units = [*reader.feed(event(content) if streamed else content), *reader.end()]
    shown = body.parse(units[-1].raw.removeprefix(b"data: "))
    kept = [{"name": name} for name in ("a", "b", "c", "d") if name in usable]
    assert shown == {"jsonrpc": "2.0", "id": 1, "result": {"tools": kept, "cacheScope": "private"}}


@pytest.mark.requirement("MCP-05")
def test_a_refusal_inside_a_stream_is_the_response_that_ends_it() -> None:
    one = adapter()
    refusal = Refusal(code="in_doubt", message="in_doubt: it was sent", status=409)
    frame = one.refusal_frame(refusal, read(one, called("kept", ident="x")))
    reader = begun(read(one, called("kept", ident="x")), headers=STREAM)
    (unit,) = reader.feed(frame)
    assert unit.final
    assert b"in_doubt" in unit.raw


@pytest.mark.requirement("MCP-13")
def test_what_a_client_goes_by_in_a_tools_schema_is_structure_and_descriptions_are_text() -> None:
    marked = {"type": "string", "x-mcp-header": "Ada", "format": "Ada", "description": "Ada", "default": "Ada"}
    schema = {"$schema": "Ada", "type": "object", "required": ["Ada"], "properties": {"who": marked}}
    listed = {"result": {"tools": [{"name": "Ada", "description": "Ada", "inputSchema": schema}]}}
    scanned = {text.pointer for text in texts_in(listed, ANSWER_SHAPE) if not text.is_key}
    tool = "/result/tools/0"
    who = f"{tool}/inputSchema/properties/who"
    assert scanned == {f"{tool}/description", f"{who}/description", f"{who}/default"}
