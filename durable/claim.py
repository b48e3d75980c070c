"""One claim of a step, in one transaction: fenced, placed, begun or told what is known of it instead."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from durable import approvals, budgets, past, rules, steps, vault
from durable.rules import Local, Place
from durable.stamp import MICROSECONDS
from durable.step import ApprovalLost, Began, Held, Looping, Purged

if TYPE_CHECKING:
    from durable.delivery import Deliveries
    from durable.rules import Ended, View
    from durable.sql import Row, Writing
    from durable.step import Intent, Known, Step
    from durable.vault import SealedEntry

_UPSTREAM_KEY_LENGTH: Final = 40
#: an explicit key without a run is raced for by its insert alone; the loser reads again what the winner wrote
_RACES_MAX: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An intent with what it would be written as: a fresh id, the sealed request, the key of its run."""

    intent: Intent
    call_id: str
    sealed: bytes
    key: bytes
    vault: list[SealedEntry]
    #: as `durable.rules.divergence`
    caught_up: set[tuple[str, int, str]]


@dataclass(frozen=True, slots=True)
class Begin:
    """What the rules allow: begin at `place`, where `row` is the call to be taken over, `None` for a new one.

    With a reason in `held` the new call is written, but waits for an operator.
    """

    began: Began
    place: Place
    row: Row | None
    held: str | None = None


async def decide(view: View, wanted: Claim, local: Local) -> Begin | Known | Ended:
    """Return how to begin, or what is known of the step instead. Writes nothing."""
    intent, step = wanted.intent, wanted.intent.step
    if (closed := await rules.fence(view, step)) is not None:
        return closed
    row = None
    if step.key is None and step.run is None:
        place = Place(secrets.token_bytes(32), 1)
    else:
        place, row = await rules.find(view, step, intent.use, local)
    if row is not None and (known := rules.state_of(row, step, local.here.now)) is not None:
        return known
    if row is None and step.run is None and step.key is not None and await view.purged(place.name):
        return Purged()
    if row is not None:
        over = await budgets.over(view, intent.charges, budgets.returned(row))
        return Begin(_began(wanted, place, row), place, row) if over is None else over
    return await _decide_new(view, wanted, place, local)


async def _decide_new(view: View, wanted: Claim, place: Place, local: Local) -> Begin | Known:
    """Return how to begin a call that nobody has begun, or what stands against it."""
    intent, step = wanted.intent, wanted.intent.step
    if (looping := await _looping(view, intent, place, local)) is not None:
        return looping
    diverges = await rules.divergence(view, step, intent.use, wanted.caught_up)
    if diverges is not None and step.on_divergence == "fail":
        return diverges
    held = await _held(view, step)
    if held is None and diverges is not None and step.on_divergence == "hold":
        held = f"it differs from what this run asked at its step {diverges.step}"
    if held is None and (over := await budgets.over(view, intent.charges)) is not None:
        return over
    return Begin(replace(_began(wanted, place, None), diverges=diverges), place, None, held)


async def _looping(view: View, intent: Intent, place: Place, local: Local) -> Looping | None:
    """Return which bound of the guard a new call of a run would pass; all of them are read already."""
    guard, ref = intent.guard, intent.step.run
    if guard is None or ref is None:
        return None
    if guard.same_call_max is not None and place.occurrence > guard.same_call_max:
        return Looping("same_call", guard.same_call_max)
    run = await view.run(ref.id)
    if run is None:
        return None
    if guard.run_calls_max is not None and run["calls"] >= guard.run_calls_max:
        return Looping("run_calls", guard.run_calls_max)
    seconds = guard.run_seconds_max
    if seconds is not None and local.here.now - run["created"] > seconds * MICROSECONDS:
        return Looping("run_seconds", seconds)
    return None


async def _held(view: View, step: Step) -> str | None:
    if step.effect != "once" or (step.run is None and step.key is None):
        return None
    since = await view.rolled_back()
    if since is None:
        return None
    run = None if step.run is None else await view.run(step.run.id)
    return past.HELD_REASON if past.may_be_forgotten(step, run, since) else None


@dataclass(frozen=True, slots=True)
class Claiming:
    """A claim to be made."""

    wanted: Claim
    deliveries: Deliveries

    async def __call__(self, tx: Writing) -> Began | Known | Ended:
        """Make it."""
        return await claim(tx, self.wanted, self.deliveries)


async def claim(tx: Writing, wanted: Claim, deliveries: Deliveries) -> Began | Known | Ended:
    """Write the intent, or return what is known of its step instead."""
    view = steps.SqlView(tx, locking=True)
    local = Local(deliveries, tx.here)
    for _ in range(_RACES_MAX):
        decided = await decide(view, wanted, local)
        if not isinstance(decided, Begin):
            return decided
        approval = wanted.intent.approval
        if approval is not None and not await approvals.use(tx, wanted.intent, decided.began.id):
            return ApprovalLost(approval)
        if await _write(tx, wanted, decided):
            began, held = decided.began, decided.held
            return began if held is None else Held(began.id, held, began.diverges)
        if approval is not None:
            await approvals.give_back(tx, decided.began.id)
    raise RuntimeError("a step was lost and found again more often than can be")


async def _write(tx: Writing, wanted: Claim, begin: Begin) -> bool:
    intent, step, began = wanted.intent, wanted.intent.step, begin.began
    if begin.row is None:
        written = await steps.insert_intent(tx, intent, begin.place, (wanted.call_id, wanted.sealed), begin.held)
    else:
        written = await steps.begin_again(tx, begin.row, intent)
    if not written:
        return False
    if begin.row is not None:
        await budgets.give_up(tx, begin.row)
    if begin.held is None:
        await budgets.reserve(tx, intent.charges)
    if step.run is not None:
        await steps.advance(tx, step.run, step.fingerprint, begin.place.occurrence)
        if intent.shown:
            await steps.write_uses(tx, step.run.id, began.id, asked={}, shown=intent.shown)
    await vault.write(tx, wanted.vault)
    tx.audit([{**record, "call": began.id} for record in intent.audit])
    if began.diverges is not None:
        await steps.note_divergence(tx, began.id, began.diverges.call_id)
    if begin.held is not None:
        tx.audit([{"event": "held", "call": began.id, "resource": step.resource, "reason": begin.held}])
    return True


def upstream_key_of(key: bytes, place: bytes) -> str:
    """Return the upstream's idempotency key of the step at `place`; `key` is the fingerprint key of its run.

    It is of the step, not of the execution: an upstream that honours keys sees a repetition as one.
    """
    return hmac.digest(key, b"upstream/" + place, "sha256").hex()[:_UPSTREAM_KEY_LENGTH]


def _began(wanted: Claim, place: Place, row: Row | None) -> Began:
    upstream_key = upstream_key_of(wanted.key, place.name)
    if row is None:
        return Began(
            id=wanted.call_id, attempt=1, occurrence=place.occurrence, upstream_key=upstream_key,
            charges=wanted.intent.charges,
        )  # fmt: skip
    return Began(
        id=row["id"],
        attempt=row["attempt"] + 1,
        occurrence=place.occurrence,
        upstream_key=upstream_key,
        again=row["state"] == "doubt",
        charges=wanted.intent.charges,
    )
