"""The SQL of gateway processes: an epoch begun, and what an ended one left, put in doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from durable.sql import Row, Writing

_DOUBT: Final = "UPDATE call SET state = 'doubt', reason = $1 WHERE id = $2 AND state = 'intent'"
REASON: Final = "the gateway ended between intent and outcome"


async def begin_epoch(tx: Writing) -> None:
    """Begin this instance's epoch and its audit chain, where it is the store's only one: older epochs are swept."""
    here = tx.here
    await tx.execute(
        "INSERT INTO instance (id, epoch, started) VALUES ($1, $2, $3) "
        "ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, started = excluded.started, ended = NULL",
        here.instance, here.epoch, here.now,
    )  # fmt: skip
    last = await tx.row("SELECT chain, hash FROM audit ORDER BY sequence DESC LIMIT 1")
    opened: dict[str, object] = {"event": "opened"}
    if last is not None:
        opened |= {"previous_chain": last["chain"], "previous_head": bytes(last["hash"]).hex()}
    tx.audit([opened])
    rows = await tx.rows(
        "SELECT id, resource, effect, domain, agent FROM call WHERE state = 'intent' "
        "AND (instance <> $1 OR epoch <> $2)", here.instance, here.epoch,
    )  # fmt: skip
    for row in rows:
        await _doubt(tx, row)
    await tx.execute(
        "UPDATE run SET state = 'ready', due = $1, instance = NULL, epoch = NULL "
        "WHERE kind = 'managed' AND state = 'running' AND (instance <> $2 OR epoch <> $3)",
        here.now, here.instance, here.epoch,
    )  # fmt: skip


async def _doubt(tx: Writing, row: Row) -> None:
    await tx.execute(
        "UPDATE call SET state = 'doubt', reason = $1 WHERE id = $2 AND state = 'intent'", REASON, row["id"]
    )
    tx.audit([{
        "event": "in_doubt", "call": row["id"], "resource": row["resource"], "effect": row["effect"],
        "principal": f"agent:{row['domain']}/{row['agent']}", "reason": REASON,
    }])  # fmt: skip
    tx.wake(f"call/{row['id']}")
