"""One `subscriptions/listen` stream made of one of each server (MCP 2026-07-28)."""

from __future__ import annotations

import asyncio
import contextlib
from itertools import chain, repeat
from typing import TYPE_CHECKING, Final, Protocol, cast

from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY

from gateway.call import ClientGone, Sent
from gateway.mcp.names import SCHEME, unwrapped_uri, wrapped_uri
from gateway.mcp.replies import Leaving, reply_of
from gateway.mcp.talk import OPEN, Spoken, Tree, member, messages_of, meta_of, params_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

    from gateway.call import Headers, Reply
    from gateway.mcp.message import Message

#: How long servers may take to say what they will tell of; those that say it later are heard all the same.
ACKNOWLEDGE_SECONDS_MAX: Final = 3.0
WAITING_MAX: Final = 10_000
_ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"
_URIS: Final = "resourceSubscriptions"
#: How long a server whose stream ended is left alone before it is listened to again.
BACK_OFF_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
#: Refusals that pass: the server could not be asked.
_PASSING: Final = frozenset({"upstream_unreachable", "upstream_failed", "unavailable", "limited", "internal"})
_TOLD: Final = {
    "toolsListChanged": "notifications/tools/list_changed",
    "promptsListChanged": "notifications/prompts/list_changed",
    "resourcesListChanged": "notifications/resources/list_changed",
}


class Ear(Protocol):
    """Hears one server for a listener."""

    async def listen(self, server: str, params: Tree, gone: asyncio.Event) -> Reply:
        """Return what it tells until `gone` is set. Raises `ClientGone`."""
        ...

    def may(self, server: str) -> bool:
        """Return whether it may be heard now."""
        ...

    def hold(self, server: str, cut: Callable[[], None]) -> Callable[[], None]:
        """Have `cut` called when it is blocked; returns what ends that."""
        ...


def joined_stream(message: Message, servers: Sequence[str], ear: Ear, extra: Headers) -> Reply:
    """Return the reply that carries what any of `servers` tells, until its client goes."""
    fan = _Fan(message, servers, ear)
    return reply_of(Spoken(content=OPEN, messages=fan.messages(), ended=fan.end), extra)


class _Fan:
    def __init__(self, message: Message, servers: Sequence[str], ear: Ear) -> None:
        self._message = message
        self._servers = servers
        self._ear = ear
        self._gone = asyncio.Event()
        #: ends what is heard of one server
        self._left = {server: asyncio.Event() for server in servers}
        self._queue: asyncio.Queue[Tree | None] = asyncio.Queue(WAITING_MAX)
        self._granted: Tree = {}
        self._silent: set[str] = set()
        #: servers that were not heard for a while
        self._missed: set[str] = set()
        self._spoken = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def messages(self) -> AsyncGenerator[Tree]:
        """Yield the acknowledgement, then what is told."""
        wanted = {server: self._wanted(server) for server in self._servers}
        self._silent = {server for server, asked in wanted.items() if asked}
        self._tasks = [asyncio.create_task(self._hear(server, wanted[server])) for server in sorted(self._silent)]
        if self._tasks:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._spoken.wait(), ACKNOWLEDGE_SECONDS_MAX)
        tag: Tree = {SUBSCRIPTION_ID_META_KEY: self._message.id}
        granted: Tree = {"_meta": tag, "notifications": dict(self._granted)}
        yield {"jsonrpc": "2.0", "method": _ACKNOWLEDGED, "params": granted}
        while (told := await self._queue.get()) is not None:
            yield told

    async def end(self) -> None:
        """Let go of all servers."""
        self._gone.set()
        for left in self._left.values():
            left.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _wanted(self, server: str) -> Tree:
        asked = member(self._message.params, "notifications")
        wanted: Tree = {name: value for name, value in asked.items() if name != _URIS and value is True}
        uris = asked.get(_URIS)
        listed = cast("list[object]", uris) if isinstance(uris, list) else []
        if own := [found[1] for uri in listed if (found := unwrapped_uri(uri, [server])) is not None]:
            wanted[_URIS] = own
        return wanted

    async def _hear(self, server: str, wanted: Tree) -> None:
        """Hear one server as long as the client listens; one that comes back may have changed meanwhile."""
        for pause in chain(BACK_OFF_SECONDS, repeat(BACK_OFF_SECONDS[-1])):
            # one that is blocked is not asked, and heard again when that is lifted
            again = not self._ear.may(server) or await self._held(server, wanted)
            self._acknowledged(server)
            if not again:
                return
            self._missed.add(server)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), pause)
            if self._gone.is_set():
                return

    async def _held(self, server: str, wanted: Tree) -> bool:
        """Hear a server until its stream ends or it is blocked; returns whether it is worth another try."""
        left = self._left[server] = asyncio.Event()
        cut = asyncio.Event()

        def end() -> None:
            cut.set()
            left.set()

        release = self._ear.hold(server, end)
        try:
            return await self._heard(server, wanted, left) or cut.is_set()
        finally:
            release()

    async def _heard(self, server: str, wanted: Tree, left: asyncio.Event) -> bool:
        """Hear one stream of a server to its end; returns whether it is worth another try."""
        params: Tree = {"notifications": wanted, "_meta": meta_of(self._message.params)}
        try:
            replied = Leaving(await self._ear.listen(server, params, left), left)
            try:
                async for told in messages_of(replied):
                    if told.get("method") == _ACKNOWLEDGED:
                        await self._grant(server, member(params_of(told), "notifications"))
                    elif "method" in told:
                        await self._queue.put(told)
                    elif "error" in told:
                        return member(member(told, "error"), "data").get("code") in _PASSING
            finally:
                await replied.aclose()
        except Sent:
            return True
        except ClientGone:
            return False
        return True

    async def _grant(self, server: str, granted: Tree) -> None:
        uris = granted.get(_URIS)
        own = [str(uri) for uri in cast("list[object]", uris)] if isinstance(uris, list) else []
        own = [uri if uri.startswith(SCHEME) else wrapped_uri(server, uri) for uri in own]
        for name, value in granted.items():
            if name != _URIS and value is True:
                self._granted[name] = True
        if own:
            known = cast("list[object]", self._granted.setdefault(_URIS, []))
            known += [uri for uri in own if uri not in known]
        self._acknowledged(server)
        if server in self._missed:
            self._missed.discard(server)
            for one in self._changed(granted, own):
                await self._queue.put(one)

    def _changed(self, granted: Tree, uris: Sequence[str]) -> Iterator[Tree]:
        """Yield what tells that anything may have changed while a server was not heard."""
        tag: Tree = {"_meta": {SUBSCRIPTION_ID_META_KEY: self._message.id}}
        for name, method in _TOLD.items():
            if granted.get(name) is True:
                yield {"jsonrpc": "2.0", "method": method, "params": tag}
        for uri in uris:
            yield {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": uri, **tag}}

    def _acknowledged(self, server: str) -> None:
        self._silent.discard(server)
        if not self._silent:
            self._spoken.set()
