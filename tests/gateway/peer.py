"""An upstream of which every byte is scripted, on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import uvloop

from gateway.call import Pouring

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from gateway.call import UpstreamResponse

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def whole(response: UpstreamResponse) -> bytes:
    """Read a body to its end: iterated on asyncio's own loop, poured on uvloop, so that both ways meet every case."""
    try:
        if isinstance(asyncio.get_running_loop(), uvloop.Loop) and isinstance(response, Pouring):
            parts: list[bytes] = []
            await response.pour(parts.append)
            return b"".join(parts)
        return b"".join([chunk async for chunk in response.chunks()])
    finally:
        await response.aclose()


@dataclass
class Talk:
    """One connection as the peer sees it; `heard` is all it has read."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    heard: bytearray = field(default_factory=bytearray)

    async def request(self) -> bytes:
        """Read one whole request, its body by its length."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.heard += head
        length = 0
        for line in head.split(b"\r\n"):
            if line.startswith(b"content-length: "):
                length = int(line.partition(b": ")[2])
        body = await self.reader.readexactly(length)
        self.heard += body
        return head + body

    async def say(self, *parts: bytes) -> None:
        """Write each part as a segment of its own."""
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()
            await asyncio.sleep(0)

    async def reset(self) -> None:
        """End the connection without a word."""
        self.writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    async def end(self) -> None:
        """End the connection in an orderly way."""
        self.writer.close()
        await self.writer.wait_closed()

    async def gone(self) -> None:
        """Wait until the other side has closed."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                continue


class Peer:
    """A listener; `script` talks on each connection, numbered from 0."""

    def __init__(self, script: Callable[[Talk, int], Awaitable[None]], tls: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._tls = tls
        self.talks: list[Talk] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        scheme = "http" if self._tls is None else "https"
        self.url = f"{scheme}://{'127.0.0.1' if self._tls is None else 'localhost'}:{self.port}/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del kind, error, trace
        self._server.close()
        for talk in self.talks:
            talk.writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = Talk(reader, writer)
        self.talks.append(talk)
        task = asyncio.ensure_future(self._run(talk, len(self.talks) - 1))
        self._tasks.add(task)

    async def _run(self, talk: Talk, number: int) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._script(talk, number)


async def serve_ok(talk: Talk, number: int) -> None:
    """Answer every request of a connection."""
    del number
    while await talk.request():
        await talk.say(OK)
