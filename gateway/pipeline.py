"""The path of every call, whatever its protocol: decide, look up, redact, begin, execute or replay.

A reader who knows this page knows the product (DESIGN section 3). Steps 1 and 2 are the front door's
(`gateway/front.py`); sending and journaling one execution is `gateway/execution.py`'s.
"""

from __future__ import annotations

import logging
import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from durable.journal import JournalUnavailable
from durable.step import (
    Began,
    Diverges,
    Held,
    InDoubt,
    InFlight,
    Intent,
    Replay,
    Settlement,
    Spent,
)
from gateway import body, refusals
from gateway.body import at
from gateway.call import ClientGone, Refusal, Reply, header
from gateway.deciding import owner_of
from gateway.definitions.slots import advice
from gateway.execution import Execution
from gateway.load import Load
from gateway.outward import Veil, scope_of, vault_entries
from gateway.received import demand_received
from gateway.replay import replayed_body
from gateway.resilience.cache import given_again
from gateway.restoring import Originals, agent_grant, tool_grants
from gateway.tool_use import count_uses, use_digest
from gateway.trail import Trail, digest_of, person_of
from gateway.watch import Watch
from gateway.work import Work
from redaction.finding import DetectionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from durable.journal import Journal
    from durable.step import Known, Outcome
    from gateway.approving import Approving
    from gateway.budgets.charging import Budgets
    from gateway.call import Call, Headers
    from gateway.config import Limits
    from gateway.deciding import Deciding
    from gateway.divergence import Divergences
    from gateway.evidence import Ending
    from gateway.outward import Redaction
    from gateway.planning import Planning
    from gateway.resilience.cache import Answers
    from gateway.telemetry import Telemetry
    from policy.decision import Decision, Principal
    from redaction.finding import Redacted

_log = logging.getLogger("oncegate.pipeline")

#: Client-chosen identifiers (DESIGN section 6).
_KEY = re.compile(r"[A-Za-z0-9._:\-]{1,128}")
#: How long a caller waits for a call that is in flight elsewhere before it is told to ask again.
WAIT_SECONDS_MAX = 55.0
#: How often a call is asked for anew because policy changed while a person decided.
_APPROVALS_MAX = 3


class Doubts(Protocol):
    """Finds out what became of calls in doubt (`gateway/verifying.py`)."""

    async def settled(self, call_id: str, resource: str, principal: Principal) -> bool:
        """Return whether the call is in doubt no more: it has an outcome now, or may be executed."""
        ...


