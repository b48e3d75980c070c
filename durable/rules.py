"""The step rules of DESIGN section 6: which occurrence a request is, and whether it may be begun.

No SQL stands here: the rules ask a `View`, which may have been read before, or reads as it is asked.
Nothing decides by position or by connection. `once` advances on evidence alone, everything else on what
is known of the delivery.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, cast

from durable.stamp import MICROSECONDS
from durable.step import Diverges, Failed, Held, InDoubt, InFlight, KeyReused, RunClosed, Superseded

if TYPE_CHECKING:
    from durable.delivery import Deliveries
    from durable.sql import Here, Row
    from durable.step import Known, RunRef, Step

#: States in which a run takes calls.
OPEN: Final = frozenset({"ready", "running", "waiting"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a step stands: its unique name, and its occurrence (0 for an explicit key)."""

    name: bytes
    occurrence: int


@dataclass(frozen=True, slots=True)
class Left:
    """What the whole run has of one tool use.

    `calls` is its highest occurrence. `shown` is the most results of it that one model request shows,
    `wanted` the most that one shows and its answer asks for on top.
    """

    calls: int
    shown: int
    wanted: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The step has an outcome; `row` is its call."""

    row: Row


@dataclass(frozen=True, slots=True)
class Local:
    """What this process knows besides the store.

    `handed` is the occurrence it handed out last, where that is not in the store yet.
    """

    deliveries: Deliveries
    here: Here
    handed: int = 0


class View(Protocol):
    """The facts of the store that decide about a step."""

    async def run(self, run_id: str) -> Row | None:
        """Return the run's `domain, agent, "user", attempt, state, created, kind`, `None` without one."""
        ...

    async def cursor(self, run: RunRef, fingerprint: bytes) -> int:
        """Return the last occurrence handed out in this attempt, 0 before the first."""
        ...

    async def call_at(self, place: Place) -> Row | None:
        """Return the call at `place` (`durable.steps.CALL_FACTS`), `None` when nobody has begun it."""
        ...

    async def evidence(self, run: RunRef, use: bytes) -> tuple[int, int]:
        """Return how often this attempt's model calls asked for `use`, and how many results of it one showed."""
        ...

    async def modelled(self, run: RunRef) -> bool:
        """Return whether the run's model calls go through the gateway."""
        ...

    async def unasked(self, step: Step) -> Diverges | None:
        """Return the first call of an earlier attempt to the step's resource that this one has not asked for.

        Left out are calls with an explicit key, those another call was found to diverge from, and, for an
        agent that resumes from a checkpoint, those before what it has asked for since.
        """
        ...

    async def left(self, run: RunRef, fingerprint: bytes, use: bytes) -> Left:
        """Return what a checkpoint can have left of `use`, whatever attempt it was made in."""
        ...

    async def purged(self, name: bytes) -> bool:
        """Return whether the place of an explicit key was used and is not kept any more."""
        ...

    async def taken(self, counter: str, since: int) -> int:
        """Return what is spent and reserved of a budget's counter in its buckets from `since` on."""
        ...

    async def buckets(self, counter: str, since: int) -> list[tuple[int, int]]:
        """Return those buckets, the oldest first, with what is spent and reserved in each."""
        ...

    async def rolled_back(self) -> int | None:
        """Return since when the store's past is not certain (microseconds since the epoch), `None` when it is."""
        ...


async def fence(view: View, step: Step) -> Superseded | RunClosed | None:
    """Return why the step's run takes no call of this attempt, `None` when it does."""
    if step.run is None:
        return None
    row = await view.run(step.run.id)
    owner = step.owner
    if row is None or (row["domain"], row["agent"], row["user"]) != (owner.domain, owner.agent, owner.user):
        return RunClosed("not there")
    if row["state"] not in OPEN:
        return RunClosed(row["state"])
    if step.run.attempt not in {0, row["attempt"]}:
        return Superseded(row["attempt"])
    return None


async def find(view: View, step: Step, use: bytes | None, local: Local) -> tuple[Place, Row | None]:
    """Return the place of a step with a key or a run: which occurrence it is in its attempt; and its call."""
    if step.key is not None:
        place = key_place(step)
        return place, await view.call_at(place)
    run = cast("RunRef", step.run)
    reached = max(await view.cursor(run, step.fingerprint), local.handed)
    if use is not None and resumes(step) and (left := await view.left(run, step.fingerprint, use)).wanted:
        place = run_place(run, step.fingerprint, await _resumed(view, step, use, reached, left))
        return place, await view.call_at(place)
    place = run_place(run, step.fingerprint, max(reached, 1))
    row = await view.call_at(place)
    if reached == 0 or row is None:
        return place, row
    if step.effect == "once":
        same = await same_effect(view, row, step, use, reached, local)
    else:
        same = same_request(row, step, local)
    if same:
        return place, row
    place = run_place(run, step.fingerprint, reached + 1)
    return place, await view.call_at(place)


def resumes(step: Step) -> bool:
    """Return whether the step may be asked by an agent that sends only what its own checkpoint left."""
    return step.resume == "suffix" and step.run is not None and step.run.attempt > 1


