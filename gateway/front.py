"""The front door: raw ASGI in, an `Exchange` to the right protocol, its `Reply` out.

Limits, Host and Origin, the run token's path, authentication: what must be settled before any
protocol is read (DESIGN section 3, steps 1 and 2).
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, cast

from gateway.call import ClientGone, Exchange, Refusal, Reply, header
from gateway.identity.certificate import peer_of
from gateway.identity.refused import Unidentified
from gateway.ids import random_bytes
from gateway.relay import Relay, begun

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable, MutableMapping, Sequence

    from gateway.call import Headers
    from gateway.identity.authenticator import Identified
    from gateway.identity.certificate import Peer
    from policy.decision import Principal

    Scope = MutableMapping[str, object]
    Receive = Callable[[], Awaitable[MutableMapping[str, object]]]
    Send = Callable[[MutableMapping[str, object]], Awaitable[None]]

_log = logging.getLogger("oncegate.front")

_RUN_PREFIX = "/r/"


class Entry(Protocol):
    """What a path leads to: an exchange in, a reply out, and its protocol's way to refuse."""

    async def answer(self, exchange: Exchange) -> Reply:
        """Return the reply. Raises `Refusal`, `ClientGone`."""
        ...

    def refuse(self, refusal: Refusal, extra: Headers) -> Reply:
        """Say a refusal in the protocol."""
        ...


class Identify(Protocol):
    """Verifies who calls and in which run."""

    async def __call__(
        self, headers: Headers, path_token: str | None, query: bytes, path: str, method: str, *, peer: Peer | None
    ) -> Identified:
        """Return the caller. Raises `Refusal`."""
        ...


class Closing(Protocol):
    """Knows what is blocked by now."""

    def of_answer(self, principal: Principal, run: str | None, concerns: Sequence[str]) -> Refusal | None:
        """Return the refusal of an answer that has come meanwhile."""
        ...

    def hold(
        self, principal: Principal, run: str | None, path: str, cut: Callable[[], None], concerns: tuple[str, ...] = ()
    ) -> Callable[[], None]:
        """Keep an answer that may have to be cut while it streams; returns what ends that."""
        ...


class NoteWithheld(Protocol):
    """Audits answers that were withheld."""

    async def __call__(self, identified: Identified, correlation: str, concerns: Sequence[str], *, cut: bool) -> None:
        """Write it down."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Bounds and names of the listener. `hosts` are accepted Host values in lower case, without port."""

    hosts: frozenset[str]
    body_bytes_max: int
    header_bytes_max: int


class Front:
    """The agents' listener. Paths it does not know go to `rest` (health, runs, documents)."""

    def __init__(
        self, door: Door, identify: Identify, entry_of: Callable[[str], Entry | None], rest: object, *, blocks: Closing,
        note_withheld: NoteWithheld,
    ) -> None:  # fmt: skip
        self._note_withheld = note_withheld
        self._blocks = blocks
        self._door = door
        self._identify = identify
        self._entry_of = entry_of
        self._rest = cast("Callable[[Scope, Receive, Send], Awaitable[None]]", rest)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] != "http":
            await self._rest(scope, receive, send)
            return
        path, token = _split_run_token(cast("str", scope["path"]))
        entry = self._entry_of(path)
        if entry is None:
            if token is not None:  # never let a token's path reach a framework that logs it
                await _write(_not_found(), send, receive)
                return
            await self._rest(scope, receive, send)
            return
        correlation = random_bytes(12).hex()
        kept: _Kept | None = None
        try:
            reply, kept = await self._serve(scope, receive, entry, (path, token, correlation))
        except ClientGone:
            return
        except Refusal as refusal:
            nonce = _nonce(refusal.nonce) if isinstance(refusal, Unidentified) else ()
            allow = ((b"allow", refusal.allow.encode()),) if refusal.allow else ()
            reply = entry.refuse(refusal, ((b"oncegate-correlation", correlation.encode()), *nonce, *allow))
        except Exception:  # noqa: BLE001 - the outermost handler
            # the outermost handler of a request: an error of ours is an answer too, without its text
            _log.exception("request %s ended by an error of the gateway", correlation)
            failure = Refusal(code="internal", message="the gateway failed; ask again later", status=500)
            reply = entry.refuse(failure, ((b"oncegate-correlation", correlation.encode()),))
        if kept is None:
            await _write(reply, send, receive)
        else:
            await kept.write(send, receive)

    async def _serve(
        self, scope: Scope, receive: Receive, entry: Entry, at: tuple[str, str | None, str]
    ) -> tuple[Reply, _Kept | None]:
        path, token, correlation = at
        headers = tuple(cast("list[tuple[bytes, bytes]]", scope["headers"]))
        self._check(headers)
        query = cast("bytes", scope.get("query_string", b""))
        identified = await self._identify(
            headers, token, query, path, cast("str", scope["method"]), peer=peer_of(scope)
        )
        content = await self._body(headers, receive)
        for own in identified.own_tokens:
            if (literal := own.encode()) in content:
                content = content.replace(literal, b"run")
        reply = await entry.answer(
            Exchange(
                method=cast("str", scope["method"]),
                path=path,
                query=query,
                headers=headers,
                body=content,
                principal=identified.principal,
                run=identified.run,
                own_tokens=identified.own_tokens,
                correlation=correlation,
                disconnected=lambda: _gone(receive),
            )
        )
        if identified.nonce is not None:
            reply = replace(reply, headers=(*reply.headers, *_nonce(identified.nonce)))
        run = None if identified.run is None else identified.run.id
        closed = None if reply.refused else self._blocks.of_answer(identified.principal, run, reply.concerns)
        if closed is not None:
            _delivered(reply, complete=False)
            await self._note_withheld(identified, correlation, reply.concerns, cut=False)
            raise closed
        if reply.frames is None:
            return reply, None
        kept = _Kept(reply, lambda: self._note_withheld(identified, correlation, reply.concerns, cut=True))
        kept.release = self._blocks.hold(identified.principal, run, path, kept.cut, reply.concerns)
        return reply, kept

    def _check(self, headers: Headers) -> None:
        if sum(len(name) + len(value) for name, value in headers) > self._door.header_bytes_max:
            raise Refusal(code="too_large", message="the request's headers are too large", status=431)
        if host_name(header(headers, b"host")) not in self._door.hosts:
            raise Refusal(code="denied", message="this Host is not served here (see `hosts`)", status=403)
        origin = header(headers, b"origin")
        if origin is not None and host_name(origin.partition(b"://")[2]) not in self._door.hosts:
            raise Refusal(code="denied", message="this Origin is not accepted here (see `hosts`)", status=403)

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        limit = self._door.body_bytes_max
        encoding = header(headers, b"content-encoding")
        if encoding is not None and encoding != b"identity":
            raise Refusal(code="bad_request", message="send the body without content encoding", status=415)
        declared = header(headers, b"content-length")
        if declared is not None and declared.isdigit() and int(declared) > limit:
            raise _too_large(limit)
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            part = cast("bytes", message.get("body", b""))
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            parts.append(part)
            if not message.get("more_body"):
                return parts[0] if len(parts) == 1 else b"".join(parts)


