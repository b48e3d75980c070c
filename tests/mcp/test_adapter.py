"""The adapter by itself: whose session it is, whose word counts, what belongs to a step."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable.seal import Keyring
from gateway import body
from gateway.call import NotSent
from gateway.config import McpServer, Tool
from gateway.definitions.book import Book
from gateway.mcp.message import Unanswerable, read_message, subjects_of
from gateway.mcp.mirror import mirrored_headers, unmirrored_header
from gateway.mcp.sessions import Session, Sessions
from gateway.mcp.target import ServerTarget
from gateway.protocols.mcp import McpAdapter
from tests.definitions.shelf import Shelf
from tests.gateway.exchange import BILLING, exchange
from tests.mcp.wire import called, headers_for, modern

if TYPE_CHECKING:
    from gateway.call import Call, Headers, UpstreamRequest, UpstreamResponse
    from policy.decision import Principal
    from tests.mcp.wire import Tree

SESSIONS = Sessions(Keyring((bytes(32),)))


class Nowhere:
    """An upstream nobody reaches."""

    async def send(self, request: UpstreamRequest, *, seconds_max: float) -> UpstreamResponse:
        del request, seconds_max
        raise NotSent("nobody is there")

    async def aclose(self) -> None:
        return


def adapter(*, trusted: bool = False) -> McpAdapter:
    """Return an adapter of one server whose tool `kept` is configured."""
    config = McpServer(
        name="s", url="http://127.0.0.1:9/mcp", trust_annotations=trusted, tools={"kept": Tool(name="kept")}
    )
    target = ServerTarget(name="s", config=config, upstream=Nowhere(), timeout=lambda resource, tool: 60.0)  # noqa: ARG005 - a callback
    book = Book(Shelf(), {"s": config})
    return McpAdapter({"s": target}, SESSIONS, lambda principal, resource, domain, action: True, book, depth_max=64)  # noqa: ARG005 - a callback


def wire(message: Tree, **more: str) -> Headers:
    headers = headers_for(message) | {name.replace("_", "-"): value for name, value in more.items()}
    return tuple((name.encode(), value.encode()) for name, value in headers.items())


def read(one: McpAdapter, message: Tree, **more: str) -> Call:
    return one.read(exchange(message, path="/mcp/s", headers=wire(message, **more)))


@pytest.mark.requirement("MCP-04")
@pytest.mark.parametrize(
    "other",
    [
        replace(BILLING, agent="other"),
        replace(BILLING, domain="elsewhere"),
        replace(BILLING, user="ada"),
        replace(BILLING, actors=("broker",)),
    ],
)
def test_a_session_shown_by_anybody_else_is_none(other: Principal) -> None:
    opened = Session(upstream_id="upstream-session", opened_with={"protocolVersion": "2025-11-25", "capabilities": {}})
    given_out = SESSIONS.wrap(opened, "s", BILLING)
    assert SESSIONS.unwrap(given_out, "s", BILLING) == opened
    assert SESSIONS.unwrap(given_out, "s", other) is None
    assert SESSIONS.unwrap(given_out, "t", BILLING) is None
    assert "upstream" not in given_out


@pytest.mark.requirement("MCP-15")
@pytest.mark.parametrize("trusted", [True, False])
def test_annotations_make_a_tool_repeatable_only_where_they_are_trusted(*, trusted: bool) -> None:
    one = adapter(trusted=trusted)
    listing = read(one, modern("tools/list"))
    hints = {
        "looks": {"readOnlyHint": True},
        "sets": {"idempotentHint": True},
        "acts": {},
        "kept": {"readOnlyHint": True},
    }
    tools = [{"name": name, "annotations": said} for name, said in hints.items()]
    reader = one.reader(listing)
    reader.begin(200, ((b"content-type", b"application/json"),))
    reader.feed(body.encode({"jsonrpc": "2.0", "id": 1, "result": {"tools": tools}}))
    reader.end()
    effects = {name: read(one, called(name)).effect for name in (*hints, "unlisted")}
    said = {"looks": "safe", "sets": "keyed"} if trusted else {"looks": "once", "sets": "once"}
    assert effects == said | {"acts": "once", "kept": "once", "unlisted": "once"}


@pytest.mark.requirement("MCP-11")
def test_tracing_and_the_clients_own_numbers_do_not_change_a_step() -> None:
    one = adapter()
    plain = read(one, called("kept", {"a": 1}))
    traced = read(one, called("kept", {"a": 1}, ident="x", meta={"progressToken": 7, "traceparent": "00-1-2-01"}))
    vendor = read(one, called("kept", {"a": 1}, meta={"com.example/tenant": "t"}))
    assert plain.canonical == traced.canonical != vendor.canonical


@pytest.mark.requirement("MCP-11")
def test_the_clients_key_never_leaves_in_whatever_request_it_stands() -> None:
    one = adapter()
    message = modern("prompts/get", {"name": "p"}, meta={"dev.oncegate/idempotency-key": "mine"})
    call = read(one, message, idempotency_key="mine")
    sent = one.request(call, call.tree, upstream_key=None)
    assert b"mine" not in sent.body
    assert b"idempotency-key" not in {name for name, _ in sent.headers}


@pytest.mark.requirement("MCP-12")
@pytest.mark.parametrize("name", ["authorization", "cookie", "x-api-key", "host", "oncegate-run", "oncegate-principal"])
def test_no_header_of_the_caller_is_sent_but_those_of_the_protocol(name: str) -> None:
    one = adapter()
    call = read(one, called("kept"), **{name: "of-the-caller"})
    sent = one.request(call, call.tree, upstream_key="k")
    assert b"of-the-caller" not in b"".join(value for _, value in sent.headers)
    assert {key for key, _ in sent.headers} == {
        b"accept", b"content-type", b"mcp-protocol-version", b"mcp-method", b"mcp-name",
    }  # fmt: skip


@pytest.mark.requirement("MCP-16")
def test_a_round_has_a_key_of_its_own_and_always_the_same() -> None:
    one = adapter()
    meta: Tree = {"dev.oncegate/idempotency-key": "k"}
    rounds = [modern("tools/call", {"name": "kept", "requestState": state}, meta=meta) for state in ("a", "b", "a")]
    first, second, again = (read(one, message).key for message in rounds)
    assert first == again != second
    assert read(one, called("kept", meta=meta)).key == "k"


@pytest.mark.requirement("MCP-02")
@pytest.mark.parametrize(
    ("method", "params", "subject"),
    [
        ("tools/call", {"name": "a/b"}, ("mcp/s/tool/a%2Fb", "call", ())),
        ("resources/subscribe", {"uri": "file:///a"}, ("mcp/s/resource/file/-/a", "read", ())),
        ("completion/complete", {"ref": {"type": "ref/prompt", "name": "p"}}, ("mcp/s/prompt/p", "get", ())),
        ("completion/complete", {"ref": {"type": "ref/resource", "uri": "a://b"}}, ("mcp/s/resource/a/b", "read", ())),
        ("tools/list", {}, ("mcp/s", "list", ())),
        ("tasks/get", {"taskId": "1"}, ("mcp/s/method/tasks/get", "call", ())),
        (
            "subscriptions/listen",
            {"notifications": {"resourceSubscriptions": ["a://b", "a://c"]}},
            ("mcp/s/resource/a/b", "read", ("mcp/s/resource/a/c",)),
        ),
        ("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, ("mcp/s", "list", ())),
    ],
)
def test_every_request_has_the_subject_policy_decides(method: str, params: Tree, subject: tuple[object, ...]) -> None:
    message = read_message({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, ())
    assert subjects_of("s", message) == subject


@pytest.mark.requirement("MCP-02")
@pytest.mark.parametrize(
    ("method", "subject"),
    [
        ("notifications/initialized", "mcp/s"),
        ("notifications/com.example/go", "mcp/s/method/notifications/com.example/go"),
    ],
)
def test_a_notification_nobody_knows_is_decided_like_an_unknown_method(method: str, subject: str) -> None:
    assert subjects_of("s", read_message({"jsonrpc": "2.0", "method": method}, ()))[0] == subject


@pytest.mark.requirement("MCP-13")
@given(st.text(max_size=20), st.integers(), st.booleans())
def test_what_a_client_mirrors_of_its_arguments_is_what_is_sent(text: str, number: int, flag: bool) -> None:  # noqa: FBT001 - drawn
    params: Tree = {"name": "t", "arguments": {"a": text, "b": {"c": number}, "d": flag}}
    request: dict[str, object] = {"method": "tools/call", "params": params}
    first = mirrored_headers(params, request, ())
    assert [name for name, _ in first] == [b"mcp-method", b"mcp-name"]
    mirrored = tuple(
        (name, value)
        for name, value in mirrored_headers(
            params, request, ((b"mcp-param-b", str(number).encode()), (b"mcp-param-d", str(flag).lower().encode()))
        )
        if name.startswith(b"mcp-param-")
    )
    assert unmirrored_header(params, mirrored) is None
    assert dict(mirrored) == {b"mcp-param-b": str(number).encode(), b"mcp-param-d": str(flag).lower().encode()}


@pytest.mark.requirement("MCP-02")
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["jsonrpc", "id", "method", "params", "result", "error", "x"]), inner)
        ),
    )
)
def test_any_tree_is_a_message_or_refused(tree: Any) -> None:
    if isinstance(tree, dict):
        tree = {"jsonrpc": "2.0"} | cast("dict[str, object]", tree)
    try:
        message = read_message(tree, ())
    except Unanswerable as error:
        assert -32799 < error.code < -32000  # noqa: PT017 - either way is right
    else:
        assert message.kind in {"request", "notification", "response"}
