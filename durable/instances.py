"""The SQL of gateway processes: epochs begun and ended, leases, and what an ended epoch left, put in doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from durable.rows import UNSETTLED

if TYPE_CHECKING:
    from durable.sql import Row, Transaction, Writing

REASON: Final = "the gateway ended between intent and outcome"
_LEFT: Final = (
    f"SELECT id, resource, effect, domain, agent FROM call WHERE {UNSETTLED} AND state = 'intent' "  # noqa: S608 - constants
    "AND instance = $1 AND epoch = $2 ORDER BY id FOR UPDATE"
)
_DOUBT: Final = "UPDATE call SET state = 'doubt', reason = $1 WHERE id = $2 AND state = 'intent'"
_READY: Final = (
    "UPDATE run SET state = 'ready', due = $1, instance = NULL, epoch = NULL, reason = 'its gateway ended' "
    "WHERE kind = 'managed' AND state = 'running' AND instance = $2 AND epoch = $3"
)


async def begin_epoch(tx: Writing, lease_until: int) -> None:
    """Write this instance's epoch, and open its audit chain after the newest there is."""
    here = tx.here
    await tx.execute(
        "INSERT INTO instance (id, epoch, started, lease_until) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO UPDATE SET "
        "epoch = excluded.epoch, started = excluded.started, lease_until = excluded.lease_until, ended = NULL",
        here.instance, here.epoch, here.now, lease_until,
    )  # fmt: skip
    last = await tx.row("SELECT chain, hash FROM audit ORDER BY sequence DESC LIMIT 1")
    opened: dict[str, object] = {"event": "opened"}
    if last is not None:
        opened |= {"previous_chain": last["chain"], "previous_head": bytes(last["hash"]).hex()}
    tx.audit([opened])


async def open_session(tx: Writing) -> tuple[int, int]:
    """Fence every connection this instance has written on before; returns the new session and the last group."""
    row = await tx.row(
        "INSERT INTO writer (instance, session, written) VALUES ($1, 1, 0) "
        "ON CONFLICT (instance) DO UPDATE SET session = writer.session + 1 RETURNING session, written",
        tx.here.instance,
    )
    return (0, 0) if row is None else (row["session"], row["written"])


async def older_epochs(tx: Transaction, instance: str, epoch: int) -> list[tuple[str, int]]:
    """Return the other epochs that have left something; where there is one process, all of them are over."""
    rows = await tx.rows(
        f"SELECT DISTINCT instance, epoch FROM call WHERE {UNSETTLED} AND state = 'intent' "  # noqa: S608 - constants
        "AND (instance <> $1 OR epoch <> $2) "
        "UNION SELECT DISTINCT instance, epoch FROM run WHERE kind = 'managed' AND state = 'running' "
        "AND instance IS NOT NULL AND (instance <> $1 OR epoch <> $2)",
        instance, epoch,
    )  # fmt: skip
    return [(row["instance"], row["epoch"]) for row in rows]


async def sweep(tx: Writing, instance: str, epoch: int) -> None:
    """Put what an ended epoch left in flight in doubt, and give back the managed runs it held."""
    for row in await tx.rows(_LEFT, instance, epoch):
        await _doubt(tx, row)
    if await tx.execute(_READY, tx.here.now, instance, epoch):
        tx.wake("due")


async def end_epoch(tx: Writing, instance: str, epoch: int) -> None:
    """Sweep the epoch and write that it is over; `tx` links to that epoch's own chain, which ends here."""
    await sweep(tx, instance, epoch)
    here = tx.here
    own = (here.instance, here.epoch) == (instance, epoch)
    tx.audit([{"event": "closed"} if own else {"event": "closed", "by": f"{here.instance}/{here.epoch}"}])
    await tx.execute(
        "UPDATE instance SET ended = $1, lease_until = 0 WHERE id = $2 AND epoch = $3", here.now, instance, epoch
    )


async def _doubt(tx: Writing, row: Row) -> None:
    await tx.execute(_DOUBT, REASON, row["id"])
    tx.audit([{
        "event": "in_doubt", "call": row["id"], "resource": row["resource"], "effect": row["effect"],
        "principal": f"agent:{row['domain']}/{row['agent']}", "reason": REASON,
    }])  # fmt: skip
    tx.wake(f"call/{row['id']}")
