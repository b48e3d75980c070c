"""The SQL of what operators read of calls, and decide about those in doubt."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from durable import budgets, steps, vault
from durable.journal import Claimed, NotInDoubt, TooEarly
from durable.rows import CALL_COLUMNS, UNSETTLED, call_record, outcome_of
from durable.steps import seconds_left

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable.records import CallFilter, CallRecord
    from durable.seal import Keyring
    from durable.sql import Row, Transaction, Writing
    from durable.step import Outcome, Proof
    from durable.vault import SealedEntry

#: States with an index of their own; a statement that names one uses it, one that takes it as an argument does not.
_INDEXED: Final = frozenset({"intent", "doubt", "held"})
_OPEN: Final = (
    f"SELECT {CALL_COLUMNS} FROM call WHERE {UNSETTLED} AND state = 'doubt' AND granted = 0 AND resource = $1 "  # noqa: S608 - constant columns
    "ORDER BY sent_time, id LIMIT $2"
)


@dataclass(frozen=True, slots=True)
class Sealed:
    """An outcome an operator gives, and the originals it holds placeholders for, as the store keeps them."""

    outcome: bytes
    vault: list[SealedEntry]


async def list_calls(tx: Transaction, wanted: CallFilter) -> list[CallRecord]:
    """Return the newest calls first, or by step; no bodies."""
    conditions, arguments = _conditions(wanted)
    where = " AND ".join(conditions) or "1 = 1"
    # few are in such a state: sorted at the end, not looked for among all in their order
    order = "step, id" if wanted.by_step else "id || '' DESC" if wanted.state in _INDEXED else "id DESC"
    rows = await tx.rows(
        f"SELECT {CALL_COLUMNS} FROM call WHERE {where} ORDER BY {order} LIMIT ${len(arguments) + 1}",  # noqa: S608 - constants
        *arguments, wanted.limit,
    )  # fmt: skip
    return [call_record(row) for row in rows]


def _conditions(wanted: CallFilter) -> tuple[list[str], list[object]]:
    """Return what a listing asks of calls, and nothing that it does not ask: indexes are used for what stands there."""
    arguments: list[object] = []
    conditions: list[str] = []
    granted = None if wanted.granted is None else int(wanted.granted)
    if wanted.state in _INDEXED:
        conditions += [f"state = '{wanted.state}'", *([UNSETTLED] if wanted.state != "held" else ())]
    elif wanted.state is not None:
        arguments.append(wanted.state)
        conditions.append(f"state = ${len(arguments)}")
    for condition, value in (
        ("run =", wanted.run), ("agent =", wanted.agent), ("resource =", wanted.resource), ("granted =", granted),
        ("id <", wanted.before),
    ):  # fmt: skip
        if value is not None:
            arguments.append(value)
            conditions.append(f"{condition} ${len(arguments)}")
    if granted is not None:
        conditions.append("state IN ('doubt', 'held')")
    return conditions, arguments


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


async def open_doubts(tx: Transaction, resources: Sequence[str], limit: int) -> list[CallRecord]:
    """Return calls of these resources that are in doubt and not granted, those sent first first."""
    found = [call_record(row) for resource in resources for row in await tx.rows(_OPEN, resource, limit)]
    return sorted(found, key=lambda call: call.sent_time)[:limit]


async def step_of(tx: Transaction, call_id: str) -> Row | None:
    """Return `domain, agent, "user", run, place` of a call, `None` when there is none."""
    return await tx.row('SELECT domain, agent, "user", run, place FROM call WHERE id = $1', call_id)


async def resolve(  # noqa: PLR0917 - what an operator says, and what goes with it
    tx: Writing, call_id: str, verdict: str, outcome: Outcome | None, sealed: Sealed, proof: Proof
) -> str:
    """Settle a call in doubt; returns the new state. Raises `LookupError`, `NotInDoubt`, `TooEarly`, `Claimed`."""
    row = await tx.row(
        "SELECT state, sent_time, milliseconds_max, run, charges FROM call WHERE id = $1 FOR UPDATE", call_id
    )
    if row is None:
        raise LookupError(call_id)
    state = row["state"]
    if state not in {"doubt", "held"}:
        raise NotInDoubt(f"call `{call_id}` is not in doubt, it is `{state}`")
    if verdict == "happened" and outcome is not None:
        if proof.claim is not None:
            await _claim(tx, proof.claim, call_id)
        # no digests: a replay always passes today's redaction, whoever wrote the outcome down
        await tx.execute(
            "UPDATE call SET state = 'done', reason = $1, outcome_time = $2, form = $3, status = $4, media = $5, "
            "meta = $6, sealed_outcome = $7, digests = '' WHERE id = $8 AND state = $9",
            f"{proof.by} said it happened", tx.here.now, outcome.form, outcome.status, outcome.media,
            json.dumps(dict(outcome.meta)), sealed.outcome, call_id, state,
        )  # fmt: skip
        if row["run"] is not None and proof.uses:
            await steps.write_uses(tx, row["run"], call_id, asked=proof.uses, shown={})
        await vault.write(tx, sealed.vault)
        await budgets.spend(tx, row)
        return "done"
    if verdict == "execute":
        left = seconds_left(row, tx.here.now)
        if state == "doubt" and left > 0:
            raise TooEarly(f"call `{call_id}` may still be on its way for {left:.0f} s; ask again then")
        await tx.execute(
            "UPDATE call SET granted = 1, reason = $1 WHERE id = $2 AND state = $3",
            f"{proof.by} lets it be executed", call_id, state,
        )  # fmt: skip
        return state
    if verdict == "fail":
        await tx.execute(
            "UPDATE call SET state = 'failed', reason = $1, outcome_time = $2 WHERE id = $3 AND state = $4",
            f"{proof.by} settled it as failed", tx.here.now, call_id, state,
        )  # fmt: skip
        await budgets.spend(tx, row)
        return "failed"
    raise ValueError(f"`{verdict}`: expected `happened` with an outcome, `execute` or `fail`")


async def _claim(tx: Writing, name: str, call_id: str) -> None:
    """Note that a call has the upstream's record of that name; one of two calls gets it, on any instance."""
    await tx.execute(
        "INSERT INTO mark (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING", f"claim/{name}", call_id
    )
    row = await tx.row("SELECT value FROM mark WHERE name = $1", f"claim/{name}")
    if row is not None and row["value"] != call_id:
        raise Claimed(f"the record that is to prove call `{call_id}` belongs to call `{row['value']}`")
