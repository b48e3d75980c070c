"""The store's part for housekeeping: `durable.journal.Housekeeping`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable import past, retention, rewrap
from durable.parts import Part
from durable.records import InstanceRecord
from durable.stamp import MICROSECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from durable.journal import Audit
    from durable.sql import Row, Writing


class KeepBook(Part):
    """Retention, key rotation, and what is known of instances and of the store's own past."""

    async def purge(self, seconds: Mapping[str, float], *, rows_max: int) -> int:
        """Delete what is older than its state's retention, at most `rows_max` rows; returns how many."""
        return await self._write("purge", lambda tx: retention.purge(tx, seconds, rows_max))

    async def rewrap(self, *, rows_max: int) -> int:
        """Seal values of older secrets again under the first one, at most `rows_max`; returns how many."""
        if not await self.count_older():
            return 0
        return await self._write("rewrap", lambda tx: rewrap.rewrap(tx, self._keyring, rows_max))

    async def unopened(self) -> str | None:
        """Return a table with a value that no key of the ring opens, `None` when there is none."""
        return await self._read(lambda tx: rewrap.unopened(tx, self._keyring))

    async def count_older(self) -> int:
        """Return how many values still need an older secret."""
        if not self._keyring.rotating:
            return 0
        return await self._read(lambda tx: rewrap.count_older(tx, self._keyring))

    async def instances(self) -> list[InstanceRecord]:
        """Return the gateway processes the store knows, newest first."""
        rows = await self._read(
            lambda tx: tx.rows("SELECT id, epoch, started, lease_until, ended FROM instance ORDER BY started DESC")
        )
        return [_instance(row) for row in rows]

    async def rolled_back(self) -> float | None:
        """Return since when the store's past is not certain (seconds since the epoch), `None` when it is."""
        since = await self._read(past.rolled_back)
        return None if since is None else since / MICROSECONDS

    async def accept_past(self, audit: Audit) -> bool:
        """Accept that the store was rolled back; false when nothing was."""

        async def write(tx: Writing) -> bool:
            accepted = await past.accept(tx)
            tx.audit(audit)
            return accepted

        return await self._write("accept", write)

    async def note_head(self) -> None:
        """Note beside the store how far it has come, where it is a file. Raises `OSError`."""
        await self._backend.note_head()


def _instance(row: Row) -> InstanceRecord:
    return InstanceRecord(
        id=row["id"], epoch=row["epoch"], started=row["started"] / MICROSECONDS,
        lease_until=row["lease_until"] / MICROSECONDS,
        ended=None if row["ended"] is None else row["ended"] / MICROSECONDS,
    )  # fmt: skip
