"""A stream of the older era that its server closes before the response, fetched to its end (MCP 2025-11-25, SEP-1699).

A server may close a call's stream and expect its client back with `Last-Event-ID`. The gateway is the
client: it comes back itself, so that a call is not in doubt for want of an answer that is there.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from gateway.call import NotSent, Sent, header
from gateway.mcp.talk import message_in, messages_of
from gateway.sse import EventSplitter, EventTooLong

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from gateway.call import Headers, UpstreamResponse
    from gateway.mcp.talk import Tree

#: How often in a row it is asked for the rest without hearing anything new.
RESUMES_MAX: Final = 20
RETRY_SECONDS: Final = 1.0
RETRY_SECONDS_MIN: Final = 0.02
RETRY_SECONDS_MAX: Final = 30.0
_OK: Final = 200
#: How long a server wants to be left alone before a stream is resumed, in milliseconds (WHATWG HTML 9.2.6).
_RETRY: Final = re.compile(rb"^retry: ?(\d{1,7})\r?$", re.MULTILINE)


class Progress(Protocol):
    """What is known of a stream as far as it was read; `gateway.mcp.turn.Turn` is one."""

    last_event_id: str | None
    retry_seconds: float | None
    answered: bool
    cancelled: bool
    #: another stream begins where the last one was cut
    cut: bool
    resumed: bool


@dataclass(slots=True)
class Heard:
    """A `Progress` of its own, for a stream that nobody else reads."""

    last_event_id: str | None = None
    retry_seconds: float | None = None
    answered: bool = False
    cancelled: bool = False
    cut: bool = False
    resumed: bool = False


def note_event(progress: Progress, raw: bytes, event_id: str | None) -> None:
    """Take note of where a stream can be resumed, and when."""
    if event_id:
        progress.last_event_id = event_id
    if b"retry:" in raw and (wished := _RETRY.search(raw)) is not None:
        progress.retry_seconds = int(wished.group(1)) / 1000


async def messages_to_end(
    first: UpstreamResponse, fetch: Callable[[str], Awaitable[UpstreamResponse]], answers: Callable[[Tree], bool]
) -> AsyncGenerator[Tree]:
    """Yield the messages of an answer up to the one that `answers` tells, over as many streams as it takes.

    The caller ends `first`. Raises `Sent`.
    """
    if not (header(first.headers, b"content-type") or b"").startswith(b"text/event-stream"):
        async for message in messages_of(first):
            yield message
        return
    heard, splitter = Heard(), EventSplitter()
    going_on = Resuming(first, heard, fetch)
    try:
        async for part in going_on.chunks():
            if heard.cut:
                heard.cut, splitter = False, EventSplitter()
            try:
                events = splitter.feed(part)
            except EventTooLong:
                raise Sent("an event of the stream is too long") from None
            for one in events:
                note_event(heard, one.raw, one.id)
                if one.data is None or not one.data.strip():
                    continue
                message = message_in(one.data)
                heard.answered = heard.answered or answers(message)
                yield message
    finally:
        await going_on.aclose()


class Resuming:
    """An answer that goes on in further streams until the response has come. `fetch` asks for the rest."""

    def __init__(
        self, first: UpstreamResponse, turn: Progress, fetch: Callable[[str], Awaitable[UpstreamResponse]]
    ) -> None:
        self._current: UpstreamResponse | None = first
        self._turn = turn
        self._fetch = fetch
        self.status: int = first.status
        self.headers: Headers = first.headers

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body, streams joined. Raises `Sent` when the rest cannot be had."""
        turn, vain = self._turn, 0
        while self._current is not None:
            heard = turn.last_event_id
            cut: Sent | None = None
            try:
                async for part in self._current.chunks():
                    yield part
                    if turn.answered and turn.resumed:  # a stream that was come back for may stay open
                        return
            except Sent as error:
                cut = error
            await self._leave()
            if turn.answered or turn.cancelled or turn.last_event_id is None:
                if cut is not None:
                    raise cut
                return
            vain = 0 if turn.last_event_id != heard else vain + 1
            if vain > RESUMES_MAX:
                raise cut or Sent("the stream was closed before the response")
            turn.cut = turn.resumed = True
            self._current = await self._rest(turn.last_event_id)

    async def aclose(self) -> None:
        """End it."""
        await self._leave()

    async def _rest(self, last_event_id: str) -> UpstreamResponse | None:
        for _ in range(RESUMES_MAX):
            wished = RETRY_SECONDS if self._turn.retry_seconds is None else self._turn.retry_seconds
            await asyncio.sleep(min(max(wished, RETRY_SECONDS_MIN), RETRY_SECONDS_MAX))
            try:
                response = await self._fetch(last_event_id)
            except (NotSent, Sent):  # asking for it has no effect, so it is asked again
                continue
            media = header(response.headers, b"content-type") or b""
            if response.status == _OK and media.startswith(b"text/event-stream"):
                return response
            await response.aclose()
            return None  # the server has nothing to add; what is missing stays unknown
        return None

    async def _leave(self) -> None:
        current, self._current = self._current, None
        if current is not None:
            await current.aclose()
