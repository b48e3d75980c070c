"""A call sent more than once side by side: the first good answer is kept, the others are dropped.

Only for `safe` model calls: the second one is the same request, and what it costs is paid.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Hedge
    from gateway.sending import Sending


class Race:
    """Sendings of one call. `first` runs at once; `another` makes one more each time its wait is over."""

    def __init__(self, hedge: Hedge, first: Sending, another: Callable[[], Sending]) -> None:
        self._hedge = hedge
        self._another = another
        self._first = first
        self._under_way: dict[asyncio.Task[None], Sending] = {}
        self._left = hedge.extra_max
        self._winner: Sending | None = None
        #: whether more than one was sent
        self.several = False
        #: how many were sent besides the one that is kept and brought no answer, but may be charged for
        self.dropped = 0

    async def run(self, until: float, seconds_max: float) -> Sending:
        """Return the sending whose answer is kept: a good one, else the last. Raises what the last one raised."""
        loop = asyncio.get_running_loop()
        self._start(self._first, until, seconds_max)
        try:
            while True:
                wait = self._hedge.after_seconds if self._left > 0 else None
                done, _ = await asyncio.wait(self._under_way, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
                if not done and self._left > 0:
                    self._left -= 1
                    self.several = True
                    self._start(self._another(), until, until - loop.time())
                for task in done:
                    sending = self._under_way.pop(task)
                    failed = task.cancelled() or task.exception() is not None
                    if sending is self._winner or not self._under_way or not (failed or _bad(sending)):
                        task.result()
                        return sending
                    self.dropped += failed and sending.out
        finally:
            await self._drop()

    def won(self, winner: Sending) -> None:
        """Keep `winner`, whose answer the agent is being given, and drop the others."""
        self._left, self._winner = 0, winner
        for task, sending in self._under_way.items():
            if sending is not winner:
                task.cancel()

    def bound_rest(self, bytes_max: int) -> None:
        """Read at most `bytes_max` more of each, and send no more."""
        self._left = 0
        for sending in self._under_way.values():
            sending.bound_rest(bytes_max)

    def _start(self, sending: Sending, until: float, seconds_max: float) -> None:
        self._under_way[asyncio.create_task(sending.run(until, seconds_max))] = sending

    async def _drop(self) -> None:
        for task, sending in self._under_way.items():
            self.dropped += sending.out
            task.cancel()
        if self._under_way:
            await asyncio.wait(self._under_way)


def _bad(sending: Sending) -> bool:
    verdict = sending.reader.verdict()
    return verdict.kind != "outcome" or verdict.status >= 400  # noqa: PLR2004 - RFC 9110 section 15
