"""The SQL of what operators read of calls, and decide about those in doubt."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from durable.journal import NotInDoubt, TooEarly
from durable.rows import CALL_COLUMNS, call_record, outcome_of
from durable.steps import seconds_left

if TYPE_CHECKING:
    from durable.records import CallFilter, CallRecord
    from durable.seal import Keyring
    from durable.sql import Transaction, Writing
    from durable.step import Outcome

_FILTERED: Final = (
    f"SELECT {CALL_COLUMNS} FROM call WHERE (CAST($1 AS TEXT) IS NULL OR state = $1) "  # noqa: S608 - constant columns
    "AND (CAST($2 AS TEXT) IS NULL OR run = $2) AND (CAST($3 AS TEXT) IS NULL OR agent = $3) "
    "AND (CAST($4 AS TEXT) IS NULL OR resource = $4) "
)
_NEWEST: Final = f"{_FILTERED} ORDER BY id DESC LIMIT $5"
_BY_STEP: Final = f"{_FILTERED} ORDER BY step, id LIMIT $5"


async def list_calls(tx: Transaction, wanted: CallFilter) -> list[CallRecord]:
    """Return the newest calls first, or by step; no bodies."""
    rows = await tx.rows(
        _BY_STEP if wanted.by_step else _NEWEST, wanted.state, wanted.run, wanted.agent, wanted.resource, wanted.limit
    )
    return [call_record(row) for row in rows]


async def read_call(tx: Transaction, call_id: str) -> CallRecord | None:
    """Return one call or `None`; no bodies."""
    row = await tx.row(f"SELECT {CALL_COLUMNS} FROM call WHERE id = $1", call_id)  # noqa: S608 - constant columns
    return None if row is None else call_record(row)


async def read_outcome(tx: Transaction, keyring: Keyring, call_id: str) -> Outcome | None:
    """Return the (redacted) outcome of a call, `None` without one."""
    row = await tx.row(
        "SELECT id, form, status, media, meta, sealed_outcome FROM call WHERE id = $1 AND sealed_outcome IS NOT NULL",
        call_id,
    )
    return None if row is None else outcome_of(row, keyring)


async def read_request(tx: Transaction, keyring: Keyring, call_id: str) -> bytes | None:
    """Return the (redacted) request of a call: bytes of JSON."""
    row = await tx.row("SELECT sealed_request FROM call WHERE id = $1", call_id)
    return None if row is None else keyring.unseal("body", f"call/{call_id}/request", row["sealed_request"])


async def resolve(tx: Writing, call_id: str, verdict: str, outcome: Outcome | None, sealed: bytes) -> str:
    """Settle a call in doubt; returns the new state. Raises `LookupError`, `NotInDoubt`, `TooEarly`."""
    row = await tx.row("SELECT state, sent_time, milliseconds_max FROM call WHERE id = $1 FOR UPDATE", call_id)
    if row is None:
        raise LookupError(call_id)
    state = row["state"]
    if state not in {"doubt", "held"}:
        raise NotInDoubt(f"call `{call_id}` is not in doubt, it is `{state}`")
    if verdict == "happened" and outcome is not None:
        await tx.execute(
            "UPDATE call SET state = 'done', reason = 'an operator said it happened', outcome_time = $1, form = $2, "
            "status = $3, media = $4, meta = $5, sealed_outcome = $6 WHERE id = $7 AND state = $8",
            tx.here.now, outcome.form, outcome.status, outcome.media, json.dumps(dict(outcome.meta)), sealed, call_id,
            state,
        )  # fmt: skip
        return "done"
    if verdict == "execute":
        left = seconds_left(row, tx.here.now)
        if state == "doubt" and left > 0:
            raise TooEarly(f"call `{call_id}` may still be on its way for {left:.0f} s; ask again then")
        await tx.execute(
            "UPDATE call SET granted = 1, reason = 'an operator lets it be executed' WHERE id = $1 AND state = $2",
            call_id, state,
        )  # fmt: skip
        return state
    if verdict == "fail":
        await tx.execute(
            "UPDATE call SET state = 'failed', reason = 'an operator settled it as failed', outcome_time = $1 "
            "WHERE id = $2 AND state = $3",
            tx.here.now, call_id, state,
        )  # fmt: skip
        return "failed"
    raise ValueError(f"`{verdict}`: expected `happened` with an outcome, `execute` or `fail`")
