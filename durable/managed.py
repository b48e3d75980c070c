"""The SQL of managed runs: written once, taken by one instance at a time, given back, in the end closed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from durable.rows import RUN_COLUMNS
from durable.stamp import MICROSECONDS

if TYPE_CHECKING:
    from durable.records import RunRecord
    from durable.sql import Row, Transaction, Writing
    from durable.step import Owner

#: woken whenever a managed run is due at another time than before
DUE: Final = "due"
#: what is over and was due is closed in passing, so many in one transaction
_PASSED_MAX: Final = 50
_INSERT: Final = (
    'INSERT INTO run (id, domain, agent, "user", state, attempt, created, updated, details, sealed_keys, kind, target, '
    "sealed_input, due, deadline, attempts_max, labels) "
    "VALUES ($1, $2, $3, $4, 'ready', 0, $5, $5, $6, $7, 'managed', $8, $9, $5, $10, $11, $12) "
    "ON CONFLICT (id) DO NOTHING"
)
_NEXT: Final = (
    f"SELECT {RUN_COLUMNS}, sealed_input FROM run WHERE due IS NOT NULL AND due <= $1 "  # noqa: S608 - constant columns
    "ORDER BY due, id LIMIT 1 FOR UPDATE SKIP LOCKED"
)
_TAKE: Final = (
    "UPDATE run SET state = 'running', attempt = attempt + 1, due = NULL, waiting = NULL, reason = '', updated = $1, "
    "instance = $2, epoch = $3 WHERE id = $4 AND attempt = $5 AND due IS NOT NULL"
)
_OVER: Final = (
    "UPDATE run SET state = 'failed', reason = $1, due = NULL, waiting = NULL, updated = $2 "
    "WHERE id = $3 AND attempt = $4 AND due IS NOT NULL"
)
_PUT_OFF: Final = (
    "UPDATE run SET state = 'ready', waiting = 'timer', due = $1, reason = $2, updated = $3, instance = NULL, "
    "epoch = NULL, attempts_max = attempts_max + $4 "
    "WHERE id = $5 AND attempt = $6 AND kind = 'managed' AND due IS NULL AND state IN ('ready', 'running', 'waiting')"
)


@dataclass(frozen=True, slots=True)
class Sealed:
    """What of a managed run is written sealed: its keys, and its input."""

    keys: bytes
    input: bytes


@dataclass(frozen=True, slots=True)
class Due:
    """A run that is due: its row, `None` where it was over and has been closed instead."""

    row: Row | None


async def insert(tx: Writing, owner: Owner, record: RunRecord, sealed: Sealed) -> bool:
    """Write a run that is due now; false when there is one of its id."""
    written = await tx.execute(
        _INSERT, record.id, owner.domain, owner.agent, owner.user, tx.here.now, json.dumps(record.details), sealed.keys,
        record.target, sealed.input, _microseconds(record.deadline), record.attempts_max, json.dumps(record.labels),
    )  # fmt: skip
    if written:
        tx.wake(DUE)
    return bool(written)


async def claim_due(tx: Writing) -> Row | None:
    """Take the run that has been due longest; those past their deadline or attempts are closed on the way."""
    for _ in range(_PASSED_MAX):
        row = await tx.row(_NEXT, tx.here.now)
        if row is None:
            return None
        reason = _given_up(row, tx.here.now)
        if reason is None:
            here = tx.here
            if await tx.execute(_TAKE, here.now, here.instance, here.epoch, row["id"], row["attempt"]):
                tx.audit([_audited(row, {"event": "run_attempt", "attempt": row["attempt"] + 1})])
                return await tx.row(f"SELECT {RUN_COLUMNS}, sealed_input FROM run WHERE id = $1", row["id"])  # noqa: S608 - constant columns
        elif await tx.execute(_OVER, reason, tx.here.now, row["id"], row["attempt"]):
            tx.audit([_audited(row, {"event": "run_failed", "reason": reason})])
            tx.wake(f"run/{row['id']}")
    return None


async def next_due(tx: Transaction) -> float | None:
    """Return when the next run is due, seconds since the epoch."""
    row = await tx.row("SELECT min(due) AS due FROM run WHERE due IS NOT NULL")
    return None if row is None or row["due"] is None else row["due"] / MICROSECONDS


async def put_off(tx: Writing, run: tuple[str, int], due: float, reason: str, *, counted: bool) -> bool:
    """Give a run (id, attempt) back until `due`; an attempt that never began is not counted. False: superseded."""
    run_id, attempt = run
    moved = await tx.execute(
        _PUT_OFF, _microseconds(due), reason, tx.here.now, 0 if counted else 1, run_id, attempt
    )  # fmt: skip
    if moved:
        tx.wake(DUE)
    return bool(moved)


def _given_up(row: Row, now: int) -> str | None:
    if row["deadline"] is not None and row["deadline"] <= now:
        return _with("its deadline has passed", row["reason"])
    if row["attempts_max"] is not None and row["attempt"] >= row["attempts_max"]:
        return _with("no attempts are left", row["reason"])
    return None


def _with(reason: str, before: str) -> str:
    return f"{reason}: {before}" if before else reason


def _audited(row: Row, said: dict[str, object]) -> dict[str, object]:
    return said | {"run": row["id"], "principal": f"agent:{row['domain']}/{row['agent']}", "target": row["target"]}


def _microseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * MICROSECONDS)
