"""Sessions that their server has forgotten, opened again in the client's words (MCP 2025-11-25, session management).

What a client said when it opened its session travels in its sealed session id. Subscriptions and the
log level it set since are kept here, bounded, and said again.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from gateway import body
from gateway.call import NotSent, Sent, UpstreamRequest, header
from gateway.mcp.talk import Tree, member, messages_of, params_of, whole

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.call import Headers, UpstreamResponse
    from gateway.mcp.sessions import Session
    from gateway.mcp.turn import Turn

SESSIONS_MAX: Final = 4096
#: Subscriptions of one session that are made again.
SUBSCRIPTIONS_MAX: Final = 256
SECONDS_MAX: Final = 15.0
_OK: Final = 200
_SAID_AGAIN: Final = frozenset({"resources/subscribe", "resources/unsubscribe", "logging/setLevel"})
#: Headers of a request that belong to its message, not to the way.
_OF_THE_MESSAGE: Final = frozenset({b"mcp-session-id", b"mcp-protocol-version", b"accept", b"last-event-id",
                                    b"content-type"})  # fmt: skip


class Renewals:
    """The sessions of one server that were opened again, by the id they had first."""

    def __init__(self, send: Callable[[UpstreamRequest, float], Awaitable[UpstreamResponse]]) -> None:
        self._send = send
        self._current: OrderedDict[str, str] = OrderedDict()
        self._said: OrderedDict[str, dict[str, Tree]] = OrderedDict()
        #: sessions their clients have ended; those are not opened again
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._opening: dict[str, asyncio.Lock] = {}

    def current(self, session: Session) -> str:
        """Return the id under which the server knows the session now."""
        return self._current.get(session.upstream_id, session.upstream_id)

    def note(self, turn: Turn, sent: Tree) -> None:
        """Keep what has to be said again in a new session."""
        method = str(sent.get("method", ""))
        if method not in _SAID_AGAIN or turn.session is None:
            return
        known = self._said.setdefault(turn.session.upstream_id, {})
        self._said.move_to_end(turn.session.upstream_id)
        uri = str(params_of(sent).get("uri", ""))
        if method == "resources/unsubscribe":
            known.pop(f"resources/subscribe {uri}", None)
        elif len(known) < SUBSCRIPTIONS_MAX:
            known[f"{method} {uri}"] = sent
        while len(self._said) > SESSIONS_MAX:
            self._said.popitem(last=False)

    def end(self, session: Session) -> None:
        """Forget a session that its client has ended."""
        self._current.pop(session.upstream_id, None)
        self._said.pop(session.upstream_id, None)
        self._ended[session.upstream_id] = None
        while len(self._ended) > SESSIONS_MAX:
            self._ended.popitem(last=False)

    async def renew(self, session: Session, headers: Headers, *, seconds_max: float) -> str | None:
        """Return the id of a session opened in place of one that is gone, `None` when it cannot be."""
        if not session.opened_with or not session.upstream_id or session.upstream_id in self._ended:
            return None
        first = session.upstream_id
        used = (header(headers, b"mcp-session-id") or b"").decode("latin-1")
        lock = self._opening.setdefault(first, asyncio.Lock())
        try:
            async with lock, asyncio.timeout(min(SECONDS_MAX, seconds_max)):
                if (known := self._current.get(first)) is not None and known != used:
                    return known  # somebody else has just opened it
                return await self._open(session, headers)
        except (NotSent, Sent, TimeoutError):
            return None
        finally:
            if not lock.locked():
                self._opening.pop(first, None)

    async def _open(self, session: Session, headers: Headers) -> str | None:
        own = tuple(pair for pair in headers if pair[0] not in _OF_THE_MESSAGE)
        opening: Tree = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": session.opened_with}
        response = await self._send(_post(opening, own), SECONDS_MAX)
        session_id = header(response.headers, b"mcp-session-id")
        if response.status != _OK or session_id is None:
            await response.aclose()
            return None
        version = ""
        async for message in messages_of(response):
            if message.get("id") == 0:
                version = str(member(message, "result").get("protocolVersion", ""))
                break
        await response.aclose()
        if not version:
            return None
        own = (*own, (b"mcp-session-id", session_id), (b"mcp-protocol-version", version.encode("latin-1")))
        said: list[Tree] = [{"jsonrpc": "2.0", "method": "notifications/initialized"}]
        said += [one | {"id": number} for number, one in enumerate(self._said.get(session.upstream_id, {}).values(), 1)]
        for one in said:
            await whole(await self._send(_post(one, own), SECONDS_MAX))
        self._current[session.upstream_id] = session_id.decode("latin-1")
        self._current.move_to_end(session.upstream_id)
        while len(self._current) > SESSIONS_MAX:
            self._current.popitem(last=False)
        return session_id.decode("latin-1")


def _post(message: Tree, headers: Headers) -> UpstreamRequest:
    more = ((b"content-type", b"application/json"), (b"accept", b"application/json, text/event-stream"))
    return UpstreamRequest(method="POST", path="", headers=(*headers, *more), body=body.encode(message))
