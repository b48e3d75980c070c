"""MCP servers of the oldest HTTP transport: one stream to hear them, POSTs to an address it names (MCP 2024-11-05).

The address must be of the same origin: a server cannot make the gateway send its credential elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urljoin, urlsplit

from gateway import body
from gateway.call import NotSent, Sent, UpstreamRequest, header
from gateway.mcp.peers import PRINCIPAL, Peers
from gateway.mcp.talk import whole
from gateway.mcp.wire import Wire
from gateway.sse import EventSplitter, EventTooLong
from gateway.upstream.http import HttpUpstream

if TYPE_CHECKING:
    from gateway.call import Headers, UpstreamResponse
    from gateway.mcp.peers import Peer
    from gateway.mcp.wire import Message

_log = logging.getLogger("oncegate.mcp")

#: How long a server may take to name the address for messages.
OPEN_SECONDS_MAX: Final = 10.0
_STREAM_SECONDS_MAX: Final = 24 * 3600.0
_POST_SECONDS_MAX: Final = 60.0
_REFUSAL_BYTES_MAX: Final = 256 * 1024
_OK: Final = 200
#: With these a server says that it took no message.
_REFUSED: Final = frozenset({400, 401, 403, 404, 405, 410, 413, 415, 429})
_ACCEPTED: Final = range(200, 300)
_OF_THE_MESSAGE: Final = frozenset({b"accept", b"content-type", b"last-event-id", b"traceparent", PRINCIPAL})


class OldHttpUpstream:
    """The streams of one server, behind the same method as any upstream. `url` is where it is heard."""

    def __init__(self, name: str, url: str) -> None:
        parts = urlsplit(url)
        self._name = name
        self._url = url
        self._origin = HttpUpstream(f"{parts.scheme}://{parts.netloc}")
        self._peers = Peers(name, self._begin)

    async def send(self, request: UpstreamRequest, *, seconds_max: float) -> UpstreamResponse:
        """Send one message and return its answers as a stream. Raises `NotSent`, `Sent`."""
        del seconds_max  # the caller bounds the whole exchange
        return await self._peers.send(request)

    async def aclose(self) -> None:
        """End all streams."""
        await self._peers.aclose()
        await self._origin.aclose()

    async def _begin(self, headers: Headers) -> Peer:
        own = tuple(pair for pair in headers if pair[0] not in _OF_THE_MESSAGE and not pair[0].startswith(b"mcp-"))
        heard = OldPeer(self._name, self._origin, self._url, own)
        try:
            await heard.open()
        except BaseException:
            await heard.end()
            raise
        return heard


class OldPeer:
    """One stream and the address that belongs to it."""

    def __init__(self, name: str, origin: HttpUpstream, url: str, own: Headers) -> None:
        self._name = name
        self._origin = origin
        self._url = url
        self._own = own
        self._address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._reading: asyncio.Task[None] | None = None
        self.wire = Wire(name, self._write, self._drop)

    async def open(self) -> None:
        """Open the stream and wait for the address. Raises `NotSent`."""
        headers = (*self._own, (b"accept", b"text/event-stream"))
        asked = UpstreamRequest(method="GET", path=_target(self._url), headers=headers, body=b"")
        try:
            async with asyncio.timeout(OPEN_SECONDS_MAX):
                response = await self._origin.send(asked, seconds_max=_STREAM_SECONDS_MAX)
                media = header(response.headers, b"content-type") or b""
                if response.status != _OK or not media.startswith(b"text/event-stream"):
                    await response.aclose()
                    raise NotSent(f"server `{self._name}` opened no stream; it answered {response.status}")
                self._reading = asyncio.create_task(self._read(response))
                await asyncio.shield(self._address)
        except (Sent, TimeoutError):
            # a stream has no effect: no message was sent yet
            raise NotSent(f"server `{self._name}` named no address for messages in time") from None

    async def end(self) -> None:
        """Close the stream."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading
        self.wire.over()
        self._address.cancel()

    def _drop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()

    async def _read(self, response: UpstreamResponse) -> None:
        splitter = EventSplitter()
        try:
            async for part in response.chunks():
                for one in splitter.feed(part):
                    self._take(one.name, one.data)
        except (Sent, EventTooLong, NotSent):
            _log.warning("the stream of server `%s` was cut", self._name)
        finally:
            await response.aclose()
            self.wire.over()
            if not self._address.done():
                self._address.set_exception(NotSent(f"server `{self._name}` named no usable address for messages"))
                self._address.exception()  # nobody may be waiting any more

    def _take(self, name: str, data: bytes | None) -> None:
        if data is None:
            return
        if name == "endpoint":
            if not self._address.done():
                self._address.set_result(self._named(data))
            return
        try:
            tree = body.parse(data)
        except body.MalformedBody:
            _log.warning("server `%s` sent an event that is no JSON; it is skipped", self._name)
            return
        if isinstance(tree, dict):
            self.wire.take(cast("Message", tree))

    def _named(self, data: bytes) -> str:
        address = urljoin(self._url, data.decode("utf-8", "replace").strip())
        here, there = urlsplit(self._url), urlsplit(address)
        if (here.scheme, here.netloc) != (there.scheme, there.netloc):
            raise NotSent(f"server `{self._name}` named an address elsewhere")
        return _target(address)

    async def _write(self, message: Message) -> None:
        if not self.wire.alive:
            raise NotSent(f"the stream of server `{self._name}` has ended")
        headers = (*self._own, (b"content-type", b"application/json"))
        request = UpstreamRequest(
            method="POST", path=self._address.result(), headers=headers, body=body.encode(message)
        )
        response = await self._origin.send(request, seconds_max=_POST_SECONDS_MAX)
        status = response.status
        await whole(response, bytes_max=_REFUSAL_BYTES_MAX)
        if status in _REFUSED:
            raise NotSent(f"server `{self._name}` refused a message with {status}")
        if status not in _ACCEPTED:
            raise Sent(f"server `{self._name}` answered {status}")


def _target(url: str) -> str:
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
