"""All servers as one, at `/mcp`: a way of showing governed calls, never a way around them.

A message to one server becomes the same governed call as at `/mcp/{server}`; a list is made of one governed
call per server. A server that cannot be asked is left out, and the answer says so. Clients of the older era
get a session whose messages are answered as the newer era's.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol, cast

from gateway import body, refusals
from gateway.call import NotSent, Reply, Sent, header
from gateway.mcp import merge
from gateway.mcp.downshift import Downshift
from gateway.mcp.listening import joined_stream
from gateway.mcp.message import INVALID_PARAMS, INVALID_REQUEST, LISTS, Message, Unanswerable, demand_single
from gateway.mcp.names import split_name, unwrapped_uri
from gateway.mcp.received import received
from gateway.mcp.replies import Replied, reply_of, with_names
from gateway.mcp.sessions import Session
from gateway.mcp.talk import Tree, member, messages_of, meta_of, plain, result_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from gateway.call import Call, Exchange, Headers, UpstreamResponse
    from gateway.mcp.sessions import Sessions
    from policy.decision import Principal

_log = logging.getLogger("oncegate.joined")

#: How long one server may take with its part of a list before it is left out, and how long one that took longer.
LIST_SECONDS_MAX: Final = 10.0
SLOW_LIST_SECONDS_MAX: Final = 1.0
SLOW_SECONDS: Final = 30.0
PAGES_MAX: Final = 100
METHOD_NOT_FOUND: Final = -32601
#: The joined endpoint's place among servers; no server can have this name.
EVERYTHING: Final = "*"
_MODERN: Final = (
    (b"accept", b"application/json, text/event-stream"),
    (b"mcp-protocol-version", b"2026-07-28"),
)
_DROPPED: Final = frozenset({b"accept", b"last-event-id"})


class Servers(Protocol):
    """What the joined endpoint needs of the servers' own."""

    def call_of(self, exchange: Exchange, server: str, message: Message, *, joined: bool, bridged: bool) -> Call:
        """Return a message to one server as a call. Raises `Unanswerable`."""
        ...

    def may_list(self, principal: Principal, server: str) -> bool:
        """Return whether a principal may know of a server at all."""
        ...

    def may_read(self, principal: Principal, server: str, uri: str) -> bool:
        """Return whether reading a server's resource is not certainly denied."""
        ...


