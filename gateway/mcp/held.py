"""Sessions of the older era that the gateway holds for clients of the newer one, which has none.

One per principal and declared capabilities: a server is told what this client can do, never what the
gateway can. A session's GET stream is read as long as it is held, for what belongs to no request.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from mcp_types.version import LATEST_HANDSHAKE_VERSION

from gateway import body
from gateway.call import NotSent, Sent, UpstreamRequest, header
from gateway.mcp.talk import Tree, member, messages_of, whole

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.call import Headers, UpstreamResponse

    Send = Callable[[UpstreamRequest, float], Awaitable[UpstreamResponse]]

#: Sessions held with one server, and how long one is held that nobody uses.
HELD_MAX: Final = 256
IDLE_SECONDS_MAX: Final = 900.0
OPEN_SECONDS_MAX: Final = 15.0
_LISTEN_SECONDS_MAX: Final = 24 * 3600.0
_BACK_OFF_SECONDS: Final = (0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
#: How long a stream may take to open, and where it did not the last time: some servers say nothing, not even
#: headers, until they have something to tell. What a server sends before its stream is open is lost.
LISTENING_SECONDS_MAX: Final = 5.0
_LISTENING_AGAIN_SECONDS_MAX: Final = 0.5
_OK: Final = 200
_NOT_FOUND: Final = 404
_TOO_MANY_FAILURES: Final = len(_BACK_OFF_SECONDS)


class Held:
    """One open session. `heard` gets each message of its GET stream."""

    def __init__(self, send: Send, own: Headers, opened: Tree, session_id: bytes | None) -> None:
        self._send = send
        self.opened = opened
        version = str(opened.get("protocolVersion", LATEST_HANDSHAKE_VERSION))
        self._headers = (*own, (b"mcp-protocol-version", version.encode("latin-1")))
        if session_id is not None:
            self._headers = (*self._headers, (b"mcp-session-id", session_id))
        self.has_id = session_id is not None
        self._number = 0
        #: who wants to hear what belongs to no request, newest last
        self.hearing: list[Callable[[Tree], None]] = []
        self.used = asyncio.get_running_loop().time()
        self.gone = False
        #: set when the server says no more by itself: it forgot the session, or cannot be reached
        self.silent = asyncio.Event()
        self._listener: asyncio.Task[None] | None = None
        self._listens = asyncio.Event()

    def new_id(self) -> str:
        """Return a request id nobody else uses in this session."""
        self._number += 1
        return f"u{self._number}"

    async def post(self, message: Tree, *, seconds_max: float, trace: Headers = ()) -> UpstreamResponse:
        """Send a message in the session. Raises `NotSent`, `Sent`."""
        self.used = asyncio.get_running_loop().time()
        headers = (*self._headers, *trace, (b"content-type", b"application/json"),
                   (b"accept", b"application/json, text/event-stream"))  # fmt: skip
        return await self._send(
            UpstreamRequest(method="POST", path="", headers=headers, body=body.encode(message)), seconds_max
        )

    async def fetch(self, last_event_id: str | None) -> UpstreamResponse:
        """Open the session's GET stream, or the rest of another. Raises `NotSent`, `Sent`."""
        headers = (*self._headers, (b"accept", b"text/event-stream"))
        if last_event_id is not None:
            headers = (*headers, (b"last-event-id", last_event_id.encode("latin-1")))
        return await self._send(UpstreamRequest(method="GET", path="", headers=headers, body=b""), _LISTEN_SECONDS_MAX)

    async def tell(self, message: Tree) -> None:
        """Send what needs no answer; a server that is gone needs no telling."""
        with contextlib.suppress(NotSent, Sent):
            await whole(await self.post(message, seconds_max=OPEN_SECONDS_MAX))

    async def listen(self, seconds_max: float) -> bool:
        """Read the session's GET stream from now on; returns whether the server has answered within the seconds."""
        self._listener = asyncio.create_task(self._listen())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._listens.wait(), seconds_max)
        return self._listens.is_set()

    async def end(self) -> None:
        """Close the session."""
        self.gone = True
        self.silent.set()
        if self._listener is not None:
            self._listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listener
        with contextlib.suppress(NotSent, Sent, TimeoutError):
            async with asyncio.timeout(2.0):
                ended = UpstreamRequest(method="DELETE", path="", headers=self._headers, body=b"")
                await whole(await self._send(ended, 2.0))

    async def _listen(self) -> None:
        failures, heard = 0, False
        while failures < _TOO_MANY_FAILURES:
            try:
                response = await self.fetch(None)
                self._listens.set()
                try:
                    media = header(response.headers, b"content-type") or b""
                    if response.status != _OK or not media.startswith(b"text/event-stream"):
                        if response.status == _NOT_FOUND and heard:
                            break  # the session is gone
                        return  # the server has no such stream
                    heard = True
                    async for message in messages_of(response):
                        failures = 0
                        self._spread(message)
                finally:
                    await response.aclose()
            except (NotSent, Sent):
                self._listens.set()
                failures += 1
            await asyncio.sleep(_BACK_OFF_SECONDS[min(failures, len(_BACK_OFF_SECONDS) - 1)])
        self.silent.set()

    def _spread(self, message: Tree) -> None:
        if "id" in message and "method" in message:
            if self.hearing:  # nothing says which request it belongs to; the newest one is the likeliest
                self.hearing[-1](message)
            return
        for hear in list(self.hearing):
            hear(message)


