"""Sessions of the older era that the gateway holds: what a server tells beside its answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from gateway.mcp.held import HeldSessions
from gateway.upstream.http import HttpUpstream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from gateway.call import UpstreamRequest, UpstreamResponse
    from gateway.mcp.talk import Tree

pytestmark = pytest.mark.anyio

_OPENED = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "late", "version": "1"}}
_ASKS: Tree = {"jsonrpc": "2.0", "id": "e1", "method": "elicitation/create", "params": {"message": "who?"}}


@dataclass(slots=True)
class _Late:
    """A server whose GET stream opens when `opens` is set; each is asked for `asked` times."""

    opens: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    streams: list[asyncio.StreamWriter] = field(default_factory=list[asyncio.StreamWriter])
    connections: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections.append(task)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while not await self._answered(reader, writer):
                pass
        writer.close()

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; returns whether it was the last one of its connection."""
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET"):
            self.asked.set()
            await self.opens.wait()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
            self.streams.append(writer)
            return await reader.read() == b""
        size = next((int(one[15:]) for one in head.lower().split(b"\r\n") if one.startswith(b"content-length:")), 0)
        if b'"initialize"' in await reader.readexactly(size):
            said = json.dumps({"jsonrpc": "2.0", "id": 0, "result": _OPENED}).encode()
            named = b"content-type: application/json\r\nmcp-session-id: one\r\n"
            writer.write(b"HTTP/1.1 200 OK\r\n%scontent-length: %d\r\n\r\n%s" % (named, len(said), said))
        else:
            writer.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
        return False

    def tell(self, message: Tree) -> None:
        """Say this on each open stream."""
        for one in self.streams:
            one.write(b"data: " + json.dumps(message).encode() + b"\n\n")


@asynccontextmanager
async def _sessions(late: _Late) -> AsyncGenerator[HeldSessions]:
    server = await asyncio.start_server(late, "127.0.0.1", 0)
    upstream = HttpUpstream(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp")

    async def send(request: UpstreamRequest, seconds_max: float) -> UpstreamResponse:
        return await upstream.send(request, seconds_max=seconds_max)

    sessions = HeldSessions(send)
    try:
        yield sessions
    finally:
        late.opens.set()
        await sessions.aclose()
        await upstream.aclose()
        server.close()
        while late.connections:
            await asyncio.wait_for(late.connections.pop(), 60)


@pytest.mark.requirement("MCP-44")
async def test_a_server_whose_stream_opens_late_is_waited_for_and_heard() -> None:
    late = _Late()
    async with _sessions(late) as sessions:
        opening = asyncio.ensure_future(sessions.of("here", (), {"capabilities": {}}, None))
        await asyncio.wait_for(late.asked.wait(), 60)
        done, _ = await asyncio.wait({opening}, timeout=1.5)
        assert not done  # a call sent now could ask where nobody listens
        late.opens.set()
        held = await asyncio.wait_for(opening, 60)
        heard: asyncio.Queue[Tree] = asyncio.Queue()
        held.hearing.append(heard.put_nowait)
        late.tell(_ASKS)
        assert await asyncio.wait_for(heard.get(), 60) == _ASKS


@pytest.mark.requirement("MCP-44")
async def test_a_server_that_is_silent_until_it_has_something_to_tell_delays_its_first_session_only() -> None:
    late = _Late()
    loop = asyncio.get_running_loop()
    async with _sessions(late) as sessions:
        began = loop.time()
        await asyncio.wait_for(sessions.of("one", (), {"capabilities": {}}, None), 60)
        first = loop.time() - began
        began = loop.time()
        await asyncio.wait_for(sessions.of("two", (), {"capabilities": {}}, None), 60)
        # bounds, not speeds: the first waits seconds for its stream, the second a part of one
        assert first - (loop.time() - began) > 2.0
