"""One call with what has been found out about it on its way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from durable.journal import RunKeys
    from durable.step import Owner, Step
    from gateway.call import Call
    from gateway.outward import Veil
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
