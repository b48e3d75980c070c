"""The SQL of what operators do to runs: cancel one, open an ended one again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from durable.journal import RunOver
from durable.managed import DUE
from durable.rules import OPEN
from durable.runs import read_run
from durable.stamp import MICROSECONDS

if TYPE_CHECKING:
    from durable.records import RunRecord
    from durable.seal import Keyring
    from durable.sql import Writing

_ENDED: Final = frozenset({"failed", "cancelled"})
_CANCEL: Final = (
    "UPDATE run SET state = 'cancelled', reason = $1, due = NULL, waiting = NULL, updated = $2 "
    "WHERE id = $3 AND state IN ('ready', 'running', 'waiting')"
)
# the attempt moves on: what an older one still does is fenced off before the next one is opened
_RETRY: Final = (
    "UPDATE run SET state = 'ready', attempt = attempt + 1, reason = 'opened again', sealed_result = NULL, "
    "waiting = NULL, instance = NULL, epoch = NULL, updated = $1, due = $2, deadline = $3, attempts_max = $4 "
    "WHERE id = $5 AND attempt = $6 AND state IN ('failed', 'cancelled')"
)


async def cancel(tx: Writing, keyring: Keyring, run_id: str, reason: str) -> RunRecord:
    """Move an open run to `cancelled`. Raises `LookupError`, `RunOver`."""
    moved = await tx.execute(_CANCEL, reason, tx.here.now, run_id)
    found = await _existing(tx, keyring, run_id)
    if not moved:
        raise RunOver(f"run `{run_id}` is {found.state} already")
    tx.wake(f"run/{run_id}")
    return found


async def retry(tx: Writing, keyring: Keyring, run_id: str) -> RunRecord:
    """Open a failed or cancelled run again, a managed one with fresh attempts. Raises `LookupError`, `RunOver`."""
    known = await _existing(tx, keyring, run_id)
    if known.state not in _ENDED:
        what = "is still open" if known.state in OPEN else f"is {known.state}"
        raise RunOver(f"run `{run_id}` {what}; only a failed or cancelled run is opened again")
    managed, now = known.kind == "managed", tx.here.now
    attempts = cast("int | None", known.details.get("attempts"))
    moved = await tx.execute(
        _RETRY, now, now if managed else None,
        None if known.deadline is None else now + round((known.deadline - known.created) * MICROSECONDS),
        None if attempts is None else known.attempt + 1 + attempts, run_id, known.attempt,
    )  # fmt: skip
    if not moved:
        raise RunOver(f"run `{run_id}` was changed meanwhile; look at it again")
    tx.wake(DUE)
    return await _existing(tx, keyring, run_id)


async def _existing(tx: Writing, keyring: Keyring, run_id: str) -> RunRecord:
    found = await read_run(tx, keyring, run_id)
    if found is None:
        raise LookupError(run_id)
    return found