class _Kept:
    """An answer that streams, which may be cut as if its client had gone; the client sees that it is not whole."""

    def __init__(self, reply: Reply, note_cut: Callable[[], Awaitable[None]]) -> None:
        self._reply = reply
        self._note_cut = note_cut
        self._writing = asyncio.current_task()
        self._over = False
        self.release: Callable[[], None] = lambda: None

    def cut(self) -> None:
        """End it."""
        if self._writing is not None and not self._over:
            self._over = True
            _delivered(self._reply, complete=False)
            self._writing.cancel()

    async def write(self, send: Send, receive: Receive) -> None:
        """Send it; one that was cut is left as it is, so that the server closes the connection."""
        try:
            await _write(self._reply, send, receive)
        except asyncio.CancelledError:
            if not self._over or self._writing is None or self._writing.uncancel():
                raise
            await self._note_cut()
        finally:
            self.release()


def _nonce(nonce: str | None) -> Headers:
    """Return what says which nonce the next proof must hold (RFC 9449 section 8)."""
    return () if nonce is None else ((b"dpop-nonce", nonce.encode()),)


def host_name(value: bytes | None) -> str:
    """Return the host of a `Host` value in lower case without its port; empty when there is none."""
    text = (value or b"").decode("latin-1").lower()
    if text.startswith("["):
        return text.partition("]")[0] + "]"
    return text.partition(":")[0]


def _split_run_token(path: str) -> tuple[str, str | None]:
    if not path.startswith(_RUN_PREFIX):
        return path, None
    token, slash, rest = path[len(_RUN_PREFIX) :].partition("/")
    return slash + rest, token


def _too_large(bytes_max: int) -> Refusal:
    return Refusal(code="too_large", message=f"the body is longer than {bytes_max} bytes", status=413)


def _not_found() -> Reply:
    return Reply(status=404, headers=((b"content-type", b"text/plain"),), body=b"not found\n")


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


async def _write(reply: Reply, send: Send, receive: Receive) -> None:
    headers = list(reply.headers)
    if reply.frames is None:
        headers.append((b"content-length", str(len(reply.body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if reply.frames is None:
        await send({"type": "http.response.body", "body": reply.body})
        _delivered(reply, complete=True)
        return
    gone = asyncio.ensure_future(_watch(reply, receive))
    try:
        await _stream(reply, send, gone)
    finally:
        complete = gone.cancel()
    if complete:
        _delivered(reply, complete=True)


async def _watch(reply: Reply, receive: Receive) -> None:
    # told at once, so that a retry on a new connection finds its call without a client
    await _gone(receive)
    _delivered(reply, complete=False)


async def _stream(reply: Reply, send: Send, gone: asyncio.Future[None]) -> None:
    if reply.body:
        await send(_more(reply.body))
    if isinstance(reply.frames, Relay):
        relay = reply.frames
        gone.add_done_callback(lambda _: relay.leave())
        await relay.pour(lambda frame: begun(send(_more(frame))))
    else:
        async for frame in cast("AsyncIterable[bytes]", reply.frames):
            if gone.done():
                return
            await send(_more(frame))
    if not gone.done():
        await send({"type": "http.response.body", "body": b""})


def _more(content: bytes) -> MutableMapping[str, object]:
    return {"type": "http.response.body", "body": content, "more_body": True}


def _delivered(reply: Reply, *, complete: bool) -> None:
    if reply.delivered is not None:
        reply.delivered(complete)
