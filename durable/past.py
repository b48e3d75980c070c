"""What the store is no longer sure of: ids it has forgotten on purpose, and a past it has lost by a rollback.

A purged run id or explicit key leaves a tombstone, so that it is refused instead of executed a second time.
A store that was rolled back (a restored backup, a lost replica) may have forgotten effects: until an operator
accepts it, `once` steps that could be among the forgotten ones are held (DESIGN section 5).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from durable.sql import Row, Transaction, Writing
    from durable.step import Step

#: the mark that holds since when (microseconds since the epoch) the store's past is not certain
ROLLED_BACK: Final = "rolled_back"
#: the mark that names the database by what a restored or promoted one has not
IDENTITY: Final = "identity"
HELD_REASON: Final = "the journal was rolled back and may have forgotten that this was executed"

_SET: Final = "INSERT INTO mark (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


def run_tombstone(run_id: str) -> bytes:
    """Return the name under which a purged run stays refused; an explicit key's is its place."""
    return hashlib.sha256(b"run/" + run_id.encode()).digest()


async def is_purged(tx: Transaction, name: bytes) -> bool:
    """Return whether there is a tombstone of that name."""
    return await tx.row("SELECT purged FROM tombstone WHERE name = $1", name) is not None


async def bury(tx: Writing, name: bytes) -> None:
    """Leave a tombstone."""
    await tx.execute(
        "INSERT INTO tombstone (name, purged) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING", name, tx.here.now
    )


async def read_mark(tx: Transaction, name: str) -> str | None:
    """Return a mark's value, `None` without it."""
    row = await tx.row("SELECT value FROM mark WHERE name = $1", name)
    return None if row is None else row["value"]


async def rolled_back(tx: Transaction) -> int | None:
    """Return since when the past is not certain (microseconds since the epoch), `None` when it is."""
    value = await read_mark(tx, ROLLED_BACK)
    return None if value is None else int(value)


async def note_rollback(tx: Writing, how: str) -> None:
    """Mark the past as uncertain, and say so in the audit; `how` is what gave it away."""
    await tx.execute(_SET, ROLLED_BACK, str(tx.here.now))
    tx.audit([{"event": "store_rolled_back", "reason": how}])


async def check_identity(tx: Writing, identity: str) -> None:
    """Compare the database with the one the store was last on, and note a rollback when it is another."""
    known = await read_mark(tx, IDENTITY)
    if known == identity:
        return
    await tx.execute(_SET, IDENTITY, identity)
    if known is not None:
        await note_rollback(tx, "the database was restored, or another replica has taken over")


async def accept(tx: Writing) -> bool:
    """Take the past as certain again; false when it was."""
    return bool(await tx.execute("DELETE FROM mark WHERE name = $1", ROLLED_BACK))


def may_be_forgotten(step: Step, run: Row | None, since: int | None) -> bool:
    """Return whether a new `once` step could be one that a rollback has made the store forget.

    It could where it has an identity older than the event: its run's, or a key's whose age nobody knows.
    """
    if since is None or step.effect != "once":
        return False
    if run is None:
        return step.key is not None
    # an id given by a client may have been in use before the event, whatever the row says
    return run["created"] < since or run["kind"] == "header"
