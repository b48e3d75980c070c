"""What was recorded, decided again by another set: which calls would be decided otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from policy.history import History, Tally

if TYPE_CHECKING:
    from collections.abc import Iterable

    from policy.decision import Decision, Question
    from policy.source import PolicySet


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A question as it was asked, and its answer then. `executed` says that it was let through.

    `question` has no run: `run` names it, and its past is made of what is recorded before.
    """

    id: str
    question: Question
    run: str | None
    executed: bool
    effect: str
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A recorded question that is answered otherwise."""

    recorded: Recorded
    decision: Decision

    @property
    def lost(self) -> bool:
        """Whether a call that was let through would be denied."""
        return self.recorded.executed and self.decision.effect == "deny"


@dataclass(slots=True)
class _Past:
    calls: dict[str, Tally] = field(default_factory=dict[str, Tally])
    labels: set[str] = field(default_factory=set[str])


def decided_again(policy_set: PolicySet, recorded: Iterable[Recorded], *, label_seconds: float = 0.0) -> list[Changed]:
    """Return what changes, in the order of the recording. Labels are those the new set puts on the way.

    They stay on an agent and its user for `label_seconds`, in whatever run.
    """
    pasts: dict[str, _Past] = {}
    sticking: dict[tuple[object, ...], dict[str, float]] = {}
    found: list[Changed] = []
    for one in recorded:
        question, who = one.question, one.question.principal
        stuck = sticking.setdefault((who.domain, who.agent, who.user, who.actors), {})
        past = None if one.run is None else pasts.setdefault(one.run, _Past())
        if past is not None:
            labels = past.labels | {name for name, when in stuck.items() if question.time - when < label_seconds}
            question = replace(question, run=History(calls=dict(past.calls), labels=frozenset(labels)))
        decision = policy_set.decide(question)
        if one.effect != decision.effect:
            found.append(Changed(recorded=one, decision=decision))
        if not one.executed:
            continue
        stuck |= dict.fromkeys(decision.obligations.labels, question.time)
        if past is not None:
            before = past.calls.get(question.resource, Tally(0, 0))
            past.calls[question.resource] = Tally(before.begun + 1, before.finished + 1)
            past.labels |= set(decision.obligations.labels)
    return found
