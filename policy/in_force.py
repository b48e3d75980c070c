"""What decides: one live set, its mode, and a candidate that is asked beside it and decides nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from policy.decision import Decision, Obligations, Second

if TYPE_CHECKING:
    from policy.decision import Question
    from policy.snapshot import Snapshot
    from policy.source import PolicySet

Mode = Literal["enforce", "shadow"]


@dataclass(frozen=True, slots=True)
class InForce:
    """The sets of one moment; a reload makes another one.

    In `shadow` mode denies and approvals of `p` and `p2` lines are suspended, never those over the gateway itself
    (`admin/…`). `profiles` are all redaction profiles: a call that would be denied passes under the strictest of
    them and within the limits and with the labels of the lines that let it, and nothing is restored on it.
    """

    live: PolicySet
    mode: Mode = "enforce"
    candidate: PolicySet | None = None
    profiles: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The live set's."""
        return self.live.digest

    @property
    def snapshot(self) -> Snapshot:
        """The live set's."""
        return self.live.snapshot

    def recalls(self, question: Question) -> bool:
        """Return whether a condition that may count, of either set, asks for the run's past or the time."""
        return self.live.recalls(question) or (self.candidate is not None and self.candidate.recalls(question))

    def decide(self, question: Question) -> Decision:
        """Return the decision on `question`; never raises."""
        decision = self.live.decide(question)
        if self.mode == "enforce" and self.candidate is None:
            return decision
        if self.candidate is not None:
            other = self.candidate.decide(question)
            second = Second(effect=other.effect, rule=other.rule, digest=other.digest)
            decision = replace(decision, candidate=second)
        if self.mode == "enforce" or question.resource.startswith("admin/"):
            return decision
        return self._suspended(decision, question)

    def _suspended(self, decision: Decision, question: Question) -> Decision:
        if decision.allowed:
            return replace(decision, mode="shadow")
        if decision.effect == "approval":
            obligations = replace(decision.obligations, approvals=())
        else:
            demanded = self.snapshot.demanded(question)
            obligations = Obligations(profiles=self.profiles, limits=demanded.limits, labels=demanded.labels)
        reason = f"in shadow mode, where {decision.effect} is suspended"
        return replace(
            decision, effect="allow", reason=reason, obligations=obligations, mode="shadow", would=decision.effect
        )
