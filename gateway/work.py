"""One call with what has been found out about it on its way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from policy.decision import Question

if TYPE_CHECKING:
    from durable.journal import RunKeys
    from durable.step import Owner, Step
    from gateway.call import Call
    from gateway.outward import Veil
    from gateway.resilience.cache import Slot
    from gateway.restoring import Originals
    from gateway.trail import Trail
    from policy.decision import Decision
    from redaction.finding import Redacted


@dataclass(slots=True, kw_only=True)
class Work:
    """One call, being carried out; only the pipeline writes to it."""

    call: Call
    trail: Trail
    decision: Decision
    owner: Owner
    keys: RunKeys
    veil: Veil
    digests: str
    step: Step
    originals: Originals
    redacted: Redacted | None = None
    #: where its answer is kept for others who ask the same
    slot: Slot | None = None


def question_of(call: Call, time: float) -> Question:
    """Return what policy is asked about a call; `time` is in seconds since the epoch."""
    return Question(
        principal=call.exchange.principal, resource=call.resource, resource_domain=call.resource_domain,
        action=call.action, arguments=call.arguments, time=time, certain_only=call.action == "list",
    )  # fmt: skip
