"""Runs in the SQLite journal: attempts are numbered here and nowhere else."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Final

from durable.journal import RunOver
from durable.sqlite_rows import RUN_COLUMNS, run_record
from durable.sqlite_steps import OPEN

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from durable.records import RunRecord
    from durable.seal import Keyring
    from durable.step import Owner

    Opening = tuple[Owner, str, Mapping[str, object]]

KEYS_CACHED_MAX: Final = 10_000


def open_run(database: sqlite3.Connection, keyring: Keyring, opening: Opening, now: int) -> RunRecord:
    """Create the run as attempt 1, or open its next attempt. Raises `LookupError`, `RunOver`."""
    if _create(database, keyring, opening, now):
        return _owned(database, keyring, opening)
    known = _owned(database, keyring, opening)
    if known.state not in OPEN:
        raise RunOver(f"run `{known.id}` is {known.state}; start a new run")
    _, name, details = opening
    database.execute(
        "UPDATE run SET attempt = attempt + 1, state = 'running', updated = ?, details = ? "
        "WHERE id = ? AND attempt = ?",
        (now, json.dumps(dict(details)), name, known.attempt),
    )
    return _owned(database, keyring, opening)


def touch_run(database: sqlite3.Connection, keyring: Keyring, opening: Opening, now: int) -> RunRecord:
    """Create the run as attempt 1 when it is new. Raises `LookupError` when it is somebody else's."""
    _create(database, keyring, opening, now)
    return _owned(database, keyring, opening)


def read_run(database: sqlite3.Connection, keyring: Keyring, run_id: str) -> RunRecord | None:
    """Return the run or `None`."""
    row = database.execute(f"SELECT {RUN_COLUMNS} FROM run WHERE id = ?", (run_id,)).fetchone()  # noqa: S608 - constant columns
    return None if row is None else run_record(row, keyring)


def close_run(database: sqlite3.Connection, end: tuple[str, int, str, bytes | None], now: int) -> bool:
    """Move a run to its end; false when it is not running that attempt."""
    run_id, attempt, state, sealed = end
    return bool(
        database.execute(
            "UPDATE run SET state = ?, sealed_result = ?, updated = ? "
            "WHERE id = ? AND attempt = ? AND state IN ('ready', 'running', 'waiting')",
            (state, sealed, now, run_id, attempt),
        ).rowcount
    )


def close_idle(database: sqlite3.Connection, before: int, now: int) -> int:
    """Finish running runs last used before `before`."""
    return database.execute(
        "UPDATE run SET state = 'finished', updated = ? WHERE state IN ('ready', 'running') AND updated < ?",
        (now, before),
    ).rowcount


def list_runs(
    database: sqlite3.Connection, keyring: Keyring, *, limit: int, agent: str | None, state: str | None
) -> list[RunRecord]:
    """Return the newest runs first."""
    rows = database.execute(
        f"SELECT {RUN_COLUMNS} FROM run WHERE (?1 IS NULL OR agent = ?1) AND (?2 IS NULL OR state = ?2) "  # noqa: S608 - constant columns
        "ORDER BY updated DESC LIMIT ?3",
        (agent, state, limit),
    ).fetchall()
    return [run_record(row, keyring) for row in rows]


def _create(database: sqlite3.Connection, keyring: Keyring, opening: Opening, now: int) -> bool:
    owner, name, details = opening
    sealed = keyring.seal("keys", f"run/{name}", secrets.token_bytes(64))
    return bool(
        database.execute(
            "INSERT INTO run (id, domain, agent, user, state, attempt, created, updated, details, sealed_keys) "
            "VALUES (?, ?, ?, ?, 'running', 1, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (name, owner.domain, owner.agent, owner.user, now, now, json.dumps(dict(details)), sealed),
        ).rowcount
    )


def _owned(database: sqlite3.Connection, keyring: Keyring, opening: Opening) -> RunRecord:
    owner, name, _ = opening
    found = read_run(database, keyring, name)
    if found is None or (found.domain, found.agent, found.user) != (owner.domain, owner.agent, owner.user):
        raise LookupError(name)
    return found
