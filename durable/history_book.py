"""The store's part for a run's past: `durable.history.Past`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable import history
from durable.parts import Part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable.history import PastCall
    from durable.journal import Audit
    from durable.sql import Writing
    from durable.step import Owner


class HistoryBook(Part):
    """What runs and their owners have done."""

    async def read_past(self, run: str, *, after: int, calls_max: int) -> list[PastCall]:
        """Return the calls of `run` whose step is above `after`, in order, at most `calls_max`."""
        return await self._read(lambda tx: history.read_past(tx, run, after, calls_max))

    async def read_labels(self, owner: Owner, run: str, *, since: int, until: int) -> frozenset[str]:
        """Return the labels on `owner` from outside `run`, put after `since`, up to `until` (microseconds)."""
        return await self._read(lambda tx: history.read_labels(tx, owner, run, since, until))

    async def read_labels_now(self, owner: Owner, *, since: int) -> frozenset[str]:
        """Return the labels on `owner` put after `since` (microseconds), or in a run that is open."""
        return await self._read(lambda tx: history.read_labels_now(tx, owner, since))

    async def read_run_labels(self, run: str) -> frozenset[str]:
        """Return the labels on the calls of `run`."""
        return await self._read(lambda tx: history.read_run_labels(tx, run))

    async def read_moment(self, call_id: str) -> tuple[str, int] | None:
        """Return a call's state and when it was begun (microseconds), `None` where it is not there."""
        return await self._read(lambda tx: history.read_moment(tx, call_id))

    async def carry(self, owner: Owner, run: str, labels: Sequence[str], audit: Audit) -> None:
        """Put `labels`, which came with `run`, on `owner`; `audit` is written when they are new."""

        async def write(tx: Writing) -> None:
            if await history.carry(tx, owner, run, labels):
                tx.audit(audit)

        await self._write("carry", write)
