"""Makes the plan of an execution: the request as it is sent, and what holds for sending it and for its answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.plan import Plan
from gateway.restoring import agent_grant, restore_arguments
from gateway.tool_use import count_uses

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from durable.journal import Journal
    from durable.step import Began, Outcome
    from gateway.budgets.charging import Budgets
    from gateway.call import Call, UpstreamRequest
    from gateway.outward import Redaction
    from gateway.resilience.gates import Gates
    from gateway.resilience.rules import Rulebook
    from gateway.telemetry import Telemetry
    from gateway.work import Work


class Planning:
    """Knows everything an execution needs that is not the call's own."""

    def __init__(
        self, *, journal: Journal, redaction: Redaction, telemetry: Telemetry, rulebook: Rulebook,
        gates: Gates, price: Callable[[str, Mapping[str, int]], float | None], budgets: Budgets,
        answer_bytes_max: int,
    ) -> None:  # fmt: skip
        self._journal = journal
        self._redaction = redaction
        self._telemetry = telemetry
        self._rulebook = rulebook
        self._gates = gates
        self._price = price
        self._budgets = budgets
        self._answer_bytes_max = answer_bytes_max

    async def plan(self, work: Work, began: Began | None) -> Plan:
        """Return the plan of a redacted call. Raises what making the request raises; nothing was sent then."""
        call, key, trail = work.call, work.keys.fingerprint, work.trail
        redacted = None if work.redacted is None else work.redacted.tree
        tree = await restore_arguments(redacted, work.decision, work.originals, call.shape, call.arguments_path)
        upstream_key = began.upstream_key if began else None

        def request_of(one: Call) -> UpstreamRequest:
            request = one.adapter.request(one, tree, upstream_key=upstream_key)
            context = self._telemetry.context(trail.audit_id)
            return replace(request, headers=(*request.headers, *context)) if context else request

        def uses(outcome: Outcome) -> Mapping[bytes, int]:
            return count_uses(key, call.adapter.tools_asked(outcome)) if call.kind == "model" else {}

        request = request_of(call)
        return Plan(
            call=call, began=began, request=request, request_of=request_of, redaction=self._redaction,
            veil=work.veil, grant=agent_grant(work.decision), originals=work.originals, journal=self._journal,
            trail=trail, audit_key=key, uses=uses, price=lambda usage: self._price(call.resource, usage),
            guess=lambda: self._budgets.estimated(call, request.body).usage,
            answer_bytes_max=self._answer_bytes_max, rules=self._rulebook.rules_of(call.resource),
            # who only listens is there for hours, and says nothing of the upstream
            gate=None if call.listens else self._gates.of(call.resource),
        )  # fmt: skip
