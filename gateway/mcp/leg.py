"""The way of one message to its server: what is added, what is mended underway, what is noticed on the way back."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from gateway import body
from gateway.call import NotSent, Sent, UpstreamRequest, header
from gateway.mcp.eras import modern_post
from gateway.mcp.keys import with_trace
from gateway.mcp.parameters import HEADER_MISMATCH, PAGES_MAX
from gateway.mcp.resume import Resuming
from gateway.mcp.talk import OPEN, Spoken, Tree, member, message_in, messages_of, meta_of, params_of, whole

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gateway.call import Headers, UpstreamResponse
    from gateway.mcp.link import Link
    from gateway.mcp.sessions import Session
    from gateway.mcp.turn import Turn

_OK: Final = 200
#: With these a server says that it does not know a session: the specification's, and what many servers send.
_SESSION_GONE: Final = frozenset({400, 404})
_REFUSAL_BYTES_MAX: Final = 256 * 1024
_RESUME_SECONDS_MAX: Final = 24 * 3600.0
_NOT_FOUND: Final = 404
#: A server that answers like this may have been replaced by one of the older era.
_NOT_MODERN: Final = frozenset({400, 404, 405, 406})
_BAD_REQUEST: Final = 400
#: JSON-RPC errors with which a server without sessions answers `initialize`.
_NO_SESSIONS: Final = (-32022, -32601, -32600, -32602)
_KEPT: Final = frozenset({b"content-type", b"mcp-session-id", b"retry-after", b"allow"})
_OF_THE_MESSAGE: Final = frozenset({b"accept", b"content-type", b"last-event-id"})
_REFUSED_LEAST: Final = 400


class Leg:
    """One exchange with one server, behind the same method as any upstream."""

    def __init__(self, link: Link, turn: Turn) -> None:
        self._link = link
        self._turn = turn

    async def send(self, request: UpstreamRequest, *, seconds_max: float) -> UpstreamResponse:
        """Send the message and return its answer. Raises `NotSent`, `Sent`."""
        turn = self._turn
        await self._tell_cancelled()
        request = self._traced(request)
        if turn.message is not None and turn.message.era == "modern":
            return await self._modern(request, seconds_max)
        if turn.session is not None and turn.session.nonce:
            return await self._held(turn.session, request, seconds_max)
        if turn.method == "initialize":
            return await self._initialize(request, seconds_max)
        if turn.method == "GET":
            return _opened(await self._in_session(request, seconds_max))
        if not turn.expects:
            return await self._in_session(request, seconds_max)
        self._link.under_way.add(turn)
        try:
            response = await self._in_session(request, seconds_max)
        except BaseException:
            self._link.under_way.remove(turn)
            raise
        return _Watched(self._resumable(request, response), self._link, turn)

    async def aclose(self) -> None:
        """Need nothing: connections are the server's."""

    async def _modern(self, request: UpstreamRequest, seconds_max: float) -> UpstreamResponse:
        own = own_headers(request.headers)
        if not await self._link.eras.modern(own, seconds_max=seconds_max):
            try:
                return await self._link.uplift.send(self._turn, own, seconds_max=seconds_max)
            except NotSent:  # it opened no session: another server may be there now
                self._link.eras.forget()
                raise
        if self._turn.bridged and self._turn.method == "tools/call":
            return await self._mirrored(self._turn.sent or {}, own, seconds_max)
        response = await self._link.send(request, seconds_max=seconds_max)
        if response.status in _NOT_MODERN:
            self._link.eras.forget()
        return response

    async def _held(self, session: Session, request: UpstreamRequest, seconds_max: float) -> UpstreamResponse:
        """Carry out a message of a session that the gateway holds for a server of the newer era."""
        ask = self._asking(request, seconds_max)
        if request.method == "GET":
            return self._link.downshift.listen(session, ask)
        if request.method == "DELETE":
            return self._link.downshift.end(session)
        turn = self._turn
        if not turn.expects:
            return await self._link.downshift.serve(turn.sent or {}, session, ask)
        self._link.under_way.add(turn)
        serving = asyncio.ensure_future(self._link.downshift.serve(turn.sent or {}, session, ask))

        async def stop() -> None:  # a server of the newer era is told by closing its stream
            serving.cancel()

        turn.stop = stop
        try:
            response = await serving
        except BaseException as error:
            self._link.under_way.remove(turn)
            if turn.cancelled and isinstance(error, asyncio.CancelledError):
                raise Sent("the client cancelled the call") from None
            raise
        turn.stop = response.ended if isinstance(response, Spoken) else None
        return _Watched(response, self._link, turn)

    async def _initialize(self, request: UpstreamRequest, seconds_max: float) -> UpstreamResponse:
        """Let the server open the session, or open one for a server that knows none."""
        refused: UpstreamResponse | None = None
        if self._link.eras.legacy_is_tried:
            response = await self._link.send(request, seconds_max=seconds_max)
            if response.status == _OK and self._link.over_http:
                return response
            refused = await _kept(response)
            if not _refuses(refused):
                return refused
            if not await self._link.eras.modern(own_headers(request.headers), seconds_max=seconds_max):
                return refused
        asked = self._turn.sent or {}
        response, nonce = await self._link.downshift.open(asked, self._asking(request, seconds_max))
        if nonce:
            self._turn.answer_headers["mcp-session-id"] = self._turn.seal_held(nonce)
        return refused if refused is not None and not nonce else response

    def _asking(self, request: UpstreamRequest, seconds_max: float) -> Callable[[Tree], Awaitable[UpstreamResponse]]:
        own = own_headers(request.headers)

        async def ask(message: Tree) -> UpstreamResponse:
            if message.get("method") == "tools/call":
                return await self._mirrored(message, own, seconds_max)
            return await self._link.send(modern_post(message, own), seconds_max=seconds_max)

        return ask

    async def _mirrored(self, message: Tree, own: Headers, seconds_max: float) -> UpstreamResponse:
        """Call a tool for a client that does not know which arguments its server wants in headers."""
        link, params = self._link, params_of(message)
        if not link.parameters.asked:
            with contextlib.suppress(Sent):  # a server that does not say its tools says what is wrong with the call
                await self._learn(meta_of(params), own, seconds_max)
        made = link.parameters.headers(params)
        response = await link.send(modern_post(message, (*own, *made)), seconds_max=seconds_max)
        if response.status != _BAD_REQUEST:
            return response
        refused = await _kept(response)
        if not _has_code(refused.content, HEADER_MISMATCH):
            return refused
        # it was not executed: its tools may have changed, so they are asked for, and the call is sent once more
        await self._learn(meta_of(params), own, seconds_max)
        made = link.parameters.headers(params)
        return await link.send(modern_post(message, (*own, *made)), seconds_max=seconds_max) if made else refused

    async def _learn(self, meta: Tree, own: Headers, seconds_max: float) -> None:
        """Ask the server which arguments of its tools it wants in headers. Raises `NotSent`, `Sent`."""
        cursor: object = None
        for _ in range(PAGES_MAX):
            page: Tree = {"_meta": meta} | ({} if cursor is None else {"cursor": cursor})
            asked: Tree = {"jsonrpc": "2.0", "id": "oncegate-tools", "method": "tools/list", "params": page}
            response = await self._link.send(modern_post(asked, own), seconds_max=seconds_max)
            listing: Tree = {}
            try:
                async for one in messages_of(response):
                    listing = member(one, "result") or listing
            finally:
                await response.aclose()
            self._link.parameters.learn(listing)
            self._link.parameters.asked = True
            if (cursor := listing.get("nextCursor")) is None:
                break

    async def _in_session(self, request: UpstreamRequest, seconds_max: float) -> UpstreamResponse:
        turn = self._turn
        response = await self._link.send(request, seconds_max=seconds_max)
        if turn.session is None:
            return response
        if request.method == "DELETE":
            self._link.renewals.end(turn.session)
        elif response.status in _SESSION_GONE:
            response = await self._again(request, response, seconds_max)
        if response.status < _REFUSED_LEAST and turn.sent is not None:
            self._link.renewals.note(turn, turn.sent)
        return response

    def _traced(self, request: UpstreamRequest) -> UpstreamRequest:
        sent = self._turn.sent
        if sent is None or request.method != "POST":
            return request
        traced = with_trace(sent, request.headers)
        if traced is sent:
            return request
        self._turn.sent = traced
        return UpstreamRequest(
            method=request.method, path=request.path, headers=request.headers, body=body.encode(traced)
        )

    async def _tell_cancelled(self) -> None:
        """Note that a call was cancelled: whatever its server answers then proves nothing of its effect."""
        message = self._turn.message
        if message is not None and message.method == "notifications/cancelled":
            cancelled = self._link.under_way.find(self._turn, message.params.get("requestId"))
            if cancelled is not None:
                cancelled.cancelled = True
                if cancelled.stop is not None:
                    await cancelled.stop()

    async def _again(self, request: UpstreamRequest, refused: UpstreamResponse, seconds_max: float) -> UpstreamResponse:
        """Open an expired session anew and send the request in it; it was not executed in the old one."""
        said = await whole(refused, bytes_max=_REFUSAL_BYTES_MAX)
        session = self._turn.session
        if session is not None and (refused.status == _NOT_FOUND or b"ession" in said):
            renewed = await self._link.renewals.renew(session, request.headers, seconds_max=seconds_max)
            if renewed is not None:
                moved = _in_session(request, renewed)
                return await self._link.send(moved, seconds_max=seconds_max)
        media = header(refused.headers, b"content-type") or b"application/json"
        return Spoken(status=refused.status, headers=((b"content-type", media),), content=said)

    def _resumable(self, request: UpstreamRequest, response: UpstreamResponse) -> UpstreamResponse:
        media = header(response.headers, b"content-type") or b""
        if response.status != _OK or not media.startswith(b"text/event-stream") or not self._link.over_http:
            return response
        kept = tuple(pair for pair in request.headers if pair[0] not in {b"content-type", b"accept"})
        opened = header(response.headers, b"mcp-session-id")
        if opened is not None and header(kept, b"mcp-session-id") is None:
            kept = (*kept, (b"mcp-session-id", opened))

        async def fetch(last_event_id: str) -> UpstreamResponse:
            headers = (*kept, (b"accept", b"text/event-stream"), (b"last-event-id", last_event_id.encode("latin-1")))
            asked = UpstreamRequest(method="GET", path="", headers=headers, body=b"")
            return await self._link.send(asked, seconds_max=_RESUME_SECONDS_MAX)

        return Resuming(response, self._turn, fetch)


