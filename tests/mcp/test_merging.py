"""Lists of several servers as one: in pages, without look-alikes, heard again when a server comes back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import body
from gateway.call import Reply
from gateway.config import ConfigInvalid, load
from gateway.config.likeness import skeleton
from gateway.mcp import merge
from gateway.mcp.listening import joined_stream
from gateway.mcp.message import Message
from gateway.mcp.replies import Replied
from gateway.mcp.talk import messages_of
from gateway.sse import event
from tests.mcp.wire import modern

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tests.mcp.wire import Tree

pytestmark = pytest.mark.anyio


@pytest.mark.requirement("MCP-34")
@given(st.integers(0, 2 * merge.PAGE_ITEMS_MAX + 2))
def test_pages_of_a_merged_list_are_the_list(count: int) -> None:
    pages: dict[str, list[Tree]] = {"s": [{"tools": [{"name": f"t{number:05}"} for number in range(count)]}]}
    listed = merge.merged_list("tools/list", pages, [], {"s"})
    got: list[object] = []
    cursor: object = None
    while True:
        page = merge.page_of("tools/list", listed, cursor)
        assert page is not None
        got += page["tools"]  # pyright: ignore[reportOperatorIssue, reportUnknownVariableType] - a list
        if (cursor := page.get("nextCursor")) is None:
            break
    assert got == listed["tools"]


@pytest.mark.requirement("MCP-34")
def test_a_cursor_of_another_list_is_refused() -> None:
    listed = merge.merged_list("tools/list", {"s": [{"tools": [{"name": "t"}]}]}, [], {"s"})
    assert merge.page_of("tools/list", listed, "made up") is None
    assert merge.page_of("tools/list", listed, 7) is None


@pytest.mark.requirement("MCP-32")
@pytest.mark.parametrize("other", ["read-file", "Read_File", "read.file", "readI_file", "read_flle"])
def test_tools_of_one_server_that_look_alike_are_left_out_and_that_is_said(other: str) -> None:
    first = {"readI_file": "read1_file", "read_flle": "read_fI1e"}.get(other, "read_file")
    pages: dict[str, list[Tree]] = {"s": [{"tools": [{"name": first}, {"name": other}, {"name": "write"}]}]}
    listed = merge.merged_list("tools/list", pages, [], {"s", "t"})
    assert listed["tools"] == [{"name": "s__write"}]
    assert listed["_meta"]["dev.oncegate/left-out"] == sorted([f"s__{first}", f"s__{other}"])  # pyright: ignore[reportIndexIssue] - an object


@pytest.mark.requirement("MCP-32")
def test_numbered_names_are_no_look_alikes() -> None:
    names = ["op_1_1", "op_11", "v1", "v2", "list_a", "list_b", "mail", "mall"]
    assert len({skeleton(name) for name in names}) == len(names)


@pytest.mark.requirement("MCP-32")
@pytest.mark.parametrize(("first", "second"), [("files", "Files"), ("fi1es", "fiIes"), ("pay-ments", "pay_ments")])
def test_servers_whose_names_look_alike_are_refused_at_start(tmp_path: Path, first: str, second: str) -> None:
    path = tmp_path / "oncegate.yaml"
    servers = "".join(f"  {name}: {{url: 'http://127.0.0.1:9/mcp'}}\n" for name in (first, second))
    path.write_text(f"version: 1\ndevelopment: true\nmcp_servers:\n{servers}", encoding="utf-8")
    with pytest.raises(ConfigInvalid, match="looks like"):
        load(path)


@pytest.mark.requirement("MCP-29")
def test_a_list_lives_as_long_as_its_shortest_part_and_one_without_a_life_has_none() -> None:
    lives: list[tuple[list[Tree], int]] = [
        ([{"tools": [], "ttlMs": 5}, {"tools": [], "ttlMs": 9}], 5),
        ([{"tools": [], "ttlMs": 5}, {"tools": []}], 0),
        ([{"tools": [], "ttlMs": -5}], 0),
        ([], 0),
    ]
    for pages, life in lives:
        assert merge.merged_list("tools/list", {"s": pages}, [], {"s"})["ttlMs"] == life


@pytest.mark.requirement("MCP-33")
async def test_a_server_that_comes_back_is_heard_again_and_may_have_changed() -> None:
    asked: list[str] = []
    back = asyncio.Event()

    async def listen(server: str, params: Tree, gone: asyncio.Event) -> Reply:
        asked.append(server)
        if server == "b" and asked.count("b") == 1:
            error: Tree = {"code": -31000, "message": "x", "data": {"code": "upstream_unreachable"}}
            return Reply(status=200, headers=_JSON, body=body.encode({"jsonrpc": "2.0", "id": 1, "error": error}))
        if server == "c":
            error = {"code": -31001, "message": "x", "data": {"code": "denied"}}
            return Reply(status=200, headers=_JSON, body=body.encode({"jsonrpc": "2.0", "id": 1, "error": error}))
        if server == "b":
            back.set()
        return Reply(status=200, headers=_STREAM, frames=_acknowledging(params, gone))

    asking = modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, ident="mine")
    message = Message(
        tree=asking, kind="request", era="modern", method="subscriptions/listen", id="mine", params=asking["params"]
    )
    replied = Replied(joined_stream(message, ["a", "b", "c"], Ear(listen), ()))
    async with asyncio.timeout(60):
        told = messages_of(replied)
        assert (await anext(told))["method"] == "notifications/subscriptions/acknowledged"
        changed = await anext(told)
        assert back.is_set()
        assert changed["method"] == "notifications/tools/list_changed"
        assert "mine" in body.encode(changed).decode()
        await told.aclose()
        await replied.aclose()
    assert (asked.count("a"), asked.count("b"), asked.count("c")) == (1, 2, 1)


@pytest.mark.requirement("MCP-33")
async def test_a_client_that_leaves_leaves_every_server() -> None:
    left: list[bool] = []

    async def listen(server: str, params: Tree, gone: asyncio.Event) -> Reply:
        del server, gone
        never = asyncio.Event()
        return Reply(status=200, headers=_STREAM, frames=_acknowledging(params, never), delivered=left.append)

    asking = modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, ident="mine")
    message = Message(
        tree=asking, kind="request", era="modern", method="subscriptions/listen", id="mine", params=asking["params"]
    )
    replied = Replied(joined_stream(message, ["a", "b"], Ear(listen), ()))
    async with asyncio.timeout(60):
        told = messages_of(replied)
        assert (await anext(told))["method"] == "notifications/subscriptions/acknowledged"
        following = asyncio.ensure_future(anext(told, None))
        await replied.aclose()
        assert await following is None
    assert left == [False, False]


@pytest.mark.requirement("MCP-33")
async def test_a_server_that_is_blocked_is_left_at_once_and_heard_again_when_that_is_lifted() -> None:
    asked: list[str] = []

    async def listen(server: str, params: Tree, gone: asyncio.Event) -> Reply:
        asked.append(server)
        return Reply(status=200, headers=_STREAM, frames=_acknowledging(params, gone))

    asking = modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, ident="mine")
    message = Message(
        tree=asking, kind="request", era="modern", method="subscriptions/listen", id="mine", params=asking["params"]
    )
    ear = Ear(listen)
    replied = Replied(joined_stream(message, ["a", "b"], ear, ()))
    async with asyncio.timeout(60):
        told = messages_of(replied)
        assert (await anext(told))["method"] == "notifications/subscriptions/acknowledged"
        ear.block("b")
        following = asyncio.ensure_future(anext(told))
        await ear.asked_whether("b", 2)
        assert (asked.count("a"), asked.count("b")) == (1, 1)
        ear.blocked.clear()
        # what it told meanwhile was not heard, so anything may have changed
        assert (await following)["method"] == "notifications/tools/list_changed"
        assert (asked.count("a"), asked.count("b")) == (1, 2)
        await told.aclose()
        await replied.aclose()


class Ear:
    """Hears servers by a function; those in `blocked` may not be heard."""

    def __init__(self, listen: Callable[[str, Tree, asyncio.Event], Awaitable[Reply]]) -> None:
        self._listen = listen
        self.blocked: set[str] = set()
        self._held: dict[str, Callable[[], None]] = {}
        self._asked: list[str] = []
        self._again = asyncio.Event()

    async def listen(self, server: str, params: Tree, gone: asyncio.Event) -> Reply:
        return await self._listen(server, params, gone)

    def may(self, server: str) -> bool:
        self._asked.append(server)
        self._again.set()
        return server not in self.blocked

    def hold(self, server: str, cut: Callable[[], None]) -> Callable[[], None]:
        self._held[server] = cut
        return lambda: None

    def block(self, server: str) -> None:
        self.blocked.add(server)
        self._held[server]()

    async def asked_whether(self, server: str, times: int) -> None:
        while self._asked.count(server) < times:
            self._again.clear()
            await self._again.wait()


_JSON = ((b"content-type", b"application/json"),)
_STREAM = ((b"content-type", b"text/event-stream"),)


async def _acknowledging(params: Tree, gone: asyncio.Event) -> AsyncIterator[bytes]:
    told = {"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
            "params": {"notifications": params["notifications"]}}  # fmt: skip
    yield event(body.encode(told))
    await gone.wait()
