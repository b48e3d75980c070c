"""The SQL of forks: a new run that holds its parent's calls up to a step, under the same keys.

Equal keys make equal requests equal steps, so the fork's agent is fast-forwarded over what is copied and
goes on live after it. What it shares is its attempt 1; the first one it makes itself is 2. What the parent
did later and must not be done twice is there too, held.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from durable import history, rules
from durable.managed import DUE
from durable.stamp import random_name
from durable.step import Owner, RunRef, Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from durable.seal import Keyring
    from durable.sql import Row, Transaction, Writing

#: calls read in one go: their bodies are in memory meanwhile
_PAGE: Final = 50
_SETTLED: Final = frozenset({"done", "failed"})
_LATER: Final = "the run this one was forked from has made this call, at its step {step}"
_UNKNOWN: Final = "whether the run this one was forked from has made this call, at its step {step}, is not known"

_RUN: Final = (
    'SELECT id, domain, agent, "user", kind, target, details, labels, calls, created, deadline, sealed_keys, '
    "sealed_input FROM run WHERE id = $1"
)
_CALLS: Final = (
    "SELECT id, key, fingerprint, occurrence, step, kind, resource, action, effect, state, reason, digests, "
    "milliseconds_max, intent_time, sent_time, outcome_time, form, status, media, meta, rule, sealed_request, "
    "sealed_outcome, labels, seen FROM call WHERE run = $1 AND step > $2 ORDER BY step, id LIMIT $3"
)
_INSERT_CALL: Final = (
    'INSERT INTO call (id, place, domain, agent, "user", run, run_attempt, key, fingerprint, occurrence, step, kind, '
    "resource, action, effect, state, reason, attempt, instance, epoch, digests, milliseconds_max, intent_time, "
    "sent_time, outcome_time, form, status, media, meta, rule, sealed_request, sealed_outcome, forked_from, "
    "labels, seen) "
    "VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 1, $17, $18, $19, $20, $21, "
    "$22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33)"
)
_INSERT_RUN: Final = (
    'INSERT INTO run (id, domain, agent, "user", state, attempt, created, updated, calls, details, sealed_keys, kind, '
    "target, sealed_input, due, deadline, attempts_max, reason, labels, parent, fork_step) "
    "VALUES ($1, $2, $3, $4, 'ready', 1, $5, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)"
)
_USES: Final = "SELECT digest, call, asked, shown FROM use WHERE run = $1"
_INSERT_USE: Final = "INSERT INTO use (run, digest, call, asked, shown) VALUES ($1, $2, $3, $4, $5)"
_VAULT: Final = "SELECT token, entity, sealed FROM vault WHERE scope = $1"
_INSERT_VAULT: Final = (
    "INSERT INTO vault (scope, token, entity, sealed) VALUES ($1, $2, $3, $4) ON CONFLICT (scope, token) DO NOTHING"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """What is asked for: from which run, up to which step, with which further details."""

    parent: str
    step: int
    details: Mapping[str, object]
    repeat_effects: bool
    name: str = field(default_factory=lambda: f"run_{random_name()}")


@dataclass(frozen=True, slots=True)
class Copy:
    """A fork's rows, sealed for their new places and ready to be written."""

    owner: Owner
    parent: str
    run: tuple[object, ...]
    #: when it may begin by itself, as an offset to its deadline; `None` where somebody has to start it
    deadline_microseconds: int | None
    managed: bool
    calls: list[tuple[object, ...]]
    uses: list[tuple[object, ...]]
    vault: list[tuple[object, ...]]


async def prepare(tx: Transaction, keyring: Keyring, fork: Fork) -> Copy:
    """Return the rows of `fork`; nothing is written. Raises `LookupError`, `ValueError` without such a step."""
    parent = await tx.row(_RUN, fork.parent)
    if parent is None:
        raise LookupError(fork.parent)
    if not 0 <= fork.step <= parent["calls"]:
        raise ValueError(f"run `{fork.parent}` has {parent['calls']} steps, none is {fork.step}")
    ids: dict[str, str] = {}
    calls: list[tuple[object, ...]] = []
    after, page = 0, await tx.rows(_CALLS, fork.parent, 0, _PAGE)
    while page:
        calls += [copied for row in page if (copied := _call(keyring, fork, parent, row, ids)) is not None]
        after = page[-1]["step"]
        page = await tx.rows(_CALLS, fork.parent, after, _PAGE)
    uses: list[tuple[object, ...]] = [
        (fork.name, row["digest"], ids[row["call"]], row["asked"], row["shown"])
        for row in await tx.rows(_USES, fork.parent)
        if row["call"] in ids
    ]
    vault = [_vault(keyring, fork, row) for row in await tx.rows(_VAULT, f"run/{fork.parent}")]
    spent = None if parent["deadline"] is None else parent["deadline"] - parent["created"]
    owner = Owner(parent["domain"], parent["agent"], parent["user"])
    return Copy(owner, fork.parent, _run(keyring, fork, parent), spent, parent["kind"] == "managed", calls, uses, vault)


