"""Deleting what is past its retention: in parts, so that no transaction is long, and never what is unsettled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from durable import past
from durable.stamp import MICROSECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from durable.sql import Row, Writing

#: A run that is over, and whose every call is settled: what is in doubt is kept until somebody has decided.
_RUN_OVER: Final = (
    "SELECT id FROM run WHERE state = $1 AND created < $2 AND updated < $2 AND NOT EXISTS "
    "(SELECT 1 FROM call WHERE call.run = run.id AND call.state IN ('intent', 'doubt', 'held')) "
    "ORDER BY created LIMIT 1"
)
#: What belongs to a run, in the order it goes; each takes the run's id and how many rows at most.
_OF_RUN: Final = (
    "DELETE FROM use WHERE run = $1 AND call IN (SELECT call FROM use WHERE run = $1 LIMIT $2)",
    "DELETE FROM cursor WHERE run = $1 AND fingerprint IN (SELECT fingerprint FROM cursor WHERE run = $1 LIMIT $2)",
    (
        "DELETE FROM vault WHERE scope = 'run/' || $1 AND token IN "
        "(SELECT token FROM vault WHERE scope = 'run/' || $1 LIMIT $2)"
    ),
    "DELETE FROM approval WHERE id IN (SELECT id FROM approval WHERE run = $1 LIMIT $2)",
    "DELETE FROM call WHERE id IN (SELECT id FROM call WHERE run = $1 LIMIT $2)",
)
_ALONE: Final = (
    "SELECT id, place, key FROM call WHERE run IS NULL AND intent_time < $1 "
    "AND state IN ('done', 'failed', 'released') ORDER BY intent_time LIMIT $2"
)
_VAULT: Final = (
    "DELETE FROM vault WHERE substr(scope, 1, 4) <> 'run/' AND used < $1 AND token IN "
    "(SELECT token FROM vault WHERE substr(scope, 1, 4) <> 'run/' AND used < $1 ORDER BY used LIMIT $2)"
)
_APPROVALS: Final = (
    "DELETE FROM approval WHERE id IN (SELECT id FROM approval WHERE state IN ('used', 'denied', 'expired', 'lapsed') "
    "AND expires < $1 LIMIT $2)"
)
_BUDGETS: Final = (
    "DELETE FROM budget WHERE reserved = 0 AND (counter, bucket) IN "
    "(SELECT counter, bucket FROM budget WHERE reserved = 0 AND kept_until < $1 ORDER BY kept_until LIMIT $2)"
)
_FORMS: Final = "DELETE FROM form WHERE name IN (SELECT name FROM form WHERE asked < $1 ORDER BY asked LIMIT $2)"
_TOMBSTONES: Final = (
    "DELETE FROM tombstone WHERE name IN (SELECT name FROM tombstone WHERE purged < $1 ORDER BY purged LIMIT $2)"
)
#: an id outlives the call that brought it: a later one may name it as long as the provider keeps it
_OBJECTS: Final = (
    "DELETE FROM provider_object WHERE id IN (SELECT id FROM provider_object WHERE received < $1 "
    "ORDER BY received LIMIT $2) AND received < $1"
)
#: a label that came with a run, or while another was open, counts for as long as that is
_OUTLIVED: Final = (
    "latest < $1 AND NOT EXISTS (SELECT 1 FROM run WHERE run.state IN ('ready', 'running', 'waiting') "
    "AND (run.id = carried.run OR run.created <= carried.latest))"
)
_CARRIED: Final = (
    f"DELETE FROM carried WHERE run IN (SELECT run FROM carried WHERE {_OUTLIVED} ORDER BY latest LIMIT $2) "  # noqa: S608 - constant text
    f"AND {_OUTLIVED}"
)


async def purge(tx: Writing, seconds: Mapping[str, float], rows_max: int) -> int:
    """Delete at most about `rows_max` rows that are past their retention; returns how many.

    The first kind that has something to delete has its turn, so that a call of this is one short transaction.
    """
    for state in ("finished", "failed", "cancelled"):
        if state in seconds and (deleted := await _run(tx, state, _before(tx, seconds[state]), rows_max)):
            return deleted
    if "calls" in seconds and (deleted := await _alone(tx, _before(tx, seconds["calls"]), rows_max)):
        return deleted
    for kind, statement in (
        ("calls", _VAULT), ("calls", _FORMS), ("approvals", _APPROVALS), ("tombstones", _TOMBSTONES),
        ("tombstones", _OBJECTS), ("tombstones", _CARRIED),
    ):  # fmt: skip
        if kind in seconds and (deleted := await tx.execute(statement, _before(tx, seconds[kind]), rows_max)):
            return deleted
    # what is reserved stays: its call is under way or in doubt, and will want to settle it
    return await tx.execute(_BUDGETS, tx.here.now, rows_max)


def _before(tx: Writing, seconds: float) -> int:
    return tx.here.now - round(seconds * MICROSECONDS)


async def _run(tx: Writing, state: str, before: int, rows_max: int) -> int:
    row = await tx.row(_RUN_OVER, state, before)
    if row is None:
        return 0
    # a result is given with the labels of the run's calls, so it goes before them
    await tx.execute("UPDATE run SET sealed_result = NULL WHERE id = $1 AND sealed_result IS NOT NULL", row["id"])
    # from the first part on the run is refused by its state; the tombstone takes over with the last
    left = rows_max
    for statement in _OF_RUN:
        left -= await tx.execute(statement, row["id"], left)
        if left <= 0:
            return rows_max - left
    await past.bury(tx, past.run_tombstone(row["id"]))
    await tx.execute("DELETE FROM run WHERE id = $1", row["id"])
    tx.audit([{"event": "purged", "run": row["id"], "reason": f"past the retention of {state} runs"}])
    return rows_max - left + 1


async def _alone(tx: Writing, before: int, rows_max: int) -> int:
    rows = await tx.rows(_ALONE, before, rows_max)
    for row in rows:
        await _forget(tx, row)
    if rows:
        tx.audit([{"event": "purged", "calls": len(rows), "reason": "past the retention of calls"}])
    return len(rows)


async def _forget(tx: Writing, row: Row) -> None:
    if row["key"] is not None:
        await past.bury(tx, row["place"])
    await tx.execute("DELETE FROM call WHERE id = $1", row["id"])
