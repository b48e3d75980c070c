"""What a run has done before a call, as policy is asked about it: read from the journal, kept while the run lives.

A decision is made on what was committed before it. A step that the journal answers is decided on what it was
decided on the first time: its own history, and its own time (DESIGN section 6).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from durable.stamp import MICROSECONDS
from policy.history import History, Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from durable.history import Past, PastCall
    from durable.journal import Audit
    from durable.step import Owner, Step

#: A longer run has no history any more: conditions that ask for it err.
CALLS_MAX: Final = 20_000
#: Runs whose calls are kept in mind; what is forgotten is read again.
RUNS_MAX: Final = 512
#: Calls that had, or may have had, an effect; what was released or held had none.
_BEGUN: Final = frozenset({"intent", "done", "doubt", "failed"})
#: Later than anything.
_ALL: Final = 2**62
#: Their rows change no more.
_SETTLED: Final = frozenset({"done", "failed"})
#: Asked again, they are answered and not executed.
_ANSWERED: Final = frozenset({"intent", "done", "failed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """A moment's history: what conditions see, the time they see, and the newest change in it (microseconds)."""

    history: History
    seconds: float
    seen: int


@dataclass(slots=True)
class _Known:
    """The calls of one run that change no more, by step, and all after them when last read."""

    settled: list[PastCall] = field(default_factory=list["PastCall"])

    @property
    def step(self) -> int:
        return self.settled[-1].step if self.settled else 0


class Histories:
    """Recalls what runs have done."""

    def __init__(self, past: Past, *, label_seconds: float, calls_max: int = CALLS_MAX) -> None:
        self._past = past
        self._label_microseconds = round(label_seconds * MICROSECONDS)
        self._calls_max = calls_max
        self._known: dict[str, _Known] = {}

    async def recall(self, step: Step, seconds: float) -> Recalled:
        """Return what `step`, of a run, is decided on now, or was when it was begun. Raises `JournalUnavailable`."""
        run = step.run
        if run is None:
            raise LookupError("a step without a run has no history")
        calls = await self._calls(run.id)
        if calls is None:
            return Recalled(history=History(known=False), seconds=seconds, seen=0)
        standing = await self._past.standing(step)
        own = next((call for call in calls if call.id == standing), None)
        if own is None or own.state not in _ANSWERED:
            others = [call for call in calls if call.id != standing]
            newest = max((max(call.began, call.ended or 0) for call in others), default=0)
            history = _history(others, await self._sticking(step.owner, run.id, None))
            return Recalled(history=history, seconds=seconds, seen=newest)
        seen = own.began - 1 if own.seen is None else own.seen
        before = list(_as_of(calls, own, seen))
        history = _history(before, await self._sticking(step.owner, run.id, own.began - 1))
        return Recalled(history=history, seconds=own.began / MICROSECONDS, seen=seen)

    async def moment(self, step: Step, seconds: float) -> float:
        """Return the time that a step without a run is decided on: now, or when it was begun where it is answered."""
        standing = await self._past.standing(step)
        found = None if standing is None else await self._past.read_moment(standing)
        return seconds if found is None or found[0] not in _ANSWERED else found[1] / MICROSECONDS

    async def labels_of(self, owner: Owner) -> frozenset[str]:
        """Return the labels that whatever `owner` starts now begins with. Raises `JournalUnavailable`."""
        return await self._past.read_labels_now(owner, since=self._since(_now()))

    async def labels_in(self, owner: Owner, run: str) -> frozenset[str]:
        """Return the labels that what comes out of a run of `owner` carries. Raises `JournalUnavailable`."""
        return await self._past.read_run_labels(run) | await self._sticking(owner, run, None)

    async def carry(self, owner: Owner, run: str, labels: Sequence[str], audit: Audit) -> None:
        """Put `labels`, which came with `run`, on `owner`. Raises `JournalUnavailable`."""
        await self._past.carry(owner, run, labels, audit)

    async def _sticking(self, owner: Owner, run: str, until: int | None) -> frozenset[str]:
        """Return the labels from outside the run on the same agent and user, up to `until` or now."""
        since = self._since(_now() if until is None else until)
        return await self._past.read_labels(owner, run, since=since, until=_ALL if until is None else until)

    def _since(self, until: int) -> int:
        return until - self._label_microseconds if self._label_microseconds else _ALL

    async def _calls(self, run: str) -> list[PastCall] | None:
        """Return all calls of a run, in the order of their steps; `None` for one that is too long."""
        known = self._known.pop(run, None) or _Known()
        if len(self._known) >= RUNS_MAX:  # the one asked for longest ago
            del self._known[next(iter(self._known))]
        self._known[run] = known
        settled = len(known.settled)
        rest = await self._past.read_past(run, after=known.step, calls_max=self._calls_max - settled + 1)
        calls = [*known.settled[:settled], *rest]
        if len(calls) > self._calls_max:
            return None
        if len(known.settled) == settled:  # nobody else has read on meanwhile
            for call in rest:
                if call.state not in _SETTLED:
                    break
                known.settled.append(call)
        return calls


def _as_of(calls: Iterable[PastCall], own: PastCall, seen: int) -> Iterator[PastCall]:
    """Yield what had been begun when `own` was decided, without the outcomes it could not know."""
    for call in calls:
        if call.id != own.id and call.began <= seen:
            yield call if call.ended is None or call.ended <= seen else _unended(call)


def _unended(call: PastCall) -> PastCall:
    return replace(call, state="intent", ended=None)


def _history(calls: Iterable[PastCall], sticking: frozenset[str]) -> History:
    tallies: dict[str, Tally] = {}
    labels = set(sticking)
    for call in calls:
        if call.state not in _BEGUN:
            continue
        before = tallies.get(call.resource, Tally(0, 0))
        tallies[call.resource] = Tally(before.begun + 1, before.finished + (call.state == "done"))
        labels.update(call.labels)
    return History(calls=tallies, labels=frozenset(labels))


def _now() -> int:
    return round(time.time() * MICROSECONDS)