async def _resumed(view: View, step: Step, use: bytes, reached: int, left: Left) -> int:
    """Return which occurrence a tool call of a resumed agent is: first those whose result no model request shows.

    Past the last one it is a new call only where a model answer asks for more than there are, or this
    attempt has shown all of them; a checkpoint may be older than the request that shows a result, so
    that alone proves nothing.
    """
    run = cast("RunRef", step.run)
    if reached and (step.declared_retry or (left.wanted <= reached and left.shown < reached)):
        return reached
    following = max(reached, left.shown) + 1
    if following <= left.calls:
        return following
    _, shown = await view.evidence(run, use)
    more = left.calls == 0 or left.wanted > left.calls or shown >= left.calls
    return left.calls + 1 if more else left.calls


async def divergence(
    view: View, step: Step, use: bytes | None, caught_up: set[tuple[str, int, str]]
) -> Diverges | None:
    """Return what a new step differs from: the first entry of its resource that this attempt has not asked for.

    A tool call that a model answer of this attempt asks for is none: parallel calls come in any order, and
    had the answer been another one, the request for it would have diverged. `caught_up` grows by the run,
    attempt and resource of which everything was asked for: that stays so.
    """
    run = step.run
    if run is None or run.attempt <= 1 or step.key is not None:
        return None
    name = (run.id, run.attempt, step.resource)
    if name in caught_up:
        return None
    found = await view.unasked(step)
    if found is None:
        if step.resume == "restart":
            caught_up.add(name)
        return None
    return None if use is not None and (await view.evidence(run, use))[0] else found


def key_place(step: Step) -> Place:
    """Return the place of a step with an explicit key: owner, run and key name it, nothing else."""
    run = step.run.id if step.run else "-"
    return Place(_name("key", step.owner.domain, step.owner.agent, step.owner.user, run, step.key or ""), 0)


def run_place(run: RunRef, fingerprint: bytes, occurrence: int) -> Place:
    """Return the place of the n-th occurrence of a fingerprint in a run."""
    return Place(_name("run", run.id, fingerprint.hex(), str(occurrence)), occurrence)


def same_request(row: Row, step: Step, local: Local) -> bool:
    """Return whether an equal repeatable request asks for `row` again rather than for a new occurrence.

    A client that is there and waits makes an equal request a twin, and so does one that has it all.
    """
    if step.declared_retry:
        return True
    status = local.deliveries.status(row["id"], cast("RunRef", step.run).attempt)
    if row["state"] == "intent":
        mine = row["instance"] == local.here.instance and row["epoch"] == local.here.epoch
        return not mine or status == "gone"
    if row["state"] == "done":
        return status not in {"complete", "present"}
    return True


async def same_effect(view: View, row: Row, step: Step, use: bytes | None, reached: int, local: Local) -> bool:  # noqa: PLR0917 - what it depends on
    """Return whether an equal `once` request asks for `row` again: always, but for evidence that it is meant anew.

    Only an outcome advances: what is in doubt, failed or not executed is the same whatever a model says.
    """
    run = cast("RunRef", step.run)
    if step.declared_retry or row["state"] not in {"done", "intent"}:
        return True
    if not await view.modelled(run):
        return run.attempt == 0 or step.repeat != "each" or same_request(row, step, local)
    return not await meant_again(view, run, use, reached, running=row["state"] == "intent")


async def meant_again(view: View, run: RunRef, use: bytes | None, reached: int, *, running: bool) -> bool:
    """Return whether an equal `once` tool call, after `reached` of them in this attempt, is a new one.

    Evidence, from model calls that this attempt has made or replayed: their answers ask for it more
    often than that, or, unless the last one is still running, a request shows that many results of it.
    """
    if use is None or run.attempt == 0:
        return False
    asked, shown = await view.evidence(run, use)
    return asked > reached or (shown >= reached and not running)


def state_of(row: Row, step: Step, now: int) -> Known | Ended | None:  # noqa: PLR0911 - one for each state
    """Return what is known of a call, `None` when it may be begun (again); `now` is microseconds since the epoch."""
    if row["fingerprint"] != step.fingerprint or row["resource"] != step.resource:
        return KeyReused(row["id"])
    match row["state"]:
        case "done":
            return Ended(row)
        case "intent":
            return InFlight(row["id"])
        case "failed":
            return Failed(row["id"], row["reason"])
        case "held" if not row["granted"]:
            return Held(row["id"], row["reason"])
        case "doubt" if not row["granted"] and _is_once(row, step, now):
            return InDoubt(row["id"], row["reason"])
        case _:
            return None


def _is_once(row: Row, step: Step, now: int) -> bool:
    """Return whether a call in doubt is not repeated: the stricter of then and now.

    A `keyed` one is `once` when its upstream may have forgotten the key with which it was first sent.
    """
    if "once" in {row["effect"], step.effect}:
        return True
    if "keyed" not in {row["effect"], step.effect} or step.key_seconds is None:
        return False
    return now - row["intent_time"] > step.key_seconds * MICROSECONDS


def _name(*parts: str) -> bytes:
    contents = [part.encode() for part in parts]
    return hashlib.sha256(b"".join(len(one).to_bytes(4, "big") + one for one in contents)).digest()