class Joined:
    """The entry of `/mcp`."""

    def __init__(
        self,
        names: Collection[str],
        servers: Servers,
        handle: Callable[[Call], Awaitable[Reply]],
        sessions: Sessions,
        *,
        depth_max: int,
        hold: Callable[[Exchange, str, Callable[[], None]], Callable[[], None]],
    ) -> None:
        self._names = frozenset(names)
        self._servers = servers
        self._handle = handle
        self._sessions = sessions
        self._depth_max = depth_max
        self._hold = hold
        self._downshift = Downshift()
        #: when a server last took too long with a list
        self._slow: dict[str, float] = {}

    async def answer(self, exchange: Exchange) -> Reply:
        """Return the reply to one exchange. Raises `Refusal`, `ClientGone`, `Unanswerable`."""
        demand_single(exchange.headers)
        session = self._session(exchange)
        extra = ((b"oncegate-correlation", exchange.correlation.encode()),)
        if exchange.method != "POST":
            return reply_of(self._connection(exchange, session), extra)
        message = received(exchange, depth_max=self._depth_max)
        if message.era == "modern":
            return await self._modern(exchange, message, bridged=False)
        try:
            if message.method == "initialize":
                response, nonce = await self._downshift.open(message.tree, self._asking(exchange))
                own = Session(upstream_id="", opened_with=message.params, nonce=nonce)
                sealed = self._sessions.wrap(own, EVERYTHING, exchange.principal)
                return reply_of(response, (*extra, (b"mcp-session-id", sealed.encode())))
            if session is None:
                raise Unanswerable(INVALID_REQUEST, "initialize a session first", ident=message.id)
            self._subscribable(exchange, message)
            return await self._served(exchange, message, session, extra)
        except (NotSent, Sent) as error:
            raise Unanswerable(INVALID_REQUEST, str(error), status=502, ident=message.id) from None

    async def _served(self, exchange: Exchange, message: Message, session: Session, extra: Headers) -> Reply:
        """Return the reply to a message of a session, which comes from what was asked for it."""
        replies: list[Reply] = []
        response = await self._downshift.serve(message.tree, session, self._asking(exchange, replies))
        concerns = tuple(dict.fromkeys(name for reply in replies for name in reply.concerns))
        refused = any(reply.refused for reply in replies)
        return replace(reply_of(response, extra), concerns=concerns, refused=refused)

    def _session(self, exchange: Exchange) -> Session | None:
        shown = header(exchange.headers, b"mcp-session-id")
        if shown is None:
            return None
        session = self._sessions.unwrap(shown.decode("latin-1"), EVERYTHING, exchange.principal)
        if session is None:
            raise Unanswerable(INVALID_REQUEST, "there is no such session; initialize a new one", status=404)
        return session

    def _connection(self, exchange: Exchange, session: Session | None) -> UpstreamResponse:
        if session is None or exchange.method not in {"GET", "DELETE"}:
            raise refusals.wrong_method("POST", "use POST; GET and DELETE need a session")
        if exchange.method == "DELETE":
            return self._downshift.end(session)
        return self._downshift.listen(session, self._asking(exchange))

    def _subscribable(self, exchange: Exchange, message: Message) -> None:
        """Refuse a subscription to what is not there, so that it spoils no other. Raises `Unanswerable`."""
        if message.method in {"resources/subscribe", "resources/unsubscribe"}:
            found = unwrapped_uri(message.params.get("uri"), self._names)
            if found is None or not self._servers.may_read(exchange.principal, *found):
                raise Unanswerable(INVALID_PARAMS, "there is no such resource; see resources/list", ident=message.id)

    def _asking(
        self, exchange: Exchange, replies: list[Reply] | None = None
    ) -> Callable[[Tree], Awaitable[UpstreamResponse]]:
        """Return what carries out a message of the newer era for a client of the older one, and keeps the reply."""

        async def ask(tree: Tree) -> UpstreamResponse:
            message = Message(
                tree=tree, kind="request", era="modern", method=cast("str", tree["method"]), id=tree.get("id"),
                params=member(tree, "params"),
            )  # fmt: skip
            reply = await self._modern(exchange, message, bridged=True)
            if replies is not None:
                replies.append(reply)
            return Replied(reply)

        return ask

    async def _modern(self, exchange: Exchange, message: Message, *, bridged: bool) -> Reply:
        if message.kind != "request":
            return Reply(status=202, headers=())
        extra = ((b"oncegate-correlation", exchange.correlation.encode()),)
        if message.method in LISTS:
            found, unavailable = await self._gathered(exchange, message, bridged=bridged)
            listed = merge.merged_list(message.method, found, unavailable, self._names)
            page = merge.page_of(message.method, listed, message.params.get("cursor"))
            if page is None:
                raise Unanswerable(INVALID_PARAMS, "the list has changed; ask for it from its start", ident=message.id)
            return reply_of(plain(result_of(message.id, page)), extra)
        if message.method == "server/discover":
            found, unavailable = await self._gathered(exchange, message, bridged=bridged)
            said = {server: pages[0] for server, pages in found.items() if pages}
            return reply_of(plain(result_of(message.id, merge.merged_discovery(said, unavailable))), extra)
        if message.method == "subscriptions/listen":
            return joined_stream(message, self._allowed(exchange), _Ear(self, exchange, message), extra)
        server, params = self._aimed(message)
        call = self._call(exchange, message, server, params, bridged=bridged)
        return with_names(await self._handle(call), server, message.method)

    def _allowed(self, exchange: Exchange) -> list[str]:
        return sorted(name for name in self._names if self._servers.may_list(exchange.principal, name))

    def _call(self, exchange: Exchange, message: Message, server: str, params: Tree, *, bridged: bool) -> Call:
        tree: Tree = {"jsonrpc": "2.0", "id": message.id, "method": message.method, "params": params}
        headers = tuple(
            pair for pair in exchange.headers
            if pair[0] not in _DROPPED and (not pair[0].startswith(b"mcp-") or pair[0].startswith(b"mcp-param-"))
        )  # fmt: skip
        inner = replace(
            exchange, method="POST", path=f"/mcp/{server}", headers=(*headers, *_MODERN), body=body.encode(tree)
        )
        own = replace(message, tree=tree, params=params)
        return self._servers.call_of(inner, server, own, joined=True, bridged=bridged)

    def _aimed(self, message: Message) -> tuple[str, Tree]:
        """Return whose the message is, and its params in that server's own names. Raises `Unanswerable`."""
        params = message.params
        match message.method:
            case "tools/call" | "prompts/get":
                place, found = "name", split_name(params.get("name"), self._names)
            case "resources/read":
                place, found = "uri", unwrapped_uri(params.get("uri"), self._names)
            case "completion/complete":
                ref = member(params, "ref")
                place = "name" if ref.get("type") == "ref/prompt" else "uri"
                found = (split_name if place == "name" else unwrapped_uri)(ref.get(place), self._names)
                if found is not None:
                    return found[0], params | {"ref": ref | {place: found[1]}}
            case _:
                text = "the joined endpoint does not know this method; use the server's own, `/mcp/<server>`"
                raise Unanswerable(METHOD_NOT_FOUND, text, status=404, ident=message.id)
        if found is None:
            raise Unanswerable(INVALID_PARAMS, "there is nothing of that name here; see the list", ident=message.id)
        return found[0], params | {place: found[1]}

    async def _gathered(
        self, exchange: Exchange, message: Message, *, bridged: bool
    ) -> tuple[dict[str, list[Tree]], list[str]]:
        """Return each server's results, and the names of those that could not be asked."""
        names = self._allowed(exchange)
        asked = (self._pages(exchange, message, name, bridged=bridged) for name in names)
        pages = await asyncio.gather(*asked)
        unavailable = [name for name, found in zip(names, pages, strict=True) if found is None]
        if unavailable:
            _log.warning("`%s` without %s: not to be asked", message.method, ", ".join(f"`{n}`" for n in unavailable))
        return {name: found for name, found in zip(names, pages, strict=True) if found is not None}, unavailable

    async def _pages(self, exchange: Exchange, message: Message, server: str, *, bridged: bool) -> list[Tree] | None:
        """Return all pages of a server's list, `None` when it did not give all of it in time."""
        loop = asyncio.get_running_loop()
        slow = loop.time() - self._slow.get(server, -SLOW_SECONDS) < SLOW_SECONDS
        until = loop.time() + (SLOW_LIST_SECONDS_MAX if slow else LIST_SECONDS_MAX)
        pages: list[Tree] = []
        cursor: object = None
        while len(pages) < PAGES_MAX and (left := until - loop.time()) > 0:
            params: Tree = {"_meta": meta_of(message.params)} | ({} if cursor is None else {"cursor": cursor})
            call = self._call(exchange, message, server, params, bridged=bridged)
            final = await self._final(replace(call, seconds_max=min(call.seconds_max, left)))
            if "result" not in final:
                error = member(final, "error")
                if member(error, "data").get("code") == "denied" or error.get("code") == METHOD_NOT_FOUND:
                    return pages
                break
            pages.append(member(final, "result"))
            if sum(merge.count_items(message.method, page) for page in pages) > merge.ITEMS_MAX:
                break
            if (cursor := pages[-1].get("nextCursor")) is None:
                self._slow.pop(server, None)
                return pages
        if loop.time() >= until:
            self._slow[server] = loop.time()
        return None

    async def _final(self, call: Call) -> Tree:
        replied = Replied(await self._handle(call))
        try:
            async for one in messages_of(replied):
                if "method" not in one:
                    return one
        except Sent:
            return {}
        finally:
            await replied.aclose()
        return {}

    async def listen(
        self, exchange: Exchange, message: Message, server: str, params: Tree, gone: asyncio.Event
    ) -> Reply:
        """Return what one server tells until `gone` is set. Raises `ClientGone`."""

        async def left() -> None:
            await gone.wait()

        call = self._call(replace(exchange, disconnected=left), message, server, params, bridged=False)
        return with_names(await self._handle(call), server, message.method)

    def hold(self, exchange: Exchange, server: str, cut: Callable[[], None]) -> Callable[[], None]:
        """Have `cut` called when a server that is heard is blocked; returns what ends that."""
        return self._hold(exchange, server, cut)

    def may_list(self, exchange: Exchange, server: str) -> bool:
        """Return whether a server may be heard now."""
        return self._servers.may_list(exchange.principal, server)


@dataclass(frozen=True, slots=True)
class _Ear:
    """Hears single servers for one listener at the joined endpoint."""

    joined: Joined
    exchange: Exchange
    message: Message

    async def listen(self, server: str, params: Tree, gone: asyncio.Event) -> Reply:
        """Return what a server tells until `gone` is set. Raises `ClientGone`."""
        return await self.joined.listen(self.exchange, self.message, server, params, gone)

    def may(self, server: str) -> bool:
        """Return whether a server may be heard now."""
        return self.joined.may_list(self.exchange, server)

    def hold(self, server: str, cut: Callable[[], None]) -> Callable[[], None]:
        """Have `cut` called when the server is blocked; returns what ends that."""
        return self.joined.hold(self.exchange, server, cut)
