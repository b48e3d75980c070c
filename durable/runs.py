"""The SQL of runs: attempts are numbered here and nowhere else."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Final

from durable import past
from durable.journal import RunOver, RunPurged
from durable.rows import RUN_COLUMNS, run_record
from durable.rules import OPEN
from durable.stamp import MICROSECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from durable.records import RunRecord
    from durable.seal import Keyring
    from durable.sql import Transaction, Writing
    from durable.step import Owner

    #: whose run, its id, and what it remembers of who opened it
    Opening = tuple[Owner, str, Mapping[str, object]]

#: What a run's details say of the run itself; a new attempt says anew only who opened it.
LASTING: Final = ("models", "policies", "repeat_effects")
_READ: Final = f"SELECT {RUN_COLUMNS} FROM run WHERE id = $1"  # noqa: S608 - constant columns


async def open_run(tx: Writing, keyring: Keyring, opening: Opening) -> RunRecord:
    """Create the run as attempt 1, or open its next attempt. Raises `LookupError`, `RunOver`."""
    if await _create(tx, keyring, opening, "open"):
        return await _owned(tx, keyring, opening)
    known = await _owned(tx, keyring, opening)
    if known.state not in OPEN:
        raise RunOver(f"run `{known.id}` is {known.state}; start a new run")
    if known.kind == "managed":
        raise RunOver(f"run `{known.id}` is managed; the gateway starts its attempts")
    _, name, details = opening
    details = {**details, **{key: known.details[key] for key in LASTING if key in known.details}}
    moved = await tx.execute(
        "UPDATE run SET attempt = attempt + 1, state = 'running', waiting = NULL, updated = $1, details = $2 "
        "WHERE id = $3 AND state IN ('ready', 'running', 'waiting')",
        tx.here.now, json.dumps(dict(details)), name,
    )  # fmt: skip
    found = await _owned(tx, keyring, opening)
    if not moved:
        raise RunOver(f"run `{found.id}` is {found.state}; start a new run")
    return found


async def touch_run(tx: Writing, keyring: Keyring, opening: Opening) -> RunRecord:
    """Create the run as attempt 1 when it is new. Raises `LookupError` when it is somebody else's."""
    await _create(tx, keyring, opening, "header")
    return await _owned(tx, keyring, opening)


async def read_run(tx: Transaction, keyring: Keyring, run_id: str) -> RunRecord | None:
    """Return the run or `None`."""
    row = await tx.row(_READ, run_id)
    return None if row is None else run_record(row, keyring)


async def close_run(tx: Writing, run_id: str, attempt: int, end: tuple[str, bytes | None, str]) -> bool:
    """Move a run to its end (state, sealed result, reason); false when it is not open at that attempt."""
    state, sealed, reason = end
    moved = await tx.execute(
        "UPDATE run SET state = $1, sealed_result = $2, reason = $3, updated = $4, due = NULL, waiting = NULL "
        "WHERE id = $5 AND attempt = $6 AND state IN ('ready', 'running', 'waiting')",
        state,
        sealed,
        reason,
        tx.here.now,
        run_id,
        attempt,
    )  # fmt: skip
    return bool(moved)


async def close_idle(tx: Writing, idle_seconds: float) -> int:
    """Finish open runs last used longer ago than that."""
    before = tx.here.now - round(idle_seconds * MICROSECONDS)
    return await tx.execute(
        "UPDATE run SET state = 'finished', reason = 'idle', updated = $1 "
        "WHERE state IN ('ready', 'running') AND kind <> 'managed' AND created < $2 AND updated < $2",
        tx.here.now, before,
    )  # fmt: skip


async def list_runs(
    tx: Transaction,
    keyring: Keyring,
    *,
    limit: int,
    agent: str | None,
    state: str | None,
    before: str | None,
    kind: str | None = None,
) -> list[RunRecord]:
    """Return the newest runs first, those begun before the run `before`. Raises `LookupError`."""
    created, last = 2**62, ""
    if before is not None:
        row = await tx.row("SELECT created FROM run WHERE id = $1", before)
        if row is None:
            raise LookupError(before)
        created, last = row["created"], before
    rows = await tx.rows(
        f"SELECT {RUN_COLUMNS} FROM run WHERE created <= $4 AND (created < $4 OR id < $5) "  # noqa: S608 - constant columns
        "AND (CAST($1 AS TEXT) IS NULL OR agent = $1) AND (CAST($2 AS TEXT) IS NULL OR state = $2) "
        "AND (CAST($6 AS TEXT) IS NULL OR kind = $6) ORDER BY created DESC, id DESC LIMIT $3",
        agent, state, limit, created, last, kind,
    )  # fmt: skip
    return [run_record(row, keyring) for row in rows]


async def _create(tx: Writing, keyring: Keyring, opening: Opening, kind: str) -> bool:
    owner, name, details = opening
    if await past.is_purged(tx, past.run_tombstone(name)):
        raise RunPurged(f"run `{name}` was used and is not kept any more; use a new id")
    sealed = keyring.seal("keys", f"run/{name}", secrets.token_bytes(64))
    moved = await tx.execute(
        'INSERT INTO run (id, domain, agent, "user", state, attempt, created, updated, details, sealed_keys, kind, '
        "labels) VALUES ($1, $2, $3, $4, 'running', 1, $5, $5, $6, $7, $8, $9) ON CONFLICT (id) DO NOTHING",
        name,
        owner.domain,
        owner.agent,
        owner.user,
        tx.here.now,
        json.dumps(dict(details)),
        sealed,
        kind,
        json.dumps(details.get("labels", [])),
    )  # fmt: skip
    return bool(moved)


async def _owned(tx: Transaction, keyring: Keyring, opening: Opening) -> RunRecord:
    owner, name, _ = opening
    found = await read_run(tx, keyring, name)
    if found is None or (found.domain, found.agent, found.user) != (owner.domain, owner.agent, owner.user):
        raise LookupError(name)
    return found
