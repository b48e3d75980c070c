"""Makes the plan of an execution: the request as it is sent, and what holds for sending it and for its answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.besides import together
from gateway.call import Refusal
from gateway.outward import Veil, vault_entries
from gateway.plan import Plan
from gateway.resilience.cache import keeper
from gateway.resilience.fallback import both_grants, other_key
from gateway.restoring import agent_grant, restore_arguments, tool_grants
from gateway.tool_use import count_uses
from gateway.work import question_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from durable.journal import Journal
    from durable.step import Began, Outcome, RunRef
    from gateway.budgets.charging import Budgets
    from gateway.call import Call, UpstreamRequest
    from gateway.outward import Redaction
    from gateway.resilience.gates import Gates
    from gateway.resilience.rules import Rulebook
    from gateway.telemetry import Telemetry
    from gateway.work import Work
    from policy.decision import Decision
    from policy.in_force import InForce


@dataclass(frozen=True, slots=True)
class _Sent:
    """What an upstream gets, and what of its answer the agent sees: body, idempotency key, redaction, grant."""

    tree: object
    key: str | None
    veil: Veil
    grant: frozenset[str] | None


class Planning:
    """Knows everything an execution needs that is not the call's own."""

    def __init__(
        self, *, journal: Journal, redaction: Redaction, telemetry: Telemetry, rulebook: Rulebook,
        gates: Gates, policies_of: Callable[[RunRef | None], InForce],
        price: Callable[[str, Mapping[str, int]], float | None], budgets: Budgets, answer_bytes_max: int,
        closed: Callable[[Call], Refusal | None], late: Callable[[Call], Refusal | None],
    ) -> None:  # fmt: skip
        self._journal = journal
        self._redaction = redaction
        self._telemetry = telemetry
        self._rulebook = rulebook
        self._gates = gates
        self._policies_of = policies_of
        self._price = price
        self._budgets = budgets
        self._answer_bytes_max = answer_bytes_max
        self._closed = closed
        self._late = late

    async def plan(self, work: Work, began: Began | None) -> Plan:
        """Return the plan of a redacted call. Raises what making the request raises; nothing was sent then."""
        call = work.call
        redacted = None if work.redacted is None else work.redacted.tree
        tree = await restore_arguments(redacted, work.decision, work.originals, call.shape, call.arguments_path)
        key = began.upstream_key if began else None
        sent = _Sent(tree, key, work.veil, agent_grant(work.decision))
        plan = self._made(work, began, call, sent)
        if (keep := keeper(work)) is not None:
            plan = replace(plan, keep=keep)
        return plan if not call.otherwise else replace(plan, otherwise=self._others(work, began))

    def _made(self, work: Work, began: Began | None, call: Call, sent: _Sent) -> Plan:
        key, trail = work.keys.fingerprint, work.trail

        def request_of(one: Call) -> UpstreamRequest:
            request = one.adapter.request(one, sent.tree, upstream_key=sent.key)
            context = self._telemetry.context(trail.audit_id, None if one.exchange.run is None else one.exchange.run.id)
            return replace(request, headers=(*request.headers, *context)) if context else request

        def uses(outcome: Outcome) -> Mapping[bytes, int]:
            return count_uses(key, call.adapter.tools_asked(outcome)) if call.kind == "model" else {}

        request = request_of(call)
        return Plan(
            call=call, began=began, request=request, request_of=request_of, redaction=self._redaction,
            veil=sent.veil, grant=sent.grant, originals=work.originals, journal=self._journal,
            trail=trail, audit_key=key, uses=uses, price=lambda usage: self._price(call.resource, usage),
            guess=lambda: self._budgets.estimated(call, request.body).usage,
            answer_bytes_max=self._answer_bytes_max, closed=self._closed, late=self._late,
            # who only listens is there for hours, is silent, and says nothing of the upstream
            rules=None if call.listens else self._rulebook.rules_of(call.resource),
            gate=self._gates.of(call.resource) if call.expects and not call.listens else None,
        )  # fmt: skip

    def _others(self, work: Work, began: Began | None) -> Callable[[], Awaitable[Plan | None]]:
        left = iter(work.call.otherwise)

        async def next_one() -> Plan | None:
            for make in left:
                try:
                    plan = await self._other(work, began, make())
                except Refusal as refusal:
                    work.trail.failed_tries.append(f"another model: {refusal.message}")
                    continue
                if plan is not None:
                    return replace(plan, otherwise=next_one)
            return None

        return next_one

    async def _other(self, work: Work, began: Began | None, call: Call) -> Plan | None:
        """Return the plan of the same call to another model, `None`, and said, where policy does not allow it.

        It is decided anew. What is sent and what comes back is redacted by the strictest of both decisions, and
        the agent sees no original that not both let it see: the outcome is the asked call's, also in a replay.
        """
        trail = work.trail
        policies = self._policies_of(call.exchange.run)
        question = question_of(call, trail.start)
        if call.exchange.run is not None and (recalled := trail.recalled) is not None:
            question = replace(question, run=recalled.history, time=recalled.seconds)
        decision = policies.decide(question)
        if decision.allowed and call.also:
            besides = (policies.decide(replace(question, resource=resource)) for resource in call.also)
            decision = together(decision, besides, self._redaction.default_profile.name)
        if not decision.allowed:
            trail.failed_tries.append(f"{call.resource}: not allowed by policy (rule {decision.rule})")
            return None
        if self._uncounted(work, call, decision):
            trail.failed_tries.append(f"{call.resource}: has a budget of its own, which this call is not charged to")
            return None
        if not set(decision.obligations.labels) <= set(work.decision.obligations.labels):
            trail.failed_tries.append(f"{call.resource}: would mark the run, and the call was begun without that")
            return None
        veil = replace(
            work.veil, profile=self._redaction.profile_of(work.decision, decision),
            grants=tool_grants(decision, call.arguments_path),
        )  # fmt: skip
        redacted = await self._redaction.outward(call, veil)
        if redacted.blocked:
            trail.failed_tries.append(f"{call.resource}: holds what must not leave")
            return None
        work.originals.minted |= {one.token: one for one in redacted.minted}
        tree = await restore_arguments(redacted.tree, decision, work.originals, call.shape, call.arguments_path)
        key = None if began is None else other_key(began.upstream_key, call.resource)
        grant = both_grants(agent_grant(work.decision), agent_grant(decision))
        plan = self._made(work, began, call, _Sent(tree, key, veil, grant))
        trail.answered_by, trail.answered_rule = call.resource, decision.rule
        return replace(plan, vault=vault_entries(veil.scope, redacted.minted))

    def _uncounted(self, work: Work, call: Call, decision: Decision) -> bool:
        """Return whether another model's call is of a budget the asked one was not charged to. Raises `Refusal`."""
        charged, wanted = (
            {charge.counter for charge in self._budgets.charges(one, work.step, decided, one.exchange.body)}
            for one, decided in ((work.call, work.decision), (call, decision))
        )
        return not wanted <= charged
