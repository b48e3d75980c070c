"""Replies of the path as answers of an upstream, and back: how one governed endpoint stands on others."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from gateway import body
from gateway.call import Reply, Sent, header
from gateway.mcp.names import with_wrapped_uris, wrapped_uri
from gateway.mcp.talk import STREAM, Tree, member, message_in, params_of
from gateway.sse import EventSplitter, event

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator

    from gateway.call import Headers, UpstreamResponse

_STREAM_HEADERS: Headers = (*STREAM, (b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))


class Replied:
    """A reply, read like an upstream's answer; closing it tells whether it was read to its end."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._complete = False
        self._ended = False
        self.status: int = reply.status
        self.headers: Headers = reply.headers

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body."""
        if self._reply.body:
            yield self._reply.body
        if self._reply.frames is not None:
            async for frame in self._reply.frames:
                yield frame
        self._complete = True

    async def aclose(self) -> None:
        """End it."""
        if self._reply.delivered is not None and not self._ended:
            self._ended = True
            self._reply.delivered(self._complete or self._reply.frames is None)


class Leaving:
    """A reply as an upstream's answer that ends when `gone` is set."""

    def __init__(self, reply: Reply, gone: asyncio.Event) -> None:
        inner = Replied(reply)
        self.status: int = inner.status
        self.headers: Headers = inner.headers
        self.aclose = inner.aclose
        self._inner = inner
        self._gone = gone

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body."""
        async for part in until_gone(self._inner, self._gone):
            yield part


def reply_of(answer: UpstreamResponse, extra: Headers) -> Reply:
    """Return an answer as a reply that ends when its client goes."""
    media = header(answer.headers, b"content-type") or b""
    extra = tuple(pair for pair in extra if header(answer.headers, pair[0]) is None)
    gone = asyncio.Event()
    frames = until_gone(answer, gone)

    def delivered(complete: bool) -> None:  # noqa: FBT001 - a callback with one fact
        if not complete:
            gone.set()

    if not media.startswith(b"text/event-stream"):
        return Reply(status=answer.status, headers=(*answer.headers, *extra), frames=frames, delivered=delivered)
    return Reply(status=answer.status, headers=(*_STREAM_HEADERS, *extra), frames=frames, delivered=delivered)


async def until_gone(answer: UpstreamResponse, gone: asyncio.Event) -> AsyncGenerator[bytes]:
    """Yield an answer's body until its end, or until `gone` is set; then end it."""
    parts = aiter(answer.chunks())
    leaving = asyncio.ensure_future(gone.wait())
    following = asyncio.ensure_future(_next(parts))
    try:
        while True:
            await asyncio.wait({following, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not following.done() or (part := following.result()) is None:
                return
            yield part
            following = asyncio.ensure_future(_next(parts))
    finally:
        leaving.cancel()
        if not following.done():  # left, or cancelled in the middle: nobody will ask for what comes next
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following
        await answer.aclose()


async def _next(parts: AsyncIterator[bytes]) -> bytes | None:
    async for part in parts:
        return part
    return None


def with_names(reply: Reply, server: str, method: str) -> Reply:
    """Return a reply of one server with its resources named as at the joined endpoint."""
    if reply.frames is not None:
        return replace(reply, frames=_renamed_frames(reply.frames, server, method))
    with contextlib.suppress(Sent):  # a body that is no message names nothing
        if b'"uri"' in reply.body:
            return replace(reply, body=body.encode(_renamed(message_in(reply.body), server, method)))
    return reply


async def _renamed_frames(frames: AsyncIterable[bytes], server: str, method: str) -> AsyncGenerator[bytes]:
    splitter = EventSplitter()
    async for frame in frames:
        for one in splitter.feed(frame):
            if one.data is None or b'"uri"' not in one.data:
                yield one.raw
            else:
                renamed = body.encode(_renamed(message_in(one.data), server, method))
                yield event(renamed, name=one.name, event_id=one.id)
    if rest := splitter.rest():
        yield rest


def _renamed(message: Tree, server: str, method: str) -> Tree:
    if "result" in message:
        return message | {"result": with_wrapped_uris(server, method, member(message, "result"))}
    if message.get("method") == "notifications/resources/updated":
        params = params_of(message)
        return message | {"params": params | {"uri": wrapped_uri(server, cast("str", params.get("uri", "")))}}
    return message