def own_headers(headers: Headers) -> Headers:
    """Return the headers that are the gateway's and the way's, not the message's."""
    return tuple(pair for pair in headers if pair[0] not in _OF_THE_MESSAGE and not pair[0].startswith(b"mcp-"))


def _opened(response: UpstreamResponse) -> UpstreamResponse:
    """Return a stream that begins at once: its client may wait for its head before it goes on."""
    media = header(response.headers, b"content-type") or b""
    if response.status != _OK or not media.startswith(b"text/event-stream"):
        return response
    return Opened(response)


async def _kept(response: UpstreamResponse) -> Spoken:
    """Return an answer read to its end, its form kept. Raises `Sent`."""
    headers = tuple(pair for pair in response.headers if pair[0] in _KEPT)
    return Spoken(status=response.status, headers=headers, content=await whole(response))


def _refuses(answer: Spoken) -> bool:
    """Return whether a server refused to open a session at all."""
    if answer.status in _NOT_MODERN:
        return True
    return answer.status == _OK and any(_has_code(part, *_NO_SESSIONS) for part in answer.content.split(b"data: "))


def _has_code(content: bytes, *codes: int) -> bool:
    with contextlib.suppress(Sent):
        return member(message_in(content), "error").get("code") in codes
    return False


class Opened:
    """A stream with a comment before its first event."""

    def __init__(self, inner: UpstreamResponse) -> None:
        self._inner = inner
        self.status: int = inner.status
        self.headers: Headers = inner.headers
        self.aclose = inner.aclose

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body."""
        yield OPEN
        async for part in self._inner.chunks():
            yield part


class _Watched:
    """An answer whose request can be cancelled by another message meanwhile."""

    def __init__(self, inner: UpstreamResponse, link: Link, turn: Turn) -> None:
        self._inner = inner
        self._link = link
        self._turn = turn
        self.status: int = inner.status
        self.headers: Headers = inner.headers
        self.chunks = inner.chunks

    async def aclose(self) -> None:
        """End it."""
        self._link.under_way.remove(self._turn)
        await self._inner.aclose()


def _in_session(request: UpstreamRequest, session_id: str) -> UpstreamRequest:
    headers = tuple(pair for pair in request.headers if pair[0] != b"mcp-session-id")
    headers = (*headers, (b"mcp-session-id", session_id.encode("latin-1")))
    return UpstreamRequest(method=request.method, path=request.path, headers=headers, body=request.body)
