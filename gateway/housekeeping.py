"""What a gateway does between calls, so that its journal stays small, readable and honest about its past.

Each deed is a small transaction among those of the calls, with a pause after it: nothing here may stall a
writer. Several instances do it side by side; what one has done the next does not find.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Protocol

from durable.journal import JournalError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gateway.config import Config

_log = logging.getLogger("oncegate.housekeeping")

#: Rows deleted or sealed anew in one transaction.
ROWS_MAX: Final = 200
#: Between two such transactions.
PAUSE_SECONDS: Final = 0.05
_HEAD_SECONDS: Final = 5.0
_LAPSE_SECONDS: Final = 10.0
_RUNS_SECONDS: Final = 60.0
_PURGE_SECONDS: Final = 600.0
_REWRAP_SECONDS: Final = 3600.0


class Kept(Protocol):
    """The parts of a store that housekeeping needs."""

    async def close_idle_runs(self, idle_seconds: float) -> int:
        """Finish running runs without a call for that long; returns how many."""
        ...

    async def expire_approvals(self) -> int:
        """End open approvals past their time; returns how many."""
        ...

    async def purge(self, seconds: Mapping[str, float], *, rows_max: int) -> int:
        """Delete what is older than its retention, at most `rows_max` rows; returns how many."""
        ...

    async def rewrap(self, *, rows_max: int) -> int:
        """Seal values of older secrets again under the first one; returns how many."""
        ...

    async def note_head(self) -> None:
        """Note beside the store how far it has come."""
        ...


class Housekeeping:
    """The chores of one gateway process; `start` them once, `aclose` ends them."""

    def __init__(self, store: Kept, config: Config) -> None:
        self._store = store
        kept = config.retention
        self._retention = {
            "finished": kept.finished_seconds, "failed": kept.failed_seconds, "cancelled": kept.failed_seconds,
            "calls": kept.calls_seconds, "approvals": kept.failed_seconds, "tombstones": kept.keys_seconds,
        }  # fmt: skip
        self._idle_seconds = config.runs.idle_seconds
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the chores."""
        chores: list[tuple[float, Callable[[], Awaitable[object]], str]] = [
            (_HEAD_SECONDS, self._store.note_head, "the store's head was not noted"),
            (_LAPSE_SECONDS, self._store.expire_approvals, "approvals were not ended"),
            (_RUNS_SECONDS, lambda: self._store.close_idle_runs(self._idle_seconds), "idle runs were not closed"),
            (_PURGE_SECONDS, self.purge, "what is past its retention was not deleted"),
            (_REWRAP_SECONDS, self.rewrap, "values were not sealed anew"),
        ]
        self._tasks = [asyncio.create_task(_every(*chore)) for chore in chores]

    async def aclose(self) -> None:
        """End the chores and note how far the store has come."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await self._store.note_head()
        except (JournalError, OSError) as error:
            _log.warning("the store's head was not noted: %s", error)

    async def purge(self) -> int:
        """Delete everything past its retention, in small transactions; returns how many rows."""
        return await _in_parts(lambda: self._store.purge(self._retention, rows_max=ROWS_MAX))

    async def rewrap(self) -> int:
        """Seal everything under the first secret, in small transactions; returns how many values."""
        return await _in_parts(lambda: self._store.rewrap(rows_max=ROWS_MAX))


async def _in_parts(part: Callable[[], Awaitable[int]]) -> int:
    total = 0
    while (done := await part()) > 0:
        total += done
        await asyncio.sleep(PAUSE_SECONDS)
    return total


async def _every(seconds: float, deed: Callable[[], Awaitable[object]], trouble: str) -> None:
    while True:
        try:
            await deed()
        except (JournalError, OSError) as error:
            _log.warning("%s: %s", trouble, error)
        await asyncio.sleep(seconds)