class HeldSessions:
    """The sessions held with one server."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._held: dict[bytes, Held] = {}
        self._opening = asyncio.Lock()
        self._listening_seconds_max = LISTENING_SECONDS_MAX

    async def of(self, place: str, own: Headers, opening: Tree, level: object) -> Held:
        """Return the session of a principal that declared `opening`. Raises `NotSent`."""
        key = body.canonical([place, opening, level])
        held = self._held.get(key)
        if held is not None and not held.gone:
            return held
        async with self._opening:
            held = self._held.get(key)
            if held is None or held.gone:
                await self._make_room()
                held = self._held[key] = await self._open(own, opening, level)
            return held

    async def aclose(self) -> None:
        """Close them all."""
        held, self._held = list(self._held.values()), {}
        await asyncio.gather(*(one.end() for one in held))

    async def _make_room(self) -> None:
        now = asyncio.get_running_loop().time()
        for key, held in list(self._held.items()):
            if held.gone or (not held.hearing and now - held.used > IDLE_SECONDS_MAX):
                del self._held[key]
                await held.end()
        if len(self._held) >= HELD_MAX:
            raise NotSent(f"{HELD_MAX} sessions are held with the server already")

    async def _open(self, own: Headers, opening: Tree, level: object) -> Held:
        asked: Tree = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": opening}
        headers = (*own, (b"content-type", b"application/json"), (b"accept", b"application/json, text/event-stream"))
        request = UpstreamRequest(method="POST", path="", headers=headers, body=body.encode(asked))
        try:
            async with asyncio.timeout(OPEN_SECONDS_MAX):
                response = await self._send(request, OPEN_SECONDS_MAX)
                try:
                    opened: Tree = {}
                    async for message in messages_of(response):
                        if message.get("id") == 0:
                            opened = member(message, "result")
                            break
                finally:
                    await response.aclose()
                if "protocolVersion" not in opened:
                    raise NotSent("the server opened no session")
                held = Held(self._send, own, opened, header(response.headers, b"mcp-session-id"))
                await held.tell({"jsonrpc": "2.0", "method": "notifications/initialized"})
                if level is not None and "logging" in member(opened, "capabilities"):
                    params: Tree = {"level": level}
                    await held.tell({"jsonrpc": "2.0", "id": held.new_id(), "method": "logging/setLevel",
                                     "params": params})  # fmt: skip
        except (Sent, TimeoutError):
            # nothing but the opening was sent: the call itself was not
            raise NotSent("the server opened no session") from None
        listens = await held.listen(self._listening_seconds_max)
        self._listening_seconds_max = LISTENING_SECONDS_MAX if listens else _LISTENING_AGAIN_SECONDS_MAX
        return held
