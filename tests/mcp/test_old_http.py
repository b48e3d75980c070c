"""Servers of the oldest HTTP transport: what is known when they refuse, end, or name an address elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from gateway.call import NotSent, Sent
from gateway.mcp.old_http import OldHttpUpstream
from tests.mcp.stand import fixture
from tests.mcp.test_processes import request
from tests.mcp.wire import LEGACY

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from tests.mcp.wire import Tree

pytestmark = pytest.mark.anyio

_OPENING: Tree = {
    "jsonrpc": "2.0", "id": "mine", "method": "initialize",
    "params": {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "wire", "version": "1"}},
}  # fmt: skip


async def opened(one: OldHttpUpstream) -> bytes:
    async with asyncio.timeout(60):
        answer = await one.send(request(_OPENING), seconds_max=60)
        try:
            return b"".join([part async for part in answer.chunks()])
        finally:
            await answer.aclose()


@contextlib.asynccontextmanager
async def scripted(stream: bytes, posted: bytes = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n") -> (
    AsyncGenerator[tuple[str, Callable[[], int]]]
):  # fmt: skip
    """Serve `stream` to every GET and `posted` to every POST; also say how many POSTs came."""
    posts = 0
    serving: list[asyncio.Task[None] | None] = []
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal posts
        serving.append(asyncio.current_task())
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                if (await reader.readuntil(b"\r\n\r\n")).startswith(b"POST"):
                    posts += 1
                    writer.write(posted)
                else:
                    writer.write(head + stream)
                await writer.drain()
                await reader.read()  # until the other side has gone
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/sse", lambda: posts
    async with asyncio.timeout(60):
        await asyncio.gather(*(task for task in serving if task is not None))


@pytest.mark.requirement("MCP-36")
async def test_a_request_is_answered_on_the_stream_under_its_own_id(tmp_path: Path) -> None:
    with fixture(tmp_path / "effects", "tests.mcp.fixture_old") as url:
        one = OldHttpUpstream("s", url.replace("/mcp", "/sse"))
        async with contextlib.aclosing(one):
            assert b'"id":"mine"' in await opened(one)


@pytest.mark.requirement("MCP-36")
@pytest.mark.parametrize(
    "address", ["http://evil.example/messages", "//evil.example/messages", "https://127.0.0.1/", "http://127.0.0.1:1/x"]
)
async def test_an_address_elsewhere_gets_nothing(address: str) -> None:
    async with scripted(f"event: endpoint\ndata: {address}\n\n".encode()) as (url, posts):
        one = OldHttpUpstream("s", url)
        async with contextlib.aclosing(one):
            with pytest.raises(NotSent, match="named no usable address"):
                await opened(one)
        assert posts() == 0


@pytest.mark.requirement("MCP-36")
async def test_a_server_that_refuses_a_message_has_executed_nothing() -> None:
    refusal = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
    async with scripted(b"event: endpoint\ndata: /messages?s=1\n\n", refusal) as (url, posts):
        one = OldHttpUpstream("s", url)
        async with contextlib.aclosing(one):
            with pytest.raises(NotSent, match="refused a message with 404"):
                await opened(one)
        assert posts() == 1


@pytest.mark.requirement("MCP-36")
@pytest.mark.parametrize("posted", [b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n", b""])
async def test_a_server_that_fails_with_a_message_leaves_it_in_doubt(posted: bytes) -> None:
    async with scripted(b"event: endpoint\ndata: /messages\n\n", posted or b"nonsense\r\n\r\n") as (url, _):
        one = OldHttpUpstream("s", url)
        async with contextlib.aclosing(one):
            with pytest.raises(Sent):
                await opened(one)


@pytest.mark.requirement("MCP-36")
async def test_garbage_on_the_stream_is_skipped() -> None:
    said = b"event: endpoint\ndata: /m\n\nevent: message\ndata: {garbage\n\ndata: [1]\n\nevent: other\ndata: 7\n\n"
    answer = b'data: {"jsonrpc":"2.0","id":"g1","result":{"protocolVersion":"2025-11-25"}}\n\n'
    async with scripted(said + answer) as (url, _):
        one = OldHttpUpstream("s", url)
        async with contextlib.aclosing(one):
            with pytest.raises(TimeoutError):  # what came before the question answers nothing
                async with asyncio.timeout(0.2):
                    await opened(one)


@pytest.mark.requirement("MCP-36")
async def test_a_server_without_such_a_stream_is_said_to_have_none() -> None:
    one = OldHttpUpstream("s", "http://127.0.0.1:9/sse")
    async with contextlib.aclosing(one):
        with pytest.raises(NotSent):
            await opened(one)