async def write(tx: Writing, copy: Copy) -> None:
    """Write the rows of a fork; a managed one is due at once."""
    now = tx.here.now
    for statement, rows in ((_INSERT_USE, copy.uses), (_INSERT_VAULT, copy.vault)):
        for row in rows:
            await tx.execute(statement, *row)
    here = (tx.here.instance, tx.here.epoch)
    for row in copy.calls:
        await tx.execute(_INSERT_CALL, *row[:16], *here, *row[16:])
    name, domain, agent, user, *rest = copy.run
    calls, details, keys, kind, target, sealed_input, attempts, *last = rest
    due = now if copy.managed else None
    deadline = None if copy.deadline_microseconds is None else now + copy.deadline_microseconds
    await tx.execute(
        _INSERT_RUN, name, domain, agent, user, now, calls, details, keys, kind, target, sealed_input, due, deadline,
        attempts, *last,
    )  # fmt: skip
    await history.carry_to_fork(tx, copy.owner, copy.parent, str(name))
    if copy.managed:
        tx.wake(DUE)


def _run(keyring: Keyring, fork: Fork, parent: Row) -> tuple[object, ...]:
    keys = keyring.unseal("keys", f"run/{fork.parent}", parent["sealed_keys"])
    content = parent["sealed_input"]
    moved = None if content is None else keyring.unseal("body", f"run/{fork.parent}/input", content)
    details: dict[str, object] = {**json.loads(parent["details"]), **fork.details}
    managed = parent["kind"] == "managed"
    attempts = details.get("attempts")
    attempts_max = attempts + 1 if isinstance(attempts, int) else None
    return (
        fork.name, parent["domain"], parent["agent"], parent["user"], parent["calls"], json.dumps(details),
        keyring.seal("keys", f"run/{fork.name}", keys), "managed" if managed else "open", parent["target"],
        None if moved is None else keyring.seal("body", f"run/{fork.name}/input", moved), attempts_max,
        f"forked from {fork.parent} at step {fork.step}", parent["labels"], fork.parent, fork.step,
    )  # fmt: skip


def _call(keyring: Keyring, fork: Fork, parent: Row, row: Row, ids: dict[str, str]) -> tuple[object, ...] | None:
    """Return the parent's call as the fork holds it: settled as it is, held, or not at all."""
    early, settled = row["step"] <= fork.step, row["state"] in _SETTLED
    kept = early and settled
    # what was released or held in the parent was never sent: the fork may ask for it as anybody may
    sent = row["state"] in {"done", "doubt", "intent"}
    held = row["effect"] == "once" and sent and (not fork.repeat_effects if settled or not early else True)
    if not kept and not held:
        return None
    call_id = f"call_{random_name()}"
    if kept:
        ids[row["id"]] = call_id
    owner = Owner(parent["domain"], parent["agent"], parent["user"])
    request = keyring.unseal("body", f"call/{row['id']}/request", row["sealed_request"])
    outcome = row["sealed_outcome"] if kept else None
    if outcome is not None:
        opened = keyring.unseal("body", f"call/{row['id']}/outcome", outcome)
        outcome = keyring.seal("body", f"call/{call_id}/outcome", opened)
    reason = row["reason"] if kept else (_LATER if row["state"] == "done" else _UNKNOWN).format(step=row["step"])
    return (
        call_id, _place(fork.name, owner, row).name, owner.domain, owner.agent, owner.user, fork.name, row["key"],
        row["fingerprint"], row["occurrence"], row["step"], row["kind"], row["resource"], row["action"], row["effect"],
        row["state"] if kept else "held", reason, row["digests"], row["milliseconds_max"], row["intent_time"],
        row["sent_time"], *((row[name] if kept else None) for name in ("outcome_time", "form", "status", "media",
        "meta")), row["rule"], keyring.seal("body", f"call/{call_id}/request", request), outcome, row["id"],
        row["labels"], row["seen"],
    )  # fmt: skip


def _place(name: str, owner: Owner, row: Row) -> rules.Place:
    run = RunRef(name, 1)
    if row["key"] is None:
        return rules.run_place(run, bytes(row["fingerprint"]), row["occurrence"])
    keyed = Step(
        owner=owner, run=run, key=row["key"], fingerprint=bytes(row["fingerprint"]), kind=row["kind"],
        resource=row["resource"], action=row["action"], effect=row["effect"],
    )  # fmt: skip
    return rules.key_place(keyed)


def _vault(keyring: Keyring, fork: Fork, row: Row) -> tuple[object, ...]:
    before, after = f"run/{fork.parent}", f"run/{fork.name}"
    original = keyring.unseal("vault", f"{before}/{row['token']}", row["sealed"])
    return after, row["token"], row["entity"], keyring.seal("vault", f"{after}/{row['token']}", original)
