"""One HTTP/1.1 connection to an upstream: httptools reads, back-pressure both ways, nothing retried here.

The request is whole and bounded before it is written, so what the transport buffers is bounded by it; an
upstream that does not read it runs into the exchange's time limit.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections import deque
from typing import TYPE_CHECKING, Final, cast

import httptools

from gateway.call import Sent

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.call import Headers

#: An answer's head, interim answers included; also its trailers (RFC 9110 section 5.4 leaves the bound to us).
HEAD_BYTES_MAX: Final = 64 * 1024
#: How long an upstream may say nothing in the middle of a body; models think longer than networks stall.
SILENCE_SECONDS_MAX: Final = 300.0
#: Unread body at which reading pauses, and at which it goes on.
BODY_BYTES_HIGH: Final = 256 * 1024
_BODY_BYTES_LOW: Final = 64 * 1024
_VERSIONS: Final = frozenset({"1.0", "1.1"})
_CONTINUE: Final = 100
_SWITCHING: Final = 101
_OK: Final = 200
_BODILESS: Final = frozenset({204, 304})
#: A peer that vanished without a word is noticed after about a minute of nothing.
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
_CUT: Final = "the upstream closed the connection before the end of its answer"
_LONG: Final = f"the answer's headers are longer than {HEAD_BYTES_MAX} bytes"
_MORE: Final = "the upstream sent more than its answer"


class Connection(asyncio.Protocol):
    """A connection and the one exchange that is on it."""

    transport: asyncio.Transport

    def __init__(self, silence_seconds_max: float = SILENCE_SECONDS_MAX) -> None:
        self._silence_seconds_max = silence_seconds_max
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._poll = select.poll()
        self._head: asyncio.Future[tuple[int, Headers]] | None = None
        self._fields: list[tuple[bytes, bytes]] = []
        self._unframed_bytes = 0
        self._in_head = True
        self._body: deque[bytes] = deque()
        self._body_bytes = 0
        self._arrival: asyncio.Future[None] | None = None
        self._take: Callable[[bytes], None] | None = None
        self._broken: Exception | None = None
        self._poured: list[bytes] = []
        self._paused = False
        self._until_close = False
        self._ended = False
        self._expects_body = True
        self._error: str | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._seconds_max = 0.0
        self._heard = 0.0
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
        """Whether nothing we have read suggests that the peer has closed it or has sent what nobody asked for."""
        return self._error is None and not self._ended and not self.transport.is_closing()

    @property
    def quiet(self) -> bool:
        """Whether the kernel holds nothing unread: no end, no reset and no byte that the loop has not seen yet."""
        return not self._poll.poll(0)

    async def exchange(
        self, request: bytes, *, expects_body: bool, deadline: float, seconds_max: float
    ) -> tuple[int, Headers]:
        """Write `request`, return status and headers; `deadline` (loop time) bounds the whole answer.

        `seconds_max` is the same bound as people are told it.

        Asked of a connection just found `usable` and `quiet`: whatever goes wrong from here on raises `Sent`.
        """
        head = self._head = self._loop.create_future()
        self._fields, self._unframed_bytes, self._in_head = [], 0, True
        self.complete = self._until_close = False
        self._expects_body = expects_body
        self._heard = self._loop.time()
        self._deadline, self._seconds_max = deadline, seconds_max
        self._watch_from(self._heard)
        self.transport.write(request)
        try:
            return await head
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
        if len(self._body) == 1:
            part = self._body.popleft()
        else:
            part = b"".join(self._body)
            self._body.clear()
        self._body_bytes -= len(part)
        if self._paused and self._body_bytes < _BODY_BYTES_LOW and self.usable:
            self._paused = False
            self._heard = self._loop.time()
            self.transport.resume_reading()
        return part

    async def pour(self, take: Callable[[bytes], None]) -> None:
        """Give each part of the body to `take` as it arrives. Raises `Sent` when it is cut, and what `take` raises."""
        while self._body:
            take(await self.read())
        self._broken, self._take = None, take
        try:
            while not (self.complete or self._error is not None or self._broken is not None):
                self._arrival = self._loop.create_future()
                await self._arrival
        finally:
            self._take = None
        if self._broken is not None:
            raise self._broken
        if self._error is not None and not self.complete:
            raise Sent(self._error)

    def close(self) -> None:
        """Drop the connection."""
        self._rest()
        self.transport.abort()

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport = cast("asyncio.Transport", transport)
        peer = cast("socket.socket", transport.get_extra_info("socket"))
        self._poll.register(peer.fileno(), select.POLLIN)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE:
            if hasattr(socket, name):  # not every system lets a program say how often
                peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived."""
        if self._head is None or self.complete:
            self._fail(_MORE)
            self.close()
            return
        self._heard = self._loop.time()
        # heads, trailers and chunk extensions: whatever is not body may not go on for ever
        self._unframed_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail("the upstream switched protocols")
        except httptools.HttpParserError:
            self._fail("the upstream's answer is no valid HTTP")
        if self._poured:
            self._pour()
        if self._unframed_bytes > HEAD_BYTES_MAX and not self.complete:
            self._fail(_LONG)
        if self._error is not None:
            self.close()

    def eof_received(self) -> bool:
        """Note that the peer said it was done (on TLS: with a close_notify), and let the transport close."""
        self._ended = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        if self._until_close and self._ended and exc is None and self._error is None and not self.complete:
            # neither length nor chunks: an orderly end of the connection is the end of the body (RFC 9112
            # sections 6.3 and 9.8); a reset, or TLS without close_notify, is a cut
            self._finish()
        self._fail(_CUT)
        self._rest()

    # -- httptools callbacks

    def on_message_begin(self) -> None:
        """Take the beginning of an answer; a second one was never asked for."""
        if self.complete:
            self._fail(_MORE)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field; trailers are not used."""
        if self._in_head:
            self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Take the end of the head; interim answers are skipped (RFC 9110 section 15.2)."""
        status = self._parser.get_status_code()
        if self.complete or self._head is None or self._strange(status) or status < _OK:
            return
        self._in_head = False
        self._measure_head()
        framed = self._framed()
        bodiless = not self._expects_body or status in _BODILESS
        self._until_close = not (bodiless or framed)
        # after HEAD the parser waits for a body that does not come, so nothing else may be read with it
        self.keep_alive = self._parser.should_keep_alive() and (
            status in _BODILESS or not (bodiless or self._until_close)
        )
        if self._error is None and not self._head.done():
            self._head.set_result((status, tuple(self._fields)))
        if bodiless:
            self._finish()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        if self.complete:
            return
        self._unframed_bytes = 0
        if self._take is not None:
            self._poured.append(body)
            return
        self._body.append(body)
        self._body_bytes += len(body)
        self._arrived()
        if self._body_bytes > BODY_BYTES_HIGH and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def _pour(self) -> None:
        """Give what has arrived at once on at once: an upstream that is ahead costs one step for many chunks."""
        parts, self._poured = self._poured, []
        if self._take is None:
            return
        try:
            self._take(parts[0] if len(parts) == 1 else b"".join(parts))
        except Exception as error:  # noqa: BLE001 - it belongs to whoever pours, not to the parser
            self._broken, self._take = error, None
            self._arrived()

    def on_message_complete(self) -> None:
        """Take the end of the answer."""
        if self._in_head:
            self._fields = []  # an interim answer has ended, the real one follows
        elif not self._until_close and self._error is None:
            self._finish()

    def _strange(self, status: int) -> bool:
        if status < _CONTINUE or self._parser.get_http_version() not in _VERSIONS:
            self._fail("the upstream's answer is no valid HTTP")
        elif status == _SWITCHING:
            self._fail("the upstream switched protocols")
        return self._error is not None

    def _measure_head(self) -> None:
        arrived, self._unframed_bytes = self._unframed_bytes, 0
        if arrived <= HEAD_BYTES_MAX:
            return
        # perhaps body of the same segment
        if sum(len(name) + len(value) for name, value in self._fields) > HEAD_BYTES_MAX:
            self._fail(_LONG)

    def _framed(self) -> bool:
        coding, codings, lengths = b"", 0, 0
        for name, value in self._fields:
            if name == b"content-length":
                lengths += 1
            elif name == b"transfer-encoding":
                coding, codings = value, codings + 1
        if codings and (codings > 1 or lengths or coding.strip().lower() != b"chunked"):
            # two ends for one answer, or a coding we do not know: what request smuggling is made of
            self._fail("the upstream's answer is framed in a way that cannot be trusted")
        return bool(codings or lengths)

    # -- what both sides wait for

    def _finish(self) -> None:
        self.complete = True
        self._rest()
        self._arrived()

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _watch(self) -> None:
        now = self._loop.time()
        heard = now if self._in_head or self._paused else self._heard
        if now >= self._deadline:
            self._fail(f"no complete answer within {self._seconds_max:g} s")
            self.close()
        elif now - heard >= self._silence_seconds_max:
            self._fail(f"no part of the answer for {self._silence_seconds_max:g} s")
            self.close()
        else:
            self._watch_from(heard)

    def _watch_from(self, heard: float) -> None:
        self._timer = self._loop.call_at(min(self._deadline, heard + self._silence_seconds_max), self._watch)

    def _arrived(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def _fail(self, reason: str) -> None:
        self._error = self._error or reason
        if self._head is not None and not self._head.done():
            self._head.set_exception(Sent(self._error))
        self._arrived()