class Pipeline:
    """The composed path. `handle` never raises but `ClientGone` and cancellation."""

    def __init__(
        self,
        *,
        deciding: Deciding,
        journal: Journal,
        redaction: Redaction,
        telemetry: Telemetry,
        limits: Limits,
        planning: Planning,
        answers: Answers,
        divergences: Divergences,
        approving: Approving,
        doubts: Doubts,
        budgets: Budgets,
    ) -> None:
        self._deciding = deciding
        self._journal = journal
        self._redaction = redaction
        self._telemetry = telemetry
        self._load = Load(limits)
        self._planning = planning
        self._answers = answers
        self._divergences = divergences
        self._approving = approving
        self._doubts = doubts
        self._budgets = budgets

    async def handle(self, call: Call) -> Reply:
        """Return the answer to `call`: the upstream's, the journal's, or a refusal in its protocol."""
        traceparent = header(call.exchange.headers, b"traceparent")
        trail = Trail(call=call, traceparent=traceparent.decode("latin-1") if traceparent else None)
        try:
            trail.person = await person_of(self._journal, call.exchange.principal)
            work = await self._prepare(call, trail, await self._deciding.decide(call, trail))
            if not call.journaled:
                await self._admit(call)
                return await self._execute(work, None)
            known = await self._find_or_begin(work)
            if isinstance(known, InDoubt) and await self._doubts.settled(
                known.id, call.resource, call.exchange.principal
            ):
                known = await self._find_or_begin(work)
            if isinstance(known, Began):
                return await self._execute(work, known)
            if isinstance(known, Replay):
                return await self._replay(work, known)
            raise refusals.of_known(known)
        except Refusal as refusal:
            return await self._refuse(refusal, call, trail)
        except JournalUnavailable:
            return self._refused(refusals.unwritable(), call, trail)
        except DetectionError as error:
            return await self._refuse(refusals.uninspected(str(error)), call, trail)

    async def drain(self, seconds_max: float) -> None:
        """Wait for running executions, at most `seconds_max`; those left stay in doubt."""
        await self._load.drained(seconds_max)

    async def _approved(self, work: Work, intent: Intent) -> Intent:
        """Return `intent` with the approval it needs; decided anew once a person has approved."""
        call, trail = work.call, work.trail
        for _ in range(_APPROVALS_MAX):
            if work.decision.allowed:
                return intent
            redacted = await self._redact(work)
            decided = (work.decision, trail)
            approval = await self._approving.obtain(call, work.step, decided, redacted, work.veil.scope)
            asked_under = work.decision.digest
            work.decision = await self._deciding.decide(call, trail)
            await self._admit(call)
            if work.decision.digest == asked_under:
                return replace(
                    intent, approval=approval, rule=work.decision.rule, audit=(trail.decided(),),
                    labels=work.decision.obligations.labels, seen=trail.seen,
                )  # fmt: skip
        raise refusals.approval_lost()

    async def _prepare(self, call: Call, trail: Trail, decision: Decision) -> Work:
        run, owner = call.exchange.run, owner_of(call)
        await demand_received(self._journal, owner, call)
        keys = await self._deciding.keys_of(call)
        profile = self._redaction.profile_of(decision)
        scope = call.scope or scope_of(call, keys, run.id if run else None)
        originals = Originals(self._journal, scope.id, scope.key)
        veil = Veil(
            profile=profile, scope=scope, domain=call.exchange.principal.domain, known=originals.of,
            grants=tool_grants(decision, call.arguments_path),
        )  # fmt: skip
        trail.arguments_digest = digest_of(keys.fingerprint, call.canonical)
        step = self._deciding.step_of(call, keys)
        return Work(
            call=call, trail=trail, decision=decision, owner=owner, keys=keys, veil=veil, step=step,
            digests=f"{decision.digest}/{self._redaction.digest(profile)}",
            originals=originals,
        )  # fmt: skip

    async def _find_or_begin(self, work: Work) -> Known | Began:
        """Return what is known of the step, or the right to send; waits while it is in flight."""
        until = time.monotonic() + WAIT_SECONDS_MAX
        known: Known | Began | None = None
        if work.step.run is not None or work.step.key is not None:
            await self._inspect_key(work)
            known = await self._journal.look_up(work.step)
            if known is None and work.call.live is not None:
                await self._go_live(work, work.call.live)
                await demand_received(self._journal, work.owner, work.call)
        while True:
            if known is None:
                await self._admit(work.call)
                intent = await self._approved(work, await self._intent(work))
                known = await self._journal.begin(self._budgets.charged(intent, work.call, work.decision))
                if isinstance(known, Began | Held | Diverges) and work.redacted is not None:
                    await self._divergences.tell(known, work.call, work.trail, work.redacted.tree)
            if not isinstance(known, InFlight):
                return known
            try:
                known = await self._journal.wait(known.id, max(0.0, until - time.monotonic()))
            except LookupError:  # released: known not executed, so it may be begun
                known = None
            if isinstance(known, InFlight):
                return known

    async def _admit(self, call: Call) -> None:
        """Ask whether what is called is still what was accepted, where anybody keeps that. Raises `Refusal`."""
        if call.admit is not None:
            await call.admit()

    async def _go_live(self, work: Work, call: Call) -> None:
        """Turn to what is called instead where the journal holds no outcome; the step stays what it is."""
        work.trail.turn(call)
        work.call, work.decision = call, await self._deciding.decide(call, work.trail)
        profile = self._redaction.profile_of(work.decision)
        work.veil = replace(work.veil, profile=profile, grants=tool_grants(work.decision, call.arguments_path))
        work.digests = f"{work.decision.digest}/{self._redaction.digest(profile)}"

    async def _inspect_key(self, work: Work) -> None:
        key = work.step.key
        if key is None:
            return
        if not _KEY.fullmatch(key):
            message = "the idempotency key must be 1 to 128 characters of A-Z a-z 0-9 . _ : -"
            raise Refusal(code="bad_request", message=message, status=400)
        redacted = await self._redaction.tree([key], work.call.shape, work.veil)
        if redacted.changed or redacted.blocked:
            message = "the idempotency key holds personal data or a secret; use a random one"
            raise Refusal(code="bad_request", message=message, status=400)

    async def _redact(self, work: Work) -> Redacted:
        if work.redacted is None:
            if work.call.unreadable and work.veil.profile.inspects:
                raise refusals.unreadable(work.call.unreadable)
            slots = None if work.call.slots is None else work.call.slots()
            work.redacted = await self._redaction.outward(work.call, work.veil, slots)
            if work.redacted.blocked:
                raise refusals.blocked(work.redacted.blocked, advice(slots, work.redacted.blocked[0][1]))
            work.trail.looked_at(work.redacted)
            work.originals.minted |= {one.token: one for one in work.redacted.minted}
        return work.redacted

    async def _intent(self, work: Work) -> Intent:
        redacted, call, key = await self._redact(work), work.call, work.keys.fingerprint
        arguments = at(redacted.tree, call.arguments_path)
        return Intent(
            step=work.step,
            request=body.encode(redacted.tree),
            use=use_digest(key, call.tool_name, arguments) if call.kind == "tool" else None,
            shown=count_uses(key, call.adapter.results_shown(redacted.tree)) if call.kind == "model" else {},
            vault=vault_entries(work.veil.scope, redacted.minted),
            audit=(work.trail.decided(),),
            digests=work.digests,
            seconds_max=call.seconds_max,
            rule=work.decision.rule,
            labels=work.decision.obligations.labels,
            seen=work.trail.seen,
        )

    async def _execute(self, work: Work, began: Began | None) -> Reply:
        call, trail = work.call, work.trail
        if began is not None:
            trail.call_id, trail.occurrence = began.id, began.occurrence
            work.slot = self._answers.slot(work)
            if work.slot is not None and (answer := work.slot.store.find(work.slot.key)) is not None:
                return await self._give_again(work, began, given_again(answer))
        try:
            self._load.admit(work.owner, listens=call.listens)
            await self._redact(work)
            plan = await self._planning.plan(work, began)
            execution = Execution(plan, self._extra(work, replayed=False))
        except BaseException:
            if began is not None:  # not one byte was sent: the step stays open
                await self._journal.release(began, "refused before sending", ())
            raise
        self._load.add(execution, work.owner, listens=call.listens)
        execution.task.add_done_callback(lambda _: self._ended(execution, work))
        return await self._answer(execution, work)

    async def _give_again(self, work: Work, began: Began, outcome: Outcome) -> Reply:
        """Settle the step with an answer another call was given, and give it."""
        call, trail = work.call, work.trail
        trail.status, trail.cost_usd = outcome.status, 0.0
        trail.result_digest = digest_of(work.keys.fingerprint, outcome.body)
        settlement = Settlement(
            outcome=outcome, audit=(trail.ended("cached"),), spent=Spent(tokens=0, nanodollars=0)
        )  # fmt: skip
        if not await self._journal.settle(began, settlement):
            raise refusals.taken_over()
        self._record(trail, "cached")
        extra = (*self._extra(work, replayed=False), (b"oncegate-cached", b"true"))

        def delivered(complete: bool) -> None:  # noqa: FBT001 - a callback with one fact
            self._tell_delivered(work, complete=complete)

        return _telling(call, call.adapter.present(call, outcome, outcome.body, extra), delivered)

    async def _answer(self, execution: Execution, work: Work) -> Reply:
        call = work.call
        watch = Watch(call.exchange.disconnected, execution.reply)
        try:
            reply = await execution.reply
        except ClientGone:
            self._client_gone(execution, work)
            raise
        except Refusal as refusal:  # audited by the execution, with what it means for the effect
            return self._refused(refusal, call, work.trail)
        finally:
            watch.end()

        def delivered(complete: bool) -> None:  # noqa: FBT001 - a callback with one fact
            if complete:
                self._tell_delivered(work, complete=True)
            else:
                self._client_gone(execution, work)

        return _telling(call, reply, delivered)

    def _client_gone(self, execution: Execution, work: Work) -> None:
        self._tell_delivered(work, complete=False)
        if work.call.cancel_on_disconnect:
            execution.task.cancel()
        else:
            self._load.drain(execution, work.owner)

    def _tell_delivered(self, work: Work, *, complete: bool) -> None:
        if work.trail.call_id is not None:
            self._journal.delivered(work.trail.call_id, complete=complete)

    async def _replay(self, work: Work, known: Replay) -> Reply:
        call, trail = work.call, work.trail
        trail.call_id, trail.occurrence, trail.status = known.id, known.occurrence, known.outcome.status
        content = await replayed_body(
            call, known, redaction=self._redaction, veil=work.veil, grant=agent_grant(work.decision),
            originals=work.originals, same_digests=known.digests == work.digests,
        )  # fmt: skip
        trail.result_digest = digest_of(work.keys.fingerprint, known.outcome.body)
        await self._journal.write_audit([trail.ended("replayed")])
        trail.remember(known.outcome.meta)
        extra = (*self._extra(work, replayed=True), *trail.headers())
        reply = call.adapter.present(call, known.outcome, content, extra)
        self._record(trail, "replayed")

        def delivered(complete: bool) -> None:  # noqa: FBT001 - a callback with one fact
            self._tell_delivered(work, complete=complete)

        return _telling(call, reply, delivered)

    async def _refuse(self, refusal: Refusal, call: Call, trail: Trail) -> Reply:
        try:
            await self._journal.write_audit([trail.refused(refusal)])
        except JournalUnavailable:
            refusal = refusals.unwritable()
        return self._refused(refusal, call, trail)

    def _refused(self, refusal: Refusal, call: Call, trail: Trail, ending: Ending = "refused") -> Reply:
        trail.refusal, trail.status = refusal.code, refusal.status
        self._record(trail, ending)
        extra: Headers = ((b"oncegate-correlation", call.exchange.correlation.encode()),)
        if trail.call_id is not None:
            extra = (*extra, (b"oncegate-call", trail.call_id.encode()))
        if refusal.detail:
            extra = (*extra, (b"oncegate-detail", refusal.detail.encode("ascii", "replace")))
        return replace(call.adapter.refuse(refusal, call, (*extra, *trail.headers())), refused=True)

    def _extra(self, work: Work, *, replayed: bool) -> Headers:
        headers = [(b"oncegate-correlation", work.call.exchange.correlation.encode())]
        if work.trail.call_id is not None:
            headers.append((b"oncegate-call", work.trail.call_id.encode()))
        if replayed:
            headers.append((b"oncegate-replayed", b"true"))
        return tuple(headers)

    def _ended(self, execution: Execution, work: Work) -> None:
        if execution.reply.done() and not execution.reply.cancelled() and execution.reply.exception() is None:
            self._record(work.trail, execution.ending)

    def _record(self, trail: Trail, ending: Ending) -> None:
        self._telemetry.ended(trail, ending)


def _telling(call: Call, reply: Reply, delivered: Callable[[bool], None]) -> Reply:
    return Reply(
        status=reply.status, headers=reply.headers, body=reply.body, frames=reply.frames, delivered=delivered,
        concerns=call.concerns,
    )  # fmt: skip
