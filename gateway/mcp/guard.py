"""Holds servers to their definitions: lists show what is accepted, calls fit it, and results fit what was promised.

A call is made only on a definition that its server has shown lately (`relist`). What was never listed
here is asked for first, by the gateway itself, on the way of the call that needs it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol, cast

from mcp_types import CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY, PROTOCOL_VERSION_META_KEY
from mcp_types.version import LATEST_MODERN_VERSION

from durable.journal import JournalUnavailable
from gateway import refusals
from gateway.call import NotSent, Sent
from gateway.definitions.definition import LISTED, PLACES, SPOKEN, covered, definition, instructions_of, items_of
from gateway.mcp.eras import OWN_INFO, modern_post
from gateway.mcp.leg import Leg, own_headers
from gateway.mcp.message import Message
from gateway.mcp.sift import Sieve
from gateway.mcp.talk import Tree, member, messages_of
from gateway.mcp.turn import Turn
from gateway.oauth.answer import NoToken
from gateway.secrets import SecretError
from redaction.finding import Shape
from redaction.redactor import tokens_in

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from gateway.call import Headers, Refusal, Upstream
    from gateway.definitions.book import Book, Pin
    from gateway.definitions.definition import Definition, Kind
    from gateway.definitions.schema import Checker
    from gateway.mcp.link import Link

    #: gives what gets the gateway's headers for a caller; raises `Refusal` where there can be none
    Own = Callable[[], Callable[[], Awaitable[Headers]]]
    #: makes the refusal that says why nothing was shown
    Unread = Callable[[], Refusal]

#: How long a server may take to show its definitions, and how many of one kind there may be.
LIST_SECONDS_MAX: Final = 10.0
PAGES_MAX: Final = 100
ITEMS_MAX: Final = 10_000
METHOD_NOT_FOUND: Final = -32601
_METHODS: Final = {kind: method for method, kind in LISTED.items()}
#: What a server says when its lists have changed.
CHANGED: Final[dict[str, tuple[Kind, ...]]] = {
    "notifications/tools/list_changed": ("tool",),
    "notifications/prompts/list_changed": ("prompt",),
    "notifications/resources/list_changed": ("template",),
}


class Timed(Protocol):
    """The part of a server's configuration that says how long its word counts."""

    @property
    def relist_seconds(self) -> float:
        """How long a definition may be relied on before its server is asked again."""
        ...


