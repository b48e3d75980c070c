"""Frames of a stream on their way from an execution to its agent, with no task between the two while nobody waits.

What an upstream sends is written to the agent within the same step of the loop. Frames are queued only before
somebody takes them and while the agent's connection takes no more; then the taker's own task writes them.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator


class Relay:
    """A stream's frames. Given by one side; taken by the other once, as they come or by iteration.

    `last` is asked at the end for a frame to end the stream with, `None` when there is none.
    """

    def __init__(self, last: Callable[[], bytes | None]) -> None:
        self._last = last
        self._queue: deque[bytes] = deque()
        #: bytes given that nobody has taken yet
        self.waiting_bytes = 0
        self._write: Callable[[bytes], Awaitable[None] | None] | None = None
        self._pending: Awaitable[None] | None = None
        self._news: asyncio.Future[None] | None = None
        self._failed: Exception | None = None
        self._ended = False
        self._left = False

    def give(self, frame: bytes) -> None:
        """Take a frame; it leaves at once when nothing is before it."""
        if self._left:
            return
        if self._write is None:
            self._queue.append(frame)
            self.waiting_bytes += len(frame)
            self._wake()
            return
        try:
            self._pending = self._write(frame)
        except Exception as error:  # noqa: BLE001 - it belongs to whoever takes, not to whoever gives
            self._failed = error
        if self._pending is not None or self._failed is not None:
            self._write = None
            self._wake()

    def end(self) -> None:
        """Take no more frames."""
        self._ended = True
        self._wake()

    def leave(self) -> None:
        """Stop writing: nobody is left to read."""
        self._left = True
        self._write = None
        self._queue.clear()
        self.waiting_bytes = 0
        self._wake()

    async def pour(self, write: Callable[[bytes], Awaitable[None] | None]) -> None:
        """Write every frame until the end, or until `leave`.

        `write` returns `None` when the frame is out, and what to await where the agent's connection is full.
        """
        try:
            while not self._left:
                pending, self._pending = self._pending, None
                if self._failed is not None:
                    raise self._failed
                if pending is not None:
                    await pending  # what comes meanwhile is queued
                elif self._queue:
                    self._pending = write(self._taken())
                elif self._ended:
                    if (last := self._last()) is not None and (pending := write(last)) is not None:
                        await pending
                    return
                else:
                    self._write = write
                    await self._something()
                    self._write = None
        finally:
            self._write = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the frames, those that have come meanwhile as one."""
        while True:
            if self._queue:
                yield self._taken()
            elif self._ended:
                break
            else:
                await self._something()
        if (last := self._last()) is not None:
            yield last

    def _taken(self) -> bytes:
        self.waiting_bytes = 0
        frames = self._queue.popleft() if len(self._queue) == 1 else b"".join(self._queue)
        self._queue.clear()
        return frames

    async def _something(self) -> None:
        self._news = asyncio.get_running_loop().create_future()
        try:
            await self._news
        finally:
            self._news = None

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


def begun(awaitable: Awaitable[None]) -> Awaitable[None] | None:
    """Run a coroutine up to where it must wait; returns what is left of it, `None` when it has ended.

    What most writes need is no wait: they end here, in the step of the loop in which their bytes arrived.
    """
    if not inspect.iscoroutine(awaitable):
        return awaitable
    try:
        waits_for: object = awaitable.send(None)
    except StopIteration:
        return None
    return _Rest(awaitable, waits_for)


class _Rest:
    """A coroutine that has begun, to be awaited to its end."""

    def __init__(self, coroutine: Coroutine[object, object, None], waits_for: object) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[object, object]:
        """Go on where it waits (PEP 492)."""
        waits_for = self._waits_for
        while True:
            step = partial(self._coroutine.send, None)
            try:
                yield waits_for
            except BaseException as error:  # noqa: BLE001 - cancellation too belongs to the coroutine
                step = partial(self._coroutine.throw, error)
            try:
                waits_for = step()
            except StopIteration:
                return
