"""The store's part for a run's past: `durable.history.Past`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable import history
from durable.parts import Part

if TYPE_CHECKING:
    from durable.history import PastCall
    from durable.step import Owner


class HistoryBook(Part):
    """What runs and their owners have done."""

    async def read_past(self, run: str, *, after: int, calls_max: int) -> list[PastCall]:
        """Return the calls of `run` whose step is above `after`, in order, at most `calls_max`."""
        return await self._read(lambda tx: history.read_past(tx, run, after, calls_max))

    async def read_labels(self, owner: Owner, run: str, *, since: int, until: int) -> frozenset[str]:
        """Return the labels on calls of `owner` outside `run` begun after `since`, up to `until` (microseconds)."""
        return await self._read(lambda tx: history.read_labels(tx, owner, run, since, until))
