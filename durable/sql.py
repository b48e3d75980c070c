"""One dialect for both stores: what a transaction offers to the functions that hold the SQL.

Statements are written once, in what SQLite and PostgreSQL share:
`$1` placeholders, `ON CONFLICT (column) DO …`, `RETURNING`, JSON as text, times as integer microseconds,
`CAST($1 AS TEXT) IS NULL` where an argument may be absent, sums cast to BIGINT, and always `"user"`, which
PostgreSQL would else read as the database role. `FOR UPDATE` and `FOR UPDATE SKIP LOCKED` may end a SELECT:
SQLite, with its one writer, leaves them out. Its methods never suspend; `drive` runs what is made of them at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

Result = TypeVar("Result")

_STATEMENTS_MAX: Final = 1000
_BARE_USER: Final = re.compile(r'(?<!")\buser\b(?!")')


class Row(Protocol):
    """One row; columns by name."""

    def __getitem__(self, column: str, /) -> Any:
        """Return the column's value."""
        ...


@dataclass(frozen=True, slots=True)
class Here:
    """Who writes: this instance in this epoch, at `now` (microseconds since the epoch)."""

    instance: str
    epoch: int
    now: int


class Transaction(Protocol):
    """What is asked sees one state of the store."""

    async def row(self, sql: str, *arguments: object) -> Row | None:
        """Return the first row or `None`."""
        ...

    async def rows(self, sql: str, *arguments: object) -> Sequence[Row]:
        """Return all rows."""
        ...


class Writing(Transaction, Protocol):
    """One transaction that writes; what it did is durable before anybody hears of it.

    Work in it must be repeatable: where it, or what shares its transaction, fails, it is done again.
    """

    @property
    def here(self) -> Here:
        """Who writes, and when this transaction began."""
        ...

    async def execute(self, sql: str, *arguments: object) -> int:
        """Write; returns the number of rows touched."""
        ...

    def audit(self, records: Sequence[Mapping[str, object]]) -> None:
        """Link the records to this instance's chain in this transaction. Raises `TypeError` on a float."""
        ...

    def wake(self, name: str) -> None:
        """Wake who waits for `name` (`call/<id>`), on every instance, once this is committed."""
        ...


if TYPE_CHECKING:
    Read = Callable[[Transaction], Coroutine[Any, Any, Result]]
    Write = Callable[[Writing], Coroutine[Any, Any, Result]]


def drive(work: Coroutine[Any, Any, Result]) -> Result:
    """Return the result of `work`, run at once. Raises `RuntimeError` when it waits for anything."""
    try:
        work.send(None)
    except StopIteration as stop:
        return stop.value
    work.close()
    raise RuntimeError("work on this store may not wait for anything")


@lru_cache(maxsize=_STATEMENTS_MAX)
def checked(sql: str) -> str:
    """Return `sql`. Raises `ValueError` where PostgreSQL would read a column as the database role."""
    if _BARE_USER.search(sql):
        raise ValueError(f'expected `"user"` in quotes: {sql[:60]}')
    return sql
