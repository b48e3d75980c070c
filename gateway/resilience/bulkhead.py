"""Places at one upstream: so many calls at a time, so many that wait, first come first served."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.config import Bulkhead


class Places:
    """Counts who is in; made and used in one event loop."""

    def __init__(self, rule: Bulkhead) -> None:
        self._rule = rule
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.taken = 0
        self.refused = 0

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._waiting)

    async def take(self, seconds_max: float) -> bool:
        """Return whether a place was got within `seconds_max` and the configured wait; `leave` gives it back."""
        if self.taken < self._rule.in_flight_max and not self._waiting:
            self.taken += 1
            return True
        if len(self._waiting) >= self._rule.queue_max:
            self.refused += 1
            return False
        loop = asyncio.get_running_loop()
        place: asyncio.Future[None] = loop.create_future()
        self._waiting.append(place)
        timer = loop.call_later(min(seconds_max, self._rule.queue_seconds_max), place.cancel)
        try:
            await asyncio.wait([place])
        except asyncio.CancelledError:
            self._give_up(place)
            raise
        finally:
            timer.cancel()
        if place.cancelled():
            self._give_up(place)
            self.refused += 1
            return False
        return True

    def leave(self) -> None:
        """Give a place back: to who has waited longest, else to nobody."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self.taken -= 1

    def _give_up(self, place: asyncio.Future[None]) -> None:
        if place in self._waiting:
            self._waiting.remove(place)
        if place.done() and not place.cancelled():  # it was given in the same moment
            self.leave()
