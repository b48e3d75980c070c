"""An upstream whose answers pass through a sieve: the one response is looked at before anybody reads it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from gateway import body
from gateway.call import Sent, header
from gateway.mcp.talk import message_in, whole
from gateway.sse import EventSplitter, EventTooLong, event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gateway.call import Headers, Upstream, UpstreamRequest, UpstreamResponse
    from gateway.mcp.talk import Tree
    from gateway.mcp.turn import Turn

    Sift = Callable[[Tree, UpstreamRequest], Awaitable[Tree]]


class Sieve:
    """An upstream; `sift` returns what becomes of a result, the same object when nothing does."""

    def __init__(self, inner: Upstream, turn: Turn, sift: Sift) -> None:
        self._inner = inner
        self._turn = turn
        self._sift = sift

    async def send(self, request: UpstreamRequest, *, seconds_max: float) -> UpstreamResponse:
        """Send and wait for the answer's head. Raises `NotSent`, `Sent`."""
        response = await self._inner.send(request, seconds_max=seconds_max)

        async def sift(result: Tree) -> Tree:
            return await self._sift(result, request)

        return _Sifted(response, self._turn, sift)

    async def aclose(self) -> None:
        """End what it stands before."""
        await self._inner.aclose()


class _Sifted:
    def __init__(self, inner: UpstreamResponse, turn: Turn, sift: Callable[[Tree], Awaitable[Tree]]) -> None:
        self._inner = inner
        self._turn = turn
        self._sift = sift
        self.status: int = inner.status
        self.headers: Headers = tuple(pair for pair in inner.headers if pair[0] != b"content-length")
        self.aclose = inner.aclose

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body."""
        if (header(self.headers, b"content-type") or b"").startswith(b"text/event-stream"):
            async for part in self._events():
                yield part
        else:
            content = await whole(self._inner)
            passed = await self._passed(content)
            yield content if passed is None else passed

    async def _events(self) -> AsyncIterator[bytes]:
        splitter = EventSplitter()
        async for chunk in self._inner.chunks():
            if self._turn.cut:  # another stream goes on; what was left of an event in the old one comes again
                splitter = EventSplitter()
            try:
                events = splitter.feed(chunk)
            except EventTooLong:
                raise Sent("an event of the stream is too long") from None
            for one in events:
                passed = None if one.data is None else await self._passed(one.data)
                yield one.raw if passed is None else event(passed, name=one.name, event_id=one.id)
        if rest := splitter.rest():
            yield rest

    async def _passed(self, content: bytes) -> bytes | None:
        """Return the message that goes on instead of `content`, `None` where it goes on as it came."""
        message = self._turn.message
        tree: Tree = {}
        with contextlib.suppress(Sent):  # who reads it will say what is wrong with it
            tree = message_in(content)
        result = tree.get("result")
        if "method" in tree or message is None or tree.get("id") != message.id or not isinstance(result, dict):
            return None
        sifted = await self._sift(result)  # pyright: ignore[reportUnknownArgumentType] - a JSON object
        return None if sifted is result else body.encode(tree | {"result": sifted})
