"""Asks policy about a call: by today's lines, on the history and the time that are the step's own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from durable.step import Owner, Step, fingerprint
from gateway import refusals
from gateway.besides import together
from gateway.owners import owner_user
from gateway.work import question_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from durable.journal import Journal, RunKeys
    from durable.step import RunRef
    from gateway.call import Call, Refusal
    from gateway.divergence import Divergences
    from gateway.history import Histories
    from gateway.trail import Trail
    from policy.decision import Decision
    from policy.in_force import InForce


class Deciding:
    """Decides calls, and names the step each of them is."""

    def __init__(
        self,
        *,
        policies_of: Callable[[RunRef | None], InForce],
        journal: Journal,
        histories: Histories,
        divergences: Divergences,
        closed: Callable[[Call], Refusal | None],
        default_profile: str,
    ) -> None:
        self._default_profile = default_profile
        self._policies_of = policies_of
        self._journal = journal
        self._histories = histories
        self._divergences = divergences
        self._closed = closed

    async def decide(self, call: Call, trail: Trail) -> Decision:
        """Return the decision on a call that may go on, now or after an approval. Raises `Refusal`, noted in `trail`.

        Resources the call uses besides are asked about as well, and what their lines demand is demanded of it.
        """
        if (closed := self._closed(call)) is not None:
            raise closed
        policies = self._policies_of(call.exchange.run)
        question = question_of(call, trail.start)
        asked = [question, *(replace(question, resource=resource) for resource in call.also)]
        if call.exchange.run is not None and any(policies.recalls(one) for one in asked):
            recalled = await self._histories.recall(self.step_of(call, await self.keys_of(call)), trail.start)
            trail.recalled = recalled
            asked = [replace(one, run=recalled.history, time=recalled.seconds) for one in asked]
        elif call.key is not None and any(policies.recalls(one) for one in asked):
            moment = await self._histories.moment(self.step_of(call, await self.keys_of(call)), trail.start)
            asked = [replace(one, time=moment) for one in asked]
        decision = trail.decision = policies.decide(asked[0])
        if decision.effect != "deny" and call.also:
            decision = trail.decision = together(decision, map(policies.decide, asked[1:]), self._default_profile)
        # a listing is shown unless it is certainly denied; what it lists is decided item by item
        if decision.effect == "deny" or not (decision.allowed or question.certain_only or call.journaled):
            raise refusals.denied(decision)
        return decision

    async def keys_of(self, call: Call) -> RunKeys:
        """Return the secret keys of the call's run, or of its owner without one."""
        run = call.exchange.run
        return await self._journal.run_keys(owner_of(call), run.id if run else None)

    def step_of(self, call: Call, keys: RunKeys) -> Step:
        """Return which step of its run a call is."""
        way = self._divergences.way(call.exchange.principal)
        return Step(
            owner=owner_of(call), run=call.exchange.run, key=call.key, kind=call.kind, resource=call.resource,
            action=call.action, effect=call.effect, repeat=call.repeat, declared_retry=call.declared_retry,
            fingerprint=fingerprint(keys.fingerprint, endpoint=call.endpoint, resource=call.resource,
                                    action=call.action, canonical=call.canonical),
            resume=way.resume, on_divergence=way.on_divergence, key_seconds=call.key_seconds,
        )  # fmt: skip


def owner_of(call: Call) -> Owner:
    """Return whose step a call is."""
    principal = call.exchange.principal
    return Owner(principal.domain, principal.agent, owner_user(principal))
