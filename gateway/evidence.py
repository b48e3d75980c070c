"""What is known about one governed call when it is over; audit records, spans and metrics are made of it.

No content: names, counts, keyed digests, times. Engines and adapters never see it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from policy.decision import Decision, Principal

Ending = Literal["executed", "replayed", "cached", "refused", "in_doubt", "not_executed", "failed", "passed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One call from the first byte to the last. Times are seconds since the epoch.

    `audit_id` joins audit record, span and log line. `upstream_start`/`upstream_end` are `None` when
    nothing was sent. `redacted_outward`/`redacted_inward` count finds per entity. `usage` holds
    `input_tokens`, `output_tokens` where the answer names them; `cost_usd` is `None` when no price is
    known. `traceparent` is the inbound trace context as sent (untrusted: link, never parent, unless
    it comes from the caller's own trust domain by configuration). `protocol_facts` are names the
    conventions want (`mcp.method.name`, `gen_ai.request.model`, ...).
    """

    audit_id: str
    correlation: str
    adapter: str
    endpoint: str
    principal: Principal
    resource: str
    resource_domain: str
    action: str
    effect: str
    decision: Decision | None
    ending: Ending
    refusal: str | None = None
    status: int = 200
    call_id: str | None = None
    run: str | None = None
    attempt: int = 0
    occurrence: int = 0
    stream: bool = False
    start: float
    end: float
    upstream_start: float | None = None
    upstream_end: float | None = None
    upstream_host: str | None = None
    redacted_outward: Mapping[str, int] = field(default_factory=dict[str, int])
    redacted_inward: Mapping[str, int] = field(default_factory=dict[str, int])
    usage: Mapping[str, int] = field(default_factory=dict[str, int])
    cost_usd: float | None = None
    #: something of it passed as it was: not looked into, or found by a shadow
    passed: bool = False
    #: where the request differs from what its run asked before: `step 3 $.messages[1].content`
    divergence: str | None = None
    #: how often it was sent upstream
    tries: int = 0
    #: the resource that was asked instead and answered
    answered_by: str | None = None
    arguments_digest: str = ""
    result_digest: str = ""
    traceparent: str | None = None
    protocol_facts: Mapping[str, str | int | float | bool] = field(
        default_factory=dict[str, "str | int | float | bool"]
    )
