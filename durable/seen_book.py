"""The store's part for what may be used once: digests noted until a time, on all instances together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from durable.parts import Part
from durable.stamp import MICROSECONDS

if TYPE_CHECKING:
    from durable.sql import Writing

_NOTE: Final = "INSERT INTO seen (digest, until) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING"
#: what is over goes with what comes, so that the table stays as long as one window
_FORGET: Final = "DELETE FROM seen WHERE digest IN (SELECT digest FROM seen WHERE until < $1 ORDER BY until LIMIT 20)"


class SeenBook(Part):
    """Digests that were used."""

    async def first_seen(self, digest: bytes, until: float) -> bool:
        """Note a digest until a time, in seconds since the epoch; false when it was noted before.

        Raises `JournalUnavailable`.
        """

        async def write(tx: Writing) -> bool:
            await tx.execute(_FORGET, tx.here.now)
            return await tx.execute(_NOTE, digest, int(until * MICROSECONDS)) == 1

        return await self._write("seen", write)