class Guard:
    """Stands before one server."""

    def __init__(self, link: Link, book: Book, config: Timed) -> None:
        self._link = link
        self._server = link.name
        self._book = book
        self._relist_seconds = config.relist_seconds
        #: when a kind was last seen whole, and how often its server has said that it changed
        self._seen: dict[Kind, float] = {}
        self._told: dict[Kind, int] = {}
        self._asking: dict[Kind, asyncio.Task[Unread | None]] = {}

    def upstream(self, turn: Turn) -> Upstream:
        """Return the way of one exchange to the server: lists and self-descriptions are sifted on the way back."""
        turn.noticed = self._changed
        leg = Leg(self._link, turn)
        if turn.method in LISTED:
            return Sieve(leg, turn, lambda result, request: self._listed(turn, result, request.headers))
        if turn.method in SPOKEN:
            return Sieve(leg, turn, lambda result, _: self._spoken(result))
        return leg

    def admission(self, turn: Turn, own: Own) -> Callable[[], Awaitable[None]] | None:
        """Return what is asked right before a message is journaled or sent, `None` where nothing is pinned.

        It raises `Refusal` when the message may not go. `own` gives what gets the gateway's headers for the server.
        """
        message = turn.message
        if message is None or message.kind != "request":
            return None
        params = message.params
        match message.method:
            case "tools/call":
                return lambda: self._admit_tool(turn, own)
            case "prompts/get":
                return lambda: self._admit_prompt(turn, params.get("name"), own)
            case "completion/complete":
                ref = member(params, "ref")
                kind, place = ("prompt", "name") if ref.get("type") == "ref/prompt" else ("template", "uri")
                return lambda: self._complete(cast("Kind", kind), ref.get(place))
            case _:
                return None

    async def aclose(self) -> None:
        """Ask nothing more."""
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    async def _admit_tool(self, turn: Turn, own: Own) -> None:
        params = turn.message.params if turn.message is not None else {}
        name = params.get("name")
        pin = await self._admit("tool", name, turn, own)
        turn.asked, turn.promised = pin.arguments, pin.result
        arguments = params.get("arguments", {})
        if pin.arguments is not None and (wrong := _wrong(pin.arguments, arguments)) is not None:
            raise refusals.invalid_arguments(wrong)

    async def _admit_prompt(self, turn: Turn, name: object, own: Own) -> None:
        await self._admit("prompt", name, turn, own)

    async def _admit(self, kind: Kind, name: object, turn: Turn, own: Own) -> Pin:
        await self._fresh(kind, turn.place, own)
        pin = self._pin(kind, name)
        if pin is None:  # it may be newer than what was seen last
            await self._waited(self._ask(kind, turn.place, own()))
            pin = self._pin(kind, name)
        if pin is None:
            raise refusals.unlisted(kind)
        if not pin.accepted:
            raise refusals.quarantined(self._server, kind, cast("str", name))
        return pin

    async def _complete(self, kind: Kind, name: object) -> None:
        pin = self._pin(kind, name)
        if pin is not None and not pin.accepted:
            raise refusals.quarantined(self._server, kind, cast("str", name))

    async def _fresh(self, kind: Kind, place: str, own: Own) -> None:
        """Wait until the server has shown its definitions lately. Raises `Refusal`."""
        age = asyncio.get_running_loop().time() - self._seen.get(kind, float("-inf"))
        if age > self._relist_seconds / 2:
            asked = self._ask(kind, place, own())
            if age > self._relist_seconds:
                await self._waited(asked)

    async def _waited(self, asked: asyncio.Task[Unread | None]) -> None:
        if (unread := await asyncio.shield(asked)) is not None:
            raise unread()

    def _changed(self, method: str) -> None:
        for kind in CHANGED.get(method, ()):
            self._told[kind] = self._told.get(kind, 0) + 1
            self._seen.pop(kind, None)

    def _ask(self, kind: Kind, place: str, proof: Callable[[], Awaitable[Headers]]) -> asyncio.Task[Unread | None]:
        """Return the one task that asks the server for its definitions of a kind."""
        task = self._asking.get(kind)
        if task is None or task.done():
            task = self._asking[kind] = asyncio.create_task(self._asked(kind, place, proof))
        return task

    async def _asked(self, kind: Kind, place: str, proof: Callable[[], Awaitable[Headers]]) -> Unread | None:
        """Take what the server shows; returns why nothing could be seen."""
        told = self._told.get(kind, 0)
        try:
            async with asyncio.timeout(LIST_SECONDS_MAX):
                items = await self._items(kind, place, await proof())
            if items is None:
                return refusals.definitions_unread
            await self._book.note(self._server, _usable(kind, items))
        except NoToken:
            return refusals.no_token
        except (NotSent, Sent, TimeoutError, SecretError):
            return refusals.definitions_unread
        except JournalUnavailable:
            return refusals.unwritable
        if self._told.get(kind, 0) == told:
            self._seen[kind] = asyncio.get_running_loop().time()
        return None

    async def _items(self, kind: Kind, place: str, own: Headers) -> list[Tree] | None:
        """Return all items of a kind, none where the server has no such list, `None` when it did not say."""
        items: list[Tree] = []
        cursor: object = None
        for _ in range(PAGES_MAX):
            final = await self._page(_METHODS[kind], cursor, place, own)
            if member(final, "error").get("code") == METHOD_NOT_FOUND:
                return items
            if "result" not in final:
                return None
            result = member(final, "result")
            items += items_of(kind, result)
            if len(items) > ITEMS_MAX:
                return None
            if (cursor := result.get("nextCursor")) is None:
                return items
        return None

    async def _page(self, method: str, cursor: object, place: str, own: Headers) -> Tree:
        meta: Tree = {PROTOCOL_VERSION_META_KEY: LATEST_MODERN_VERSION, CLIENT_CAPABILITIES_META_KEY: {},
                      CLIENT_INFO_META_KEY: OWN_INFO}  # fmt: skip
        params: Tree = {"_meta": meta} | ({} if cursor is None else {"cursor": cursor})
        tree: Tree = {"jsonrpc": "2.0", "id": "oncegate-definitions", "method": method, "params": params}
        message = Message(tree=tree, kind="request", era="modern", method=method, id=tree["id"], params=params)
        turn = Turn(
            message=message, method=method, place=place, sent=tree, joined=True, may_list=lambda _, __: True,
            seal_session=str,
        )  # fmt: skip
        response = await Leg(self._link, turn).send(modern_post(tree, own), seconds_max=LIST_SECONDS_MAX)
        try:
            async for one in messages_of(response):
                if "method" not in one:
                    return one
        finally:
            await response.aclose()
        return {}

    async def _listed(self, turn: Turn, result: Tree, headers: Headers) -> Tree:
        """Return a list result with what is accepted; what is new or changed is looked at before anybody sees it."""
        kind = LISTED[turn.method]
        shown = list(items_of(kind, result))
        if not all(self._known(kind, item) for item in shown):

            async def proof() -> Headers:
                return own_headers(headers)

            await asyncio.shield(self._ask(kind, turn.place, proof))
            # another client may be shown what the gateway itself is not: that counts as well
            await self._book.note(self._server, _usable(kind, [one for one in shown if not self._known(kind, one)]))
        passed = [item for item in shown if self._passes(kind, item)]
        return result if len(passed) == len(shown) else result | {PLACES[kind][0]: passed}

    async def _spoken(self, result: Tree) -> Tree:
        said = instructions_of(result)
        if said is None:
            return result
        await self._book.note(self._server, [said])
        pin = self._book.pin(self._server, "instructions", said.name)
        if pin is not None and pin.accepted and pin.hash == said.hash:
            return result
        return {name: value for name, value in result.items() if name != "instructions"}

    def _pin(self, kind: Kind, name: object) -> Pin | None:
        return self._book.pin(self._server, kind, name) if isinstance(name, str) else None

    def _known(self, kind: Kind, item: Tree) -> bool:
        pin = self._pin(kind, item.get(PLACES[kind][1]))
        return pin is not None and covered(item, pin.tree)

    def _passes(self, kind: Kind, item: Tree) -> bool:
        pin = self._pin(kind, item.get(PLACES[kind][1]))
        return pin is not None and pin.accepted and covered(item, pin.tree)


def _usable(kind: Kind, items: Iterable[Tree]) -> list[Definition]:
    return [found for item in items if (found := definition(kind, item)) is not None]


def _wrong(checker: Checker, arguments: object) -> str | None:
    """Return what is wrong with arguments; a placeholder may stand for anything that fits, a null for nothing."""
    wrong = checker.violation(arguments, nulls=True)  # many clients leave arguments out that way
    if wrong is None or not tokens_in(arguments, Shape()):
        return wrong
    return checker.violation(arguments, veiled=lambda text: bool(tokens_in(text, Shape())), nulls=True)
