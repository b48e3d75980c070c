"""The SQL of approvals: a row for each, bound to the exact request and the policy it was asked under.

An approval is found by what is asked (its run or owner, and key or fingerprint), not by which occurrence:
there is one open at a time, and each is used once, in the transaction of the intent it allows.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Final, cast

from durable.journal import ApprovalClosed
from durable.records import ApprovalRecord, Vote
from durable.rules import OPEN
from durable.stamp import MICROSECONDS, random_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from durable.seal import Keyring
    from durable.sql import Row, Transaction, Writing
    from durable.step import Intent, Step


class VoteForbidden(ApprovalClosed):
    """Somebody may not decide about a call, whatever its state."""


_COLUMNS: Final = (
    'id, run, run_attempt, domain, agent, "user", resource, action, demands, requesters, arguments, policy, rule, '
    "state, votes, asked, expires, decided"
)
_READ: Final = f"SELECT {_COLUMNS} FROM approval WHERE id = $1"  # noqa: S608 - constant columns
_NEWEST: Final = (
    f"SELECT {_COLUMNS} FROM approval WHERE place = $1 AND state IN ('pending', 'approved', 'denied') "  # noqa: S608 - constant columns
    "ORDER BY asked DESC, id DESC LIMIT 1 FOR UPDATE"
)
_LIST: Final = (
    f"SELECT {_COLUMNS} FROM approval WHERE (CAST($1 AS TEXT) IS NULL OR state = $1) "  # noqa: S608 - constant columns
    "AND (CAST($2 AS TEXT) IS NULL OR run = $2) AND asked <= $4 AND (asked < $4 OR id < $5) "
    "ORDER BY asked DESC, id DESC LIMIT $3"
)
_INSERT: Final = (
    'INSERT INTO approval (id, place, run, run_attempt, domain, agent, "user", resource, action, demands, requesters, '
    "arguments, policy, rule, sealed_shown, state, asked, expires) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 'pending', $16, $17)"
)
_USE: Final = (
    "UPDATE approval SET state = 'used', call = $1, decided = $2 "
    "WHERE id = $3 AND place = $4 AND state = 'approved' AND expires > $2"
)
_GIVE_BACK: Final = (
    "UPDATE approval SET state = 'approved', call = NULL WHERE call = $1 AND state = 'used' AND expires > $2 "
    "AND NOT EXISTS (SELECT 1 FROM approval other WHERE other.place = approval.place "
    "AND other.state IN ('pending', 'approved'))"
)
_EXPIRED: Final = (
    "SELECT id, run, expires FROM approval WHERE state IN ('pending', 'approved') AND (expires <= $1 OR EXISTS "
    "(SELECT 1 FROM run WHERE run.id = approval.run AND run.state NOT IN ('ready', 'running', 'waiting'))) "
    "ORDER BY expires LIMIT $2"
)
_WAITS: Final = "UPDATE run SET state = 'waiting', waiting = 'approval' WHERE id = $1 AND state IN ('ready', 'running')"
_GOES_ON: Final = (
    "UPDATE run SET state = 'running', waiting = NULL, updated = $2 "
    "WHERE id = $1 AND state = 'waiting' AND waiting = 'approval'"
)
_EXPIRED_MAX: Final = 200


def place_of(step: Step) -> bytes:
    """Return what an approval of this step is found by."""
    owner, run = step.owner, step.run.id if step.run else "-"
    name = step.key if step.key is not None else step.fingerprint.hex()
    parts = ("approval", owner.domain, owner.agent, owner.user, run, "key" if step.key else "request", name)
    return hashlib.sha256(b"".join(len(one.encode()).to_bytes(4, "big") + one.encode() for one in parts)).digest()


async def ask(
    tx: Writing, keyring: Keyring, step: Step, wanted: ApprovalRecord, shown: bytes
) -> tuple[ApprovalRecord, bool]:
    """Return the approval of this step that counts, and whether it was written just now."""
    place = place_of(step)
    row = await tx.row(_NEWEST, place)
    if row is not None:
        same = bytes(row["arguments"]) == wanted.arguments and row["policy"] == wanted.policy
        if same and row["expires"] > tx.here.now:
            if step.run is not None and row["run_attempt"] < step.run.attempt:
                await tx.execute("UPDATE approval SET run_attempt = $1 WHERE id = $2", step.run.attempt, row["id"])
            if step.run is not None and row["state"] == "pending":
                await tx.execute(_WAITS, step.run.id)
            return await _existing(tx, row["id"]), False
        if row["state"] != "denied":
            await _end(tx, row["id"], "expired" if same else "lapsed")
    approval_id = f"apr_{random_name()}"
    await tx.execute(
        _INSERT, approval_id, place, step.run.id if step.run else None, step.run.attempt if step.run else 0,
        step.owner.domain, step.owner.agent, step.owner.user, step.resource, step.action, json.dumps(wanted.demands),
        json.dumps(wanted.requesters), wanted.arguments, wanted.policy, wanted.rule,
        keyring.seal("body", f"approval/{approval_id}/shown", shown), tx.here.now, round(wanted.expires * MICROSECONDS),
    )  # fmt: skip
    if step.run is not None:
        await tx.execute(_WAITS, step.run.id)
    return await _existing(tx, approval_id), True


async def vote(tx: Writing, approval_id: str, cast_vote: Vote) -> ApprovalRecord:
    """Add a vote; returns the approval as it is now. Raises `LookupError`, `ApprovalClosed`."""
    row = await tx.row(f"{_READ} FOR UPDATE", approval_id)
    if row is None:
        raise LookupError(approval_id)
    known = _record(row)
    await _must_be_open(tx, known, row)
    if _bare(cast_vote.voter) in {_bare(one) for one in known.requesters}:
        raise VoteForbidden("who asked for a call, or on whose behalf it is made, cannot decide about it")
    if any(_bare(one.voter) == _bare(cast_vote.voter) for one in known.votes):
        raise ApprovalClosed(f"`{cast_vote.voter}` has voted already")
    groups = {_group(demand) for demand in known.demands}
    if not groups & set(cast_vote.groups):
        raise VoteForbidden(f"only {' or '.join(f'`{group}`' for group in sorted(groups))} can decide about it")
    votes = (*known.votes, cast_vote)
    state = _outcome(known.demands, votes)
    await tx.execute(
        "UPDATE approval SET votes = $1, state = $2, decided = $3 WHERE id = $4",
        json.dumps([asdict(one) for one in votes]), state, None if state == "pending" else tx.here.now, approval_id,
    )  # fmt: skip
    if state != "pending":
        if known.run is not None:
            await tx.execute(_GOES_ON, known.run, tx.here.now)
        tx.wake(f"approval/{approval_id}")
    return await _existing(tx, approval_id)


async def use(tx: Writing, intent: Intent, call_id: str) -> bool:
    """Use up the approval of an intent; false when it does not count any more."""
    return bool(await tx.execute(_USE, call_id, tx.here.now, intent.approval, place_of(intent.step)))


async def give_back(tx: Writing, call_id: str) -> None:
    """Let the approval of a call that is known not executed count again."""
    await tx.execute(_GIVE_BACK, call_id, tx.here.now)


async def expire(tx: Writing) -> int:
    """End open approvals that are past their time, or whose run is over; returns how many."""
    rows = await tx.rows(_EXPIRED, tx.here.now, _EXPIRED_MAX)
    for row in rows:
        state = "expired" if row["expires"] <= tx.here.now else "lapsed"
        await _end(tx, row["id"], state)
        if row["run"] is not None:
            await tx.execute(_GOES_ON, row["run"], tx.here.now)
        tx.audit([{"event": f"approval_{state}", "approval": row["id"]}])
    return len(rows)


async def read(tx: Transaction, approval_id: str) -> ApprovalRecord | None:
    """Return one approval or `None`."""
    row = await tx.row(_READ, approval_id)
    return None if row is None else _record(row)


async def read_all(
    tx: Transaction, *, limit: int, state: str | None, run: str | None, before: str | None
) -> list[ApprovalRecord]:
    """Return the newest approvals first, those asked before the approval `before`. Raises `LookupError`."""
    asked, last = 2**62, ""
    if before is not None:
        row = await tx.row("SELECT asked FROM approval WHERE id = $1", before)
        if row is None:
            raise LookupError(before)
        asked, last = row["asked"], before
    return [_record(row) for row in await tx.rows(_LIST, state, run, limit, asked, last)]


async def read_shown(tx: Transaction, keyring: Keyring, approval_id: str) -> bytes | None:
    """Return what approvers see of the call: redacted JSON."""
    row = await tx.row("SELECT sealed_shown FROM approval WHERE id = $1", approval_id)
    return None if row is None else keyring.unseal("body", f"approval/{approval_id}/shown", row["sealed_shown"])


async def _must_be_open(tx: Writing, known: ApprovalRecord, row: Row) -> None:
    if known.state != "pending":
        raise ApprovalClosed(f"approval `{known.id}` is {known.state}")
    if row["expires"] <= tx.here.now:
        raise ApprovalClosed(f"approval `{known.id}` is expired")
    if known.run is not None:
        run = await tx.row("SELECT state FROM run WHERE id = $1", known.run)
        if run is None or run["state"] not in OPEN:
            raise ApprovalClosed(f"approval `{known.id}` is of a run that is over")


def _outcome(demands: Iterable[str], votes: tuple[Vote, ...]) -> str:
    if any(not one.approves for one in votes):
        return "denied"
    for demand in demands:
        voters = {_bare(one.voter) for one in votes if _group(demand) in one.groups}
        if len(voters) < (2 if demand.endswith(",four-eyes") else 1):
            return "pending"
    return "approved"


async def _end(tx: Writing, approval_id: str, state: str) -> None:
    await tx.execute(
        "UPDATE approval SET state = $1, decided = $2 WHERE id = $3 AND state IN ('pending', 'approved')",
        state, tx.here.now, approval_id,
    )  # fmt: skip
    tx.wake(f"approval/{approval_id}")


async def _existing(tx: Transaction, approval_id: str) -> ApprovalRecord:
    found = await read(tx, approval_id)
    if found is None:
        raise LookupError(approval_id)
    return found


def _bare(subject: str) -> str:
    # the same person is `user:acme/ann` by a token and `agent:acme/ann` by a key
    return subject.partition(":")[2]


def _group(demand: str) -> str:
    return demand.partition(",")[0]


def _record(row: Row) -> ApprovalRecord:
    votes = cast("list[dict[str, object]]", json.loads(row["votes"]))
    return ApprovalRecord(
        id=row["id"], state=row["state"], domain=row["domain"], agent=row["agent"], user=row["user"], run=row["run"],
        run_attempt=row["run_attempt"], resource=row["resource"], action=row["action"],
        demands=tuple(json.loads(row["demands"])), requesters=tuple(json.loads(row["requesters"])),
        arguments=bytes(row["arguments"]), policy=row["policy"], rule=row["rule"],
        votes=tuple(_vote(one) for one in votes), asked=row["asked"] / MICROSECONDS,
        expires=row["expires"] / MICROSECONDS,
        decided=None if row["decided"] is None else row["decided"] / MICROSECONDS,
    )  # fmt: skip


def _vote(stored: dict[str, object]) -> Vote:
    return Vote(
        voter=cast("str", stored["voter"]), groups=tuple(cast("list[str]", stored["groups"])),
        approves=cast("bool", stored["approves"]), reason=cast("str", stored["reason"]),
        time=cast("float", stored["time"]),
    )  # fmt: skip
