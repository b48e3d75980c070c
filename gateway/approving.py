"""Calls that wait for a person: asked for once, waited for in the connection, then told to ask again.

What approvers decide about is bound to the exact request and to the policy it was decided under; no
thread, transaction or database connection is held meanwhile (DESIGN section 6, approvals).
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

from durable.records import ApprovalRecord, RunRecord
from gateway import body, refusals
from gateway.body import at
from gateway.call import ClientGone
from gateway.managed import opener_of
from gateway.outward import vault_entries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from durable.step import Step, VaultEntry
    from gateway.call import Call
    from gateway.config import ApprovalTimes
    from gateway.trail import Trail
    from policy.decision import Decision, Principal
    from redaction.finding import Redacted, Scope


class Approvals(Protocol):
    """What is needed of `durable.journal.Approvals`."""

    async def ask_approval(
        self,
        step: Step,
        wanted: ApprovalRecord,
        shown: bytes,
        audit: Sequence[Mapping[str, object]],
        vault: Sequence[VaultEntry] = (),
    ) -> ApprovalRecord:
        """Return the approval of `step` that counts, else write `wanted`."""
        ...

    async def read_run(self, run_id: str) -> RunRecord | None:
        """Return a run, `None` when there is none of that id."""
        ...

    async def wait_approval(self, approval_id: str, seconds_max: float) -> ApprovalRecord:
        """Return the approval once it is not pending, or as it is when the time is up."""
        ...


class Approving:
    """Obtains approvals for calls."""

    def __init__(self, approvals: Approvals, times: ApprovalTimes) -> None:
        self._approvals = approvals
        self.take(times)

    def take(self, times: ApprovalTimes) -> None:
        """Wait as long as `times` say from now on; approvals that were asked for keep their time."""
        self._wait_seconds = times.wait_seconds
        self._expires_seconds = times.expires_seconds

    async def obtain(
        self, call: Call, step: Step, decided: tuple[Decision, Trail], redacted: Redacted, scope: Scope
    ) -> str:
        """Return the id of the approval of this step once it is given.

        Raises `Refusal` when it is denied, over, or not given within the configured wait, `ClientGone`
        when the agent goes away meanwhile (the approval stays), `JournalUnavailable`.
        """
        decision, trail = decided
        demands = demands_of(decision, step.owner.domain)
        wanted = ApprovalRecord(
            id="", state="pending", domain=step.owner.domain, agent=step.owner.agent, user=step.owner.user,
            run=step.run.id if step.run else None, run_attempt=step.run.attempt if step.run else 0,
            resource=step.resource, action=step.action, demands=demands,
            requesters=await self._requesters(call), arguments=step.fingerprint, policy=decision.digest,
            rule=decision.rule, votes=(), asked=0.0, expires=time.time() + self._expires_seconds, decided=None,
        )  # fmt: skip
        shown, vault = _shown(call, step, decision, redacted, scope), vault_entries(scope, redacted.minted)
        found = await self._approvals.ask_approval(step, wanted, shown, (trail.approval_asked(demands),), vault)
        if found.state == "pending" and self._wait_seconds > 0:
            found = await self._waited(call, found.id)
        if found.state == "approved":
            return found.id
        if found.state == "denied":
            raise refusals.denied_by_person(decision.rule)
        if found.state in {"expired", "lapsed", "used"}:
            raise refusals.approval_lost()
        raise refusals.approval_pending(demands, decision.rule)

    async def _requesters(self, call: Call) -> tuple[str, ...]:
        """Return everybody who asks for a call: who makes it, and who opened the run it belongs to."""
        asking, run = requesters_of(call.exchange.principal), call.exchange.run
        record = None if run is None else await self._approvals.read_run(run.id)
        opener = None if record is None else opener_of(record)
        return asking if opener is None else tuple(dict.fromkeys((*asking, *requesters_of(opener))))

    async def _waited(self, call: Call, approval_id: str) -> ApprovalRecord:
        waiting = asyncio.ensure_future(self._approvals.wait_approval(approval_id, self._wait_seconds))
        gone = asyncio.ensure_future(call.exchange.disconnected())
        try:
            await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise ClientGone
            return waiting.result()
        finally:
            waiting.cancel()
            gone.cancel()


def demands_of(decision: Decision, domain: str) -> tuple[str, ...]:
    """Return the demanded approvals, each group with its domain: the caller's, unless it names one."""
    return tuple(one if "/" in one.partition(",")[0] else f"{domain}/{one}" for one in decision.obligations.approvals)


def requesters_of(principal: Principal) -> tuple[str, ...]:
    """Return everybody who asks for a call of this principal: agent, user and every actor."""
    subjects = [principal.name]
    if principal.user is not None:
        subjects.append(f"user:{principal.domain}/{principal.user}")
    subjects += [f"agent:{principal.domain}/{actor}" for actor in principal.actors]
    return tuple(dict.fromkeys(subjects))


def _shown(call: Call, step: Step, decision: Decision, redacted: Redacted, scope: Scope) -> bytes:
    """Return what approvers see: redacted arguments, effect class, what was taken out, what may be put back."""
    entities: set[str] = set()
    for grant in decision.obligations.restores:
        if grant.target == "approver":
            entities |= grant.entities or {"*"}
    return body.encode(
        {
            "arguments": at(redacted.tree, call.arguments_path),
            "withheld": dict(redacted.counts),
            "restore": sorted(entities),
            "scope": scope.id,
            "effect": step.effect,
        }
    )
