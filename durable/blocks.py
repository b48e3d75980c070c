"""The SQL of blocks: who and what nothing is done for or with until an operator lifts it.

All changes go under one counter, so that every instance learns of each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from durable.rows import seconds

if TYPE_CHECKING:
    from durable.sql import Row, Transaction, Writing

#: What is woken when a block was set or lifted.
WAKE: Final = "blocks"
_REVISION: Final = "SELECT value FROM mark WHERE name = 'blocks'"
#: The row's lock puts the changes of all instances in one order.
_NEXT: Final = (
    "INSERT INTO mark (name, value) VALUES ('blocks', '1') ON CONFLICT (name) "
    "DO UPDATE SET value = CAST(CAST(mark.value AS BIGINT) + 1 AS TEXT)"
)
_ALL: Final = "SELECT subject, reason, blocker, since FROM block ORDER BY since DESC, subject"
_ONE: Final = "SELECT subject, reason, blocker, since FROM block WHERE subject = $1"
_INSERT: Final = (
    "INSERT INTO block (subject, reason, blocker, since) VALUES ($1, $2, $3, $4) ON CONFLICT (subject) DO NOTHING"
)
_DELETE: Final = "DELETE FROM block WHERE subject = $1"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRecord:
    """One block. `subject` as written outside policy files; `since` in seconds since the epoch."""

    subject: str
    reason: str
    blocker: str
    since: float


async def block(tx: Writing, subject: str, reason: str, blocker: str) -> BlockRecord:
    """Set a block; one that stands already stays as it is."""
    await tx.execute(_NEXT)
    await tx.execute(_INSERT, subject, reason, blocker, tx.here.now)
    tx.wake(WAKE)
    return _record(cast("Row", await tx.row(_ONE, subject)))


async def lift(tx: Writing, subject: str) -> BlockRecord:
    """Lift a block; returns what it was. Raises `LookupError` when there is none."""
    row = await tx.row(_ONE, subject)
    if row is None:
        raise LookupError(subject)
    await tx.execute(_NEXT)
    await tx.execute(_DELETE, subject)
    tx.wake(WAKE)
    return _record(row)


async def read_all(tx: Transaction) -> list[BlockRecord]:
    """Return all blocks, the newest first."""
    return [_record(row) for row in await tx.rows(_ALL)]


async def revision(tx: Transaction) -> int:
    """Return the number of changes so far."""
    row = await tx.row(_REVISION)
    return 0 if row is None else int(row["value"])


def _record(row: Row) -> BlockRecord:
    return BlockRecord(
        subject=row["subject"], reason=row["reason"], blocker=row["blocker"],
        since=cast("float", seconds(row["since"])),
    )  # fmt: skip
