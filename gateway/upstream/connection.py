"""One HTTP/1.1 connection to an upstream: httptools reads, back-pressure both ways, nothing retried here."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, cast

import httptools

from gateway.call import Sent

if TYPE_CHECKING:
    from gateway.call import Headers

#: An answer's headers together (RFC 9110 section 5.4 leaves the bound to us).
HEAD_BYTES_MAX: Final = 64 * 1024
#: Unread body at which reading pauses, and at which it goes on.
_HIGH_BYTES: Final = 256 * 1024
_LOW_BYTES: Final = 64 * 1024
_SWITCHING: Final = 101
_OK: Final = 200


class Connection(asyncio.Protocol):
    """A connection and the one exchange that is on it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._head: asyncio.Future[tuple[int, Headers]] | None = None
        self._fields: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._in_head = True
        self._body: deque[bytes] = deque()
        self._body_bytes = 0
        self._arrival: asyncio.Future[None] | None = None
        self._paused = False
        self._framed = False
        self._error: str | None = None
        self.transport: asyncio.Transport | None = None
        self.complete = False
        self.keep_alive = False
        self.idle_since = 0.0

    # -- the exchange

    @property
    def drained(self) -> bool:
        """Whether the answer was read to its end, so that the connection can serve another exchange."""
        return self.complete and self.keep_alive and not self._body and not self._paused and self.usable

    @property
    def usable(self) -> bool:
        """Whether nothing suggests that the peer has closed it or has sent what nobody asked for."""
        return self.transport is not None and not self.transport.is_closing() and self._error is None

    async def exchange(self, request: bytes) -> tuple[int, Headers]:
        """Write `request`, return status and headers. From the first byte on every failure is `Sent`."""
        transport = cast("asyncio.Transport", self.transport)
        self._head = self._loop.create_future()
        self._fields, self._head_bytes, self._in_head = [], 0, True
        self.complete = self._framed = False
        self._body.clear()
        self._body_bytes = 0
        transport.write(request)
        try:
            return await self._head
        except asyncio.CancelledError:
            self.close()
            raise

    async def read(self) -> bytes:
        """Return the next part of the body, empty at its end. Raises `Sent` when it is cut."""
        while not self._body:
            if self.complete:
                return b""
            if self._error is not None:
                raise Sent(self._error)
            self._arrival = self._loop.create_future()
            await self._arrival
        part = self._body.popleft()
        self._body_bytes -= len(part)
        if self._paused and self._body_bytes < _LOW_BYTES and self.usable:
            self._paused = False
            cast("asyncio.Transport", self.transport).resume_reading()
        return part

    def close(self) -> None:
        """Drop the connection."""
        if self.transport is not None:
            self.transport.abort()

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived."""
        if self._head is None or self.complete:
            self._fail("the upstream sent more than its answer")
            self.close()
            return
        if self._in_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail("the upstream switched protocols")
        except httptools.HttpParserError:
            self._fail("the upstream's answer is no valid HTTP")
        if self._in_head and self._head_bytes > HEAD_BYTES_MAX:
            self._fail(f"the answer's headers are longer than {HEAD_BYTES_MAX} bytes")
        if self._error is not None:
            self.close()

    def eof_received(self) -> bool:
        """Let the transport close."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        del exc
        if not self._in_head and not self._framed and not self.complete and self._error is None:
            # neither length nor chunks: the end of the connection is the end of the body (RFC 9112 6.3)
            self.complete = True
            self._arrived()
        self._fail("the upstream closed the connection before the end of its answer")

    # -- httptools callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field."""
        self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Take the end of the head; interim answers are skipped (RFC 9110 section 15.2)."""
        status = self._parser.get_status_code()
        if status < _OK and status != _SWITCHING:
            return
        self._in_head = False
        names = {name for name, _ in self._fields}
        self._framed = b"content-length" in names or b"transfer-encoding" in names
        self.keep_alive = self._framed and self._parser.should_keep_alive()
        if self._head is not None and not self._head.done():
            self._head.set_result((status, tuple(self._fields)))

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._body.append(body)
        self._body_bytes += len(body)
        self._arrived()
        if self._body_bytes > _HIGH_BYTES and not self._paused and self.transport is not None:
            self._paused = True
            self.transport.pause_reading()

    def on_message_complete(self) -> None:
        """Take the end of the answer."""
        if self._in_head:
            self._fields = []  # an interim answer has ended, the real one follows
            return
        self.complete = True
        self._framed = True
        self._arrived()

    def _arrived(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def _fail(self, reason: str) -> None:
        self._error = self._error or reason
        if self._head is not None and not self._head.done():
            self._head.set_exception(Sent(reason))
        self._arrived()
