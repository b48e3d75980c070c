"""An upstream over real HTTP whose every byte is decided by a test: what it answers, and how that arrives.

It speaks HTTP/1.1 on a socket by itself, because servers that are meant to work cannot be told to stop in the
middle of a byte sequence.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

_JSON = "application/json"
_SSE = "text/event-stream"


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def tree(self) -> dict[str, object]:
        return cast("dict[str, object]", json.loads(self.body)) if self.body else {}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is answered, and the faults in how it arrives.

    `piece_bytes` is how many bytes are written at a time; after `cut_at` bytes of the body the connection is
    dropped; before byte `hold_at` of it (-1: before the head) nothing goes on until `hold` is set.
    """

    status: int = 200
    body: bytes = b""
    media: str = _JSON
    headers: tuple[tuple[str, str], ...] = ()
    piece_bytes: int | None = None
    cut_at: int | None = None
    hold: threading.Event | None = None
    hold_at: int = -1
    gzipped: bool = False
    #: drops the connection instead of answering
    silent: bool = False


def plain(tree: object, *, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """Return an answer of JSON."""
    return Answer(status=status, body=json.dumps(tree).encode(), headers=headers)


def streamed(body: bytes) -> Answer:
    """Return an answer of server-sent events."""
    return Answer(body=body, media=_SSE)


@dataclass
class Emulator:
    """Serves from a thread. `script` decides each answer, `received` keeps what came."""

    script: Callable[[Received], Answer]
    received: list[Received] = field(default_factory=list[Received])
    port: int = 0

    def __post_init__(self) -> None:
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._ready.wait(60)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._run())

    async def _run(self) -> None:
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, limit=64 * 1024 * 1024)
        self.port = cast("int", server.sockets[0].getsockname()[1])
        self._ready.set()
        await self._stop.wait()
        server.close()
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while (received := await _read(reader)) is not None:
                self.received.append(received)
                if not await _write(self.script(received), writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            self._writers.discard(writer)
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Received | None:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method, path, headers, body)


async def _write(answer: Answer, writer: asyncio.StreamWriter) -> bool:
    """Write an answer; return whether the connection goes on."""
    if answer.hold is not None and answer.hold_at < 0:
        await asyncio.to_thread(answer.hold.wait, 60)
    if answer.silent:
        return False
    body = gzip.compress(answer.body) if answer.gzipped else answer.body
    length = "transfer-encoding: chunked" if answer.media == _SSE else f"content-length: {len(body)}"
    coding = ["content-encoding: gzip"] if answer.gzipped else []
    named = [f"{name}: {value}" for name, value in answer.headers]
    head = [f"HTTP/1.1 {answer.status} Said", f"content-type: {answer.media}", length, *coding, *named]
    writer.write("\r\n".join([*head, "", ""]).encode("latin-1"))
    await writer.drain()
    end = len(body) if answer.cut_at is None else min(answer.cut_at, len(body))
    step = answer.piece_bytes or max(1, len(body))
    held = answer.hold is None or answer.hold_at < 0
    at = 0
    while at < end:
        upto = min(at + step, end)
        if not held and upto > answer.hold_at:
            upto = max(at, answer.hold_at)
        if upto > at:
            await _piece(body[at:upto], writer, chunked=answer.media == _SSE)
        at = upto
        if not held and at >= answer.hold_at and answer.hold is not None:
            await asyncio.to_thread(answer.hold.wait, 60)
            held = True
    if answer.cut_at is not None:
        return False
    if answer.media == _SSE:
        writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True


async def _piece(piece: bytes, writer: asyncio.StreamWriter, *, chunked: bool) -> None:
    writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
    await writer.drain()
