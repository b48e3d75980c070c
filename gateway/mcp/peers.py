"""Servers that know no HTTP sessions, behind the same method as one that does: one line a session.

A session belongs to a principal, so no two principals ever share a line: nothing on it says which request
a log line or a question of the server belongs to. Without a session there is one line per principal.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Final, Protocol, cast

from gateway import body
from gateway.call import NotSent, Sent, header
from gateway.sse import event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gateway.call import Headers, UpstreamRequest, UpstreamResponse
    from gateway.mcp.wire import Message, Pending, Wire

#: Names the principal to these transports; it never leaves the process.
PRINCIPAL: Final = b"oncegate-principal"
PEERS_MAX: Final = 64
IDLE_SECONDS_MAX: Final = 900.0
_BACK_OFF_SECONDS: Final = (0.0, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
_STREAM: Final = ((b"content-type", b"text/event-stream"),)
_OK: Final = 200
_ACCEPTED: Final = 202
_NOT_FOUND: Final = 404


class Peer(Protocol):
    """One line to a server, and what is at its other end."""

    @property
    def wire(self) -> Wire:
        """The line."""
        ...

    async def end(self) -> None:
        """End it."""
        ...


class Peers:
    """The lines to one server; `begin` opens one with a request's headers (raises `NotSent`)."""

    def __init__(self, name: str, begin: Callable[[Headers], Awaitable[Peer]]) -> None:
        self._name = name
        self._begin = begin
        self._peers: dict[str, Peer] = {}
        self._starting = asyncio.Lock()
        self._failures = 0
        self._not_before = 0.0
        self._buried = 0

    @property
    def deaths(self) -> int:
        """How many lines have ended by themselves so far; what is begun after that may be another server."""
        return self._buried + sum(1 for peer in self._peers.values() if not peer.wire.alive)

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send one message and return its answers as a stream. Raises `NotSent`, `Sent`."""
        shown = header(request.headers, b"mcp-session-id")
        # no session id begins like that: they are the hex digits made below
        own = "principal/" + (header(request.headers, PRINCIPAL) or b"").decode()
        session = shown.decode("latin-1") if shown is not None else own
        if request.method == "DELETE":
            return await self._delete(session)
        if request.method == "GET":
            return self._listen(session)
        message = cast("Message", body.parse(request.body))
        if message.get("method") == "initialize":
            return await self._initialize(message, request.headers)
        peer = self._peers.get(session)
        if shown is not None and (peer is None or not peer.wire.alive):
            return _Answer(_NOT_FOUND, (), None, None)
        if peer is None or not peer.wire.alive:
            peer = await self._start(own, request.headers)
        if "id" in message and "method" in message:
            return _Answer(_OK, _STREAM, peer.wire, await peer.wire.ask(message))
        await peer.wire.tell(message)
        return _Answer(_ACCEPTED, (), None, None)

    async def aclose(self) -> None:
        """End all lines."""
        peers, self._peers = list(self._peers.values()), {}
        await asyncio.gather(*(peer.end() for peer in peers))

    async def _initialize(self, message: Message, headers: Headers) -> UpstreamResponse:
        session = secrets.token_hex(16)
        peer = await self._start(session, headers)
        answer = (*_STREAM, (b"mcp-session-id", session.encode()))
        try:
            return _Answer(_OK, answer, peer.wire, await peer.wire.ask(message))
        except BaseException:  # nobody will ever name this session
            self._buried += not peer.wire.alive
            self._peers.pop(session, None)
            await peer.end()
            raise

    async def _delete(self, session: str) -> UpstreamResponse:
        peer = self._peers.pop(session, None) if not session.startswith("principal/") else None
        if peer is None:
            return _Answer(_NOT_FOUND, (), None, None)
        self._buried += not peer.wire.alive
        await peer.end()
        return _Answer(_OK, (), None, None)

    def _listen(self, session: str) -> UpstreamResponse:
        peer = self._peers.get(session)
        if session.startswith("principal/") or peer is None or not peer.wire.alive:
            return _Answer(405, ((b"allow", b"POST"),), None, None)
        return _Listening(peer.wire)

    async def _start(self, session: str, headers: Headers) -> Peer:
        async with self._starting:
            known = self._peers.get(session)
            if known is not None and known.wire.alive:
                return known
            await self._make_room()
            if asyncio.get_running_loop().time() < self._not_before:
                raise NotSent(f"server `{self._name}` ends again and again; it is started again later")
            peer = self._peers[session] = await self._begin(headers)
            return peer

    async def _make_room(self) -> None:
        now = asyncio.get_running_loop().time()
        for session, peer in list(self._peers.items()):
            if not peer.wire.alive:
                self._note_death(peer.wire, now)
            if not peer.wire.alive or (now - peer.wire.used > IDLE_SECONDS_MAX and not peer.wire.busy):
                self._buried += not peer.wire.alive
                del self._peers[session]
                await peer.end()
        if len(self._peers) >= PEERS_MAX:
            raise NotSent(f"server `{self._name}` has {PEERS_MAX} sessions already")

    def _note_death(self, wire: Wire, now: float) -> None:
        # one that answered was of use; those that never do are started ever more rarely
        self._failures = 0 if wire.answered else min(self._failures + 1, len(_BACK_OFF_SECONDS) - 1)
        self._not_before = now + _BACK_OFF_SECONDS[self._failures]


class _Answer:
    """The messages that answer one request; closing it early tells the server."""

    def __init__(self, status: int, headers: Headers, wire: Wire | None, pending: Pending | None) -> None:
        self.status = status
        self.headers = headers
        self._wire = wire
        self._pending = pending

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield each message as an event, the response last. Raises `Sent` when the line ends before it."""
        while self._pending is not None:
            message = await self._pending.messages.get()
            if message is None:
                raise Sent("the server ended or was told to stop before its answer")
            yield event(body.encode(message), name="message")
            if "method" not in message:
                self._pending = None

    async def aclose(self) -> None:
        """End it; a request without its response is cancelled in the server."""
        pending, self._pending = self._pending, None
        if pending is not None and self._wire is not None:
            await self._wire.abandon(pending)


class _Listening:
    """A session's GET stream: what belongs to no request."""

    status = _OK
    headers: Headers = _STREAM

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield each message as an event until the line ends."""
        while (message := await self._wire.next_unsolicited()) is not None:
            yield event(body.encode(message), name="message")

    async def aclose(self) -> None:
        """Need nothing."""
