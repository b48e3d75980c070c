"""Notices a client that goes away while its answer is awaited."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gateway.call import ClientGone

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.call import Reply

#: Most answers come sooner; only then is it worth a task to watch.
AFTER_SECONDS: Final = 0.05


class Watch:
    """Ends the wait for `reply` with `ClientGone` when `disconnected` comes first. `end` it always."""

    def __init__(self, disconnected: Callable[[], Awaitable[None]], reply: asyncio.Future[Reply]) -> None:
        self._disconnected = disconnected
        self._reply = reply
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(AFTER_SECONDS, self._begin)

    def end(self) -> None:
        """Stop watching."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._wait())

    async def _wait(self) -> None:
        await self._disconnected()
        if not self._reply.done():
            self._reply.set_exception(ClientGone())
