"""What an operator reads and decides in the SQLite journal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from durable.journal import NotInDoubt, TooEarly
from durable.sqlite_rows import CALL_COLUMNS, call_record, outcome_of
from durable.sqlite_steps import seconds_left

if TYPE_CHECKING:
    import sqlite3

    from durable.records import CallFilter, CallRecord
    from durable.seal import Keyring
    from durable.step import Outcome


def list_calls(database: sqlite3.Connection, wanted: CallFilter) -> list[CallRecord]:
    """Return the newest calls first; no bodies."""
    rows = database.execute(
        f"SELECT {CALL_COLUMNS} FROM call WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR run = ?2) "  # noqa: S608 - constant columns
        "AND (?3 IS NULL OR agent = ?3) AND (?4 IS NULL OR resource = ?4) "
        "ORDER BY rowid DESC LIMIT ?5",
        (wanted.state, wanted.run, wanted.agent, wanted.resource, wanted.limit),
    ).fetchall()
    return [call_record(row) for row in rows]


def read_call(database: sqlite3.Connection, call_id: str) -> CallRecord | None:
    """Return one call or `None`; no bodies."""
    row = database.execute(f"SELECT {CALL_COLUMNS} FROM call WHERE id = ?", (call_id,)).fetchone()  # noqa: S608 - constant columns
    return None if row is None else call_record(row)


def read_outcome(database: sqlite3.Connection, keyring: Keyring, call_id: str) -> Outcome | None:
    """Return the (redacted) outcome of a call, `None` without one."""
    row = database.execute("SELECT * FROM call WHERE id = ? AND sealed_outcome IS NOT NULL", (call_id,)).fetchone()
    return None if row is None else outcome_of(row, keyring)


def resolve(database: sqlite3.Connection, decision: tuple[str, str, Outcome | None, bytes], now: int) -> str:
    """Settle a call in doubt; returns the new state. Raises `LookupError`, `NotInDoubt`, `TooEarly`."""
    call_id, verdict, outcome, sealed = decision
    row = database.execute("SELECT * FROM call WHERE id = ?", (call_id,)).fetchone()
    if row is None:
        raise LookupError(call_id)
    if row["state"] != "doubt":
        raise NotInDoubt(f"call `{call_id}` is not in doubt, it is `{row['state']}`")
    if verdict == "happened" and outcome is not None:
        database.execute(
            "UPDATE call SET state = 'done', reason = 'an operator said it happened', outcome_time = ?, form = ?, "
            "status = ?, media = ?, meta = ?, sealed_outcome = ? WHERE id = ? AND state = 'doubt'",
            (now, outcome.form, outcome.status, outcome.media, json.dumps(dict(outcome.meta)), sealed, call_id),
        )
        return "done"
    if verdict == "execute":
        left = seconds_left(row, now)
        if left > 0:
            raise TooEarly(f"call `{call_id}` may still be on its way for {left:.0f} s; ask again then")
        database.execute(
            "UPDATE call SET granted = 1, reason = 'an operator lets it be executed' WHERE id = ? AND state = 'doubt'",
            (call_id,),
        )
        return "doubt"
    if verdict == "fail":
        database.execute(
            "UPDATE call SET state = 'failed', reason = 'an operator settled it as failed', outcome_time = ? "
            "WHERE id = ? AND state = 'doubt'",
            (now, call_id),
        )
        return "failed"
    raise ValueError(f"`{verdict}`: expected `happened` with an outcome, `execute` or `fail`")
