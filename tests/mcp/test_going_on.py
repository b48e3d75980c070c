"""What goes on in spite of everything: cut streams, forgotten sessions, clients that leave or cancel."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest

from gateway.call import Refusal
from gateway.config import McpServer
from gateway.definitions.book import Book
from gateway.mcp.message import shown_name
from gateway.mcp.shape import REQUEST_SHAPE
from gateway.mcp.talk import plain, result_of
from gateway.mcp.target import ServerTarget
from gateway.protocols.mcp import McpAdapter
from gateway.trail import Trail
from redaction.walk import texts_in
from tests.definitions.shelf import Shelf
from tests.mcp.stand import eventually
from tests.mcp.test_adapter import SESSIONS, adapter, read
from tests.mcp.test_passing import KEY, seen
from tests.mcp.wire import called, headers_for, initialized, modern, post
from tests.mcp.wire import read as read_answer

if TYPE_CHECKING:
    from gateway.call import UpstreamRequest, UpstreamResponse
    from tests.mcp.stand import Stand
    from tests.mcp.wire import Answered, Tree

CONFIG = McpServer(name="s", url="http://127.0.0.1:9/mcp", era="modern")


def old_call(tool: str, arguments: Tree | None = None, *, ident: object = 1, key: str | None = None) -> Tree:
    """Return a tool call of the older era."""
    params: Tree = {"name": tool, "arguments": arguments or {}}
    if key is not None:
        params["_meta"] = {KEY: key}
    return {"jsonrpc": "2.0", "id": ident, "method": "tools/call", "params": params}


@pytest.mark.requirement("MCP-19")
def test_a_call_whose_stream_is_closed_midway_has_its_outcome(running: Stand) -> None:
    url = running.server("everything")
    headers = initialized(url)
    answered = post(url, old_call("test_reconnection", key="reconnected"), headers)
    assert answered.text == "the rest was fetched"
    again = post(url, old_call("test_reconnection", key="reconnected"), headers)
    assert (again.text, again.headers["oncegate-replayed"]) == ("the rest was fetched", "true")


@pytest.mark.requirement("MCP-20")
def test_a_session_that_its_server_forgot_is_opened_again(running: Stand) -> None:
    url = running.server("everything")
    headers = initialized(url)
    subscribed: Tree = {"jsonrpc": "2.0", "id": 3, "method": "resources/subscribe",
                        "params": {"uri": "test://watched-resource"}}  # fmt: skip
    assert "result" in post(url, subscribed, headers).last
    first = seen(post(url, old_call("echo"), headers))["headers"]["mcp-session-id"]
    for _ in range(2):
        ended = httpx.delete(running.direct, headers=headers | {"mcp-session-id": first}, timeout=60)
        assert ended.status_code in {200, 404}  # the server has forgotten it either way: now, or by itself before
        second = seen(post(url, old_call("echo"), headers))["headers"]["mcp-session-id"]
        assert second != first
        first = second
    assert "result" in post(url, {"jsonrpc": "2.0", "id": 4, "method": "tools/list"}, headers).last


@pytest.mark.requirement("MCP-20")
def test_a_session_that_is_ended_by_its_client_stays_ended(running: Stand) -> None:
    url = running.server("everything")
    headers = initialized(url)
    assert httpx.delete(url, headers=headers, timeout=60).status_code == 200
    assert post(url, old_call("echo"), headers).status == 404
    assert httpx.delete(url, headers=headers, timeout=60).status_code == 404


def _leave(url: str, message: Tree, headers: dict[str, str]) -> None:
    with suppress(httpx.ReadTimeout):
        httpx.post(url, content=json.dumps(message), headers=headers, timeout=httpx.Timeout(10, read=0.3))


@pytest.mark.requirement("MCP-21")
@pytest.mark.parametrize("server", ["everything", "spoken"])
def test_a_once_call_whose_client_has_gone_is_finished_and_journaled(running: Stand, server: str) -> None:
    url, word = running.server(server), f"left-{server}"
    message = called("late", {"word": word}, meta={KEY: word})
    _leave(url, message, headers_for(message))
    answered = post(url, message)
    assert (answered.text, answered.headers["oncegate-replayed"]) == (f"done: {word}", "true")
    effects = running.effects if server == "everything" else running.folder / "spoken.txt"
    assert effects.read_text(encoding="utf-8").count(f"done {word}") == 1


@pytest.mark.requirement("MCP-21")
@pytest.mark.parametrize("server", ["everything", "spoken"])
def test_a_once_call_that_is_cancelled_is_in_doubt_and_not_made_again(running: Stand, server: str) -> None:
    url, word = running.server(server), f"cancelled-{server}"
    headers = initialized(url)
    effects = running.effects if server == "everything" else running.folder / "spoken.txt"
    answers: list[Answered] = []
    calling = threading.Thread(
        target=lambda: answers.append(post(url, old_call("late", {"word": word}, ident=77, key=word), headers))
    )
    calling.start()
    assert eventually(lambda: effects.exists() and f"begun {word}" in effects.read_text(encoding="utf-8"))
    cancel: Tree = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 77}}
    assert post(url, cancel, headers).status == 202
    calling.join(60)
    assert "error" in answers[0].last or answers[0].last["result"]["isError"]
    answered = post(url, old_call("late", {"word": word}, key=word), headers)
    assert "in_doubt" in answered.text
    assert effects.read_text(encoding="utf-8").count(f"begun {word}") == 1


@pytest.mark.requirement("MCP-22")
def test_listening_takes_nothing_from_calls(running: Stand) -> None:
    url = running.server("everything")
    message = modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}})

    async def listen() -> list[int]:
        async with AsyncExitStack() as stack, asyncio.timeout(60):
            client = await stack.enter_async_context(
                httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None))
            )
            statuses: list[int] = []
            for _ in range(65):
                asked = client.stream("POST", url, content=json.dumps(message), headers=headers_for(message))
                answer = await stack.enter_async_context(asked)
                media = answer.headers["content-type"]
                statuses.append(200 if media.startswith("text/event-stream") else 429)
            content = called("echo")
            sent = await client.post(url, content=json.dumps(content), headers=headers_for(content))
            assert "result" in read_answer(sent).last
            return statuses

    assert asyncio.run(listen()) == [200] * 64 + [429]


@pytest.mark.requirement("MCP-23")
def test_a_resources_uri_is_shown_by_scheme_and_digest() -> None:
    call = read(adapter(), modern("resources/read", {"uri": "file:///home/ada.lovelace/diary"}))
    assert call.resource == "mcp/s/resource/file/-/home/ada.lovelace/diary"
    trail = Trail(call=call)
    shown = json.dumps([trail.ended("passed"), trail.refused(Refusal(code="denied", message="no", status=403))])
    assert "mcp/s/resource/file/~" in shown
    assert "ada" not in shown
    assert "ada" not in trail.evidence("passed").resource
    assert shown_name(call.resource, b"1") == shown_name(call.resource, b"1") != shown_name(call.resource, b"2")
    assert shown_name("mcp/s/tool/resource", b"1") == "mcp/s/tool/resource"


class Recording:
    """An upstream that keeps what it is sent and answers with nothing in particular."""

    def __init__(self) -> None:
        self.sent: list[UpstreamRequest] = []

    async def send(self, request: UpstreamRequest, *, seconds_max: float) -> UpstreamResponse:
        del seconds_max
        self.sent.append(request)
        return plain(result_of(1, {}))

    async def aclose(self) -> None:
        return


@pytest.mark.requirement("MCP-24")
@pytest.mark.parametrize("traced", [True, False])
@pytest.mark.parametrize("method", ["tools/call", "prompts/get"])
def test_the_trace_context_a_server_sees_is_the_gateways(method: str, *, traced: bool) -> None:
    upstream = Recording()
    target = ServerTarget(name="s", config=CONFIG, upstream=upstream, timeout=lambda resource, tool: 60.0)  # noqa: ARG005 - a callback
    book = Book(Shelf(), {"s": CONFIG})
    one = McpAdapter({"s": target}, SESSIONS, lambda principal, resource, domain, action: True, book, depth_max=64)  # noqa: ARG005 - a callback
    mine = {"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01", "tracestate": "of=mine", "baggage": "who=mine"}
    call = read(one, modern(method, {"name": "t"}, meta={**mine, "com.example/own": 1}))
    request = one.request(call, call.tree, upstream_key=None)
    ours = "00-" + "c" * 32 + "-" + "d" * 16 + "-01"
    if traced:
        request = replace(request, headers=(*request.headers, (b"traceparent", ours.encode())))
    asyncio.run(_send(one, call, request))
    meta = json.loads(upstream.sent[0].body)["params"]["_meta"]
    assert meta.get("traceparent") == (ours if traced else None)
    assert meta["com.example/own"] == 1
    assert "mine" not in json.dumps(meta)


async def _send(one: McpAdapter, call: object, request: UpstreamRequest) -> None:
    answer = await one.upstream(call).send(request, seconds_max=60)  # pyright: ignore[reportArgumentType] - the adapter's own call
    await answer.aclose()


@pytest.mark.requirement("MCP-13")
def test_the_envelope_is_structure_and_vendors_meta_is_text() -> None:
    message = called("t", {"who": "Ada"}, meta={"com.example/own": "Ada"})
    pointers = {text.pointer for text in texts_in(message, REQUEST_SHAPE) if not text.is_key}
    assert pointers == {"/params/arguments/who", "/params/_meta/com.example~1own"}


@pytest.mark.requirement("MCP-25")
def test_what_nobody_knows_passes_where_a_line_allows_it(running: Stand) -> None:
    url = running.server("everything")
    for message in (modern("tasks/get", {"taskId": "1"}), modern("com.example/echo")):
        allowed = post(url, message)
        assert allowed.code == -32601  # the server's own word for a method it does not have
        denied = post(running.server("narrow"), message)
        assert denied.last["error"]["data"]["code"] == "denied"
    told: Tree = {"jsonrpc": "2.0", "method": "notifications/com.example/went"}
    headers = initialized(running.server("narrow"))
    assert post(running.server("narrow"), told, headers).status == 403
    assert post(url, told, initialized(url)).status == 202
