"""SQLite behind `durable.sql`: statements are translated once, and nothing ever waits."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from durable.sql import Here, checked

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from durable.chain import Chain, Link

_STATEMENTS_MAX: Final = 1000
_LINK: Final = "INSERT INTO audit (chain, number, record, hash) VALUES (?, ?, ?, ?)"


@lru_cache(maxsize=_STATEMENTS_MAX)
def translated(sql: str) -> str:
    """Return a statement of `durable.sql`'s dialect as SQLite takes it."""
    return checked(sql).replace("$", "?").removesuffix(" FOR UPDATE SKIP LOCKED").removesuffix(" FOR UPDATE")


class SqliteReading:
    """`durable.sql.Transaction` on one connection."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database

    async def row(self, sql: str, *arguments: object) -> sqlite3.Row | None:
        """Return the first row or `None`."""
        return self.database.execute(translated(sql), arguments).fetchone()

    async def rows(self, sql: str, *arguments: object) -> list[sqlite3.Row]:
        """Return all rows."""
        return self.database.execute(translated(sql), arguments).fetchall()


class SqliteWriting(SqliteReading):
    """`durable.sql.Writing` on the writing connection: one group's transaction.

    Audit records are linked at once and written together at the end of the group.
    """

    def __init__(self, database: sqlite3.Connection, chain: Chain, here: Here) -> None:
        super().__init__(database)
        self.here = here
        self.woken: list[str] = []
        self._chain = chain
        self._links: list[Link] = []

    async def execute(self, sql: str, *arguments: object) -> int:
        """Write; returns the number of rows touched."""
        return self.database.execute(translated(sql), arguments).rowcount

    def audit(self, records: Sequence[Mapping[str, object]]) -> None:
        """Link the records to the chain. Raises `TypeError` on a float."""
        for record in records:
            self._links.append(self._chain.link(record, time_microseconds=self.here.now))

    def wake(self, name: str) -> None:
        """Wake who waits for `name` once this is committed."""
        self.woken.append(name)

    def mark(self) -> tuple[int, int, tuple[int, bytes]]:
        """Return what to go back to when one operation of the group fails."""
        return len(self._links), len(self.woken), self._chain.mark()

    def back_to(self, mark: tuple[int, int, tuple[int, bytes]]) -> None:
        """Forget what was linked and woken since `mark`."""
        links, woken, chain = mark
        del self._links[links:]
        del self.woken[woken:]
        self._chain.back_to(chain)

    def flush(self) -> None:
        """Write the links."""
        self.database.executemany(_LINK, [(one.chain, one.number, one.text, one.hash) for one in self._links])
        self._links.clear()
