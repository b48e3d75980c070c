"""One execution of a call upstream: one intent, one outcome, whatever it takes in between.

It runs in a task of its own, so that a client that goes away does not undo it: the answer is drained
(bounded) and journaled, and the retry gets all of it. Tries of one execution are inside it: the journal sees
none of them, so a process killed in their midst leaves the call in doubt, as ever.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING, cast

from durable.journal import JournalUnavailable
from durable.step import Outcome, Settlement
from gateway import refusals
from gateway.budgets.charging import spent
from gateway.call import NotSent, Refusal, Reply, Sent
from gateway.oauth.answer import NoToken
from gateway.outward import vault_entries
from gateway.relay import Relay
from gateway.resilience.fallback import turns_away
from gateway.resilience.gates import Shut
from gateway.resilience.race import Race
from gateway.resilience.retry import Failed, next_wait, repeatable
from gateway.sending import Lapsed, Sending
from gateway.trail import digest_of
from redaction.finding import DetectionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.call import Call, Headers, Verdict
    from gateway.config import Hedge
    from gateway.evidence import Ending
    from gateway.plan import Plan
    from gateway.resilience.rules import Rules


_log = logging.getLogger("oncegate.execution")


class Execution:
    """A running execution; its `reply` is the agent's part of it."""

    def __init__(self, plan: Plan, extra: Headers) -> None:
        self._plan = plan
        self._extra = extra
        self._loop = asyncio.get_running_loop()
        self._sending = Sending(plan, plan.call, plan.request, self)
        self._tries = 0
        self._first_out = 0.0
        #: an earlier try may have been executed, so that no later one proves that nothing was
        self._unsure = False
        #: the client has gone: nothing is tried for it any more
        self._alone = False
        self._pause: asyncio.Future[bool] | None = None
        self._race: Race | None = None
        self._relay: Relay | None = None
        #: the answer, as soon as its first frame may leave, or the `Refusal`
        self.reply: asyncio.Future[Reply] = self._loop.create_future()
        self.streaming = False
        self.ending: Ending = "failed"
        self.task: asyncio.Task[None] = asyncio.create_task(self._run())
        self.task.add_done_callback(self._over)

    def bound_rest(self, bytes_max: int) -> None:
        """Read at most `bytes_max` more, and try nothing more: nobody is waiting but the journal."""
        self._sending.bound_rest(bytes_max)
        if self._race is not None:
            self._race.bound_rest(bytes_max)
        self._alone = True
        if self._pause is not None and not self._pause.done():
            self._pause.set_result(False)

    def _over(self, task: asyncio.Task[None]) -> None:
        if self._relay is not None:
            self._relay.end()
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if not self.reply.done():
            self.reply.set_exception(error or refusals.internal())
            self.reply.exception()  # the client may have gone; then nobody reads it

    async def _run(self) -> None:
        try:
            await self._carry_out()
        except JournalUnavailable:
            raise refusals.unwritten() from None
        except Refusal:
            raise
        except asyncio.CancelledError:
            await self._cancelled()
            raise
        except Exception:  # noqa: BLE001 - the outermost handler
            # the outermost handler of this task: whatever went wrong, the effect may have happened
            _log.exception("call %s ended by an error of the gateway", self._plan.trail.audit_id)
            await self._doubt("an error of the gateway")
            raise refusals.internal() from None

    async def _carry_out(self) -> None:
        """Send until there is an answer to keep or nothing more may be tried; journal what that means."""
        until = self._loop.time() + self._plan.call.seconds_max
        failed = await self._send(until, self._plan.call.seconds_max)
        while failed is not None and await self._goes_on(failed, until):
            failed = await self._send(until, until - self._loop.time())
        if failed is None or failed.status is not None:
            await self._conclude()
        else:
            await self._end(failed)

    async def _send(self, until: float, seconds_max: float) -> Failed | None:
        """Send once; returns why there is no answer to keep, `None` when there is one."""
        self._tries += 1
        trail, sending = self._plan.trail, self._sending
        trail.tries += 1
        now = time.time()
        if trail.upstream_start is None:
            trail.upstream_start = now
        if self._tries == 1:
            self._first_out = now
        try:
            await (sending.run(until, seconds_max) if not self._hedges else self._raced(until, seconds_max))
        except NotSent as error:
            if isinstance(error, Shut):
                trail.tries -= 1  # nothing was even tried
            return Failed(proof="not_executed", reason=str(error), refusal=_refusal_of(error),
                          final=isinstance(error, Shut), over=isinstance(error, Lapsed))  # fmt: skip
        except Sent as error:
            return Failed(proof="unknown", reason=str(error))
        except DetectionError:
            reason = "the answer could not be inspected for personal data"
            return Failed(proof="unknown", reason=reason, over=True)
        finally:
            trail.upstream_end = time.time()
        plain = self._plan.rules is None and self._plan.otherwise is None
        return None if plain else self._judged(self._sending)

    @property
    def _hedges(self) -> bool:
        call, rules = self._plan.call, self._plan.rules
        return rules is not None and rules.hedge is not None and call.kind == "model" and call.effect == "safe"

    async def _raced(self, until: float, seconds_max: float) -> None:
        """Send, and once more beside it where it takes long; the first good answer is the one that counts."""
        plan, trail = self._plan, self._plan.trail

        def another() -> Sending:
            trail.tries += 1
            call = plan.call
            return Sending(plan, call, plan.request_of(call), self)

        hedge = cast("Rules", plan.rules).hedge
        self._race = race = Race(cast("Hedge", hedge), self._sending, another)
        try:
            self._sending = await race.run(until, seconds_max)
        finally:
            trail.dropped += race.dropped
            # another one may have been carried out: no failure of the last one proves the contrary
            self._unsure = self._unsure or race.several
            self._race = None

    def _judged(self, sending: Sending) -> Failed | None:
        """Return an answer as a failure where it is one that might be tried again."""
        verdict = sending.reader.verdict()
        if verdict.kind == "outcome" and verdict.status < 400:  # noqa: PLR2004 - RFC 9110 section 15
            return None
        return Failed(
            proof="not_executed" if verdict.kind == "not_executed" else "unknown", reason=verdict.reason,
            status=verdict.status, retry_after_seconds=sending.retry_after_seconds,
        )  # fmt: skip

    async def _goes_on(self, failed: Failed, until: float) -> bool:
        """Prepare the next try, once its time has come; false when there is none."""
        self._unsure = self._unsure or failed.proof == "unknown"
        if self.streaming or self._alone:
            return False
        self._sending.out = False  # whether it may have been executed is kept above
        wait = self._wait_after(failed, until)
        if wait is None:
            return await self._turns(failed, until)
        call = _afresh(self._sending.call)
        if call is None or not await self._waited(wait):
            return False
        self._plan.trail.failed_tries.append(failed.reason)
        self._sending = Sending(self._plan, call, self._plan.request_of(call), self)
        return True

    def _wait_after(self, failed: Failed, until: float) -> float | None:
        """Return how long to wait before the same upstream is asked again, `None` when it is not."""
        rules, left = self._plan.rules, until - self._loop.time()
        if rules is None or rules.retry is None:
            return None
        chance = random.random()  # noqa: S311 - spreads load, hides nothing
        wait = next_wait(rules.retry, failed, tries=self._tries, seconds_left=left, chance=chance)
        return wait if wait is not None and self._may_repeat(failed, wait) else None

    async def _turns(self, failed: Failed, until: float) -> bool:
        """Turn to the next other model; false when there is none, or it may not be asked."""
        plan = self._plan
        if plan.otherwise is None or not turns_away(failed) or not self._may_repeat(failed, 0.0):
            return False
        if until <= self._loop.time():
            return False
        asked = len(plan.trail.failed_tries)
        other = await plan.otherwise()
        plan.trail.failed_tries.insert(asked, f"{plan.call.resource}: {failed.reason}")
        if other is None:
            return False
        self._plan, self._tries = other, 0
        self._sending = Sending(other, other.call, other.request, self)
        return True

    def _may_repeat(self, failed: Failed, wait: float) -> bool:
        call, began = self._plan.call, self._plan.began
        # since when the upstream knows the key is sure only of what was first sent here
        age = time.time() + wait - self._first_out
        key_holds = began is not None and not began.again and (call.key_seconds is None or age < call.key_seconds)
        return repeatable(failed, call.effect, journaled=began is not None, key_holds=key_holds)

    async def _waited(self, seconds: float) -> bool:
        """Wait before the next try; false when the client has gone meanwhile."""
        self._pause = pause = self._loop.create_future()
        timer = self._loop.call_later(seconds, _wake, pause)
        try:
            return await pause
        finally:
            timer.cancel()
            self._pause = None

    @property
    def passing(self) -> bool:
        """Whether this is a stream of the protocol's own, kept nowhere and of any length."""
        return self.streaming and self._plan.began is None

    def begin_stream(self, sending: Sending) -> None:
        """Answer with a stream; what comes after it is its end."""
        if self.streaming:
            return
        self.streaming = True
        if self._race is not None:
            self._race.won(sending)
        self._relay = Relay(self._last)
        status, headers = sending.call.adapter.head(sending.call, (*self._extra, *self._plan.trail.headers()))
        self._answer(Reply(status=status, headers=headers, frames=self._relay))

    def give(self, frame: bytes) -> None:
        """Give a frame of the stream. Raises `Sent` when its agent reads a stream without end too slowly."""
        if self._relay is None:  # nothing has left yet, and nothing will as a stream
            return
        self._relay.give(frame)
        if self._plan.began is None and self._relay.waiting_bytes > self._plan.answer_bytes_max:
            # kept nowhere and of any length: without a bound an agent that does not read would fill the memory
            raise Sent(f"the agent has left {self._plan.answer_bytes_max} bytes of the stream unread")

    def _answer(self, reply: Reply) -> None:
        if not self.reply.done():  # else the client has gone, and the journal alone is told
            self.reply.set_result(reply)

    def _last(self) -> bytes | None:
        """Return the refusal a stream that has begun ends with, `None` where it ended as it should."""
        if self.task.cancelled() or not isinstance(refusal := self.task.exception(), Refusal):
            return None
        return self._plan.call.adapter.refusal_frame(refusal, self._plan.call)

    async def _conclude(self) -> None:
        """Journal the outcome, then let go of what was held for it."""
        sending, trail = self._sending, self._plan.trail
        verdict = sending.reader.verdict()
        trail.status = verdict.status
        trail.redacted_inward = sending.inward.counts
        trail.passed_inward = sending.inward.passed
        trail.usage = cast("Mapping[str, int]", verdict.meta.get("usage", {}))
        if not trail.usage and self._plan.call.kind == "model" and verdict.status < 400:  # noqa: PLR2004 - RFC 9110 15.5
            trail.usage, trail.usage_estimated = self._plan.guess(), True
        trail.cost_usd = self._plan.price(trail.billed())
        withheld = self._withheld()
        outcome = withheld or self._outcome(verdict)
        trail.result_digest = digest_of(self._plan.audit_key, outcome.body)
        if verdict.kind == "outcome":
            await self._settle(outcome)
        elif verdict.kind == "not_executed" and not self._unsure:
            await self._release(verdict.reason)
        else:
            await self._doubt(verdict.reason)
        failed = verdict.kind == "unknown" and verdict.status >= 400  # noqa: PLR2004 - else a stream to be resumed
        if failed and self._plan.began is not None and self._plan.call.effect == "once":
            raise refusals.in_doubt()  # the upstream's own error would invite the agent to try again
        if verdict.status == 401:  # noqa: PLR2004 - RFC 9110 section 15.5.2; the agent's own would be a lie
            raise refusals.credential_refused()
        if withheld is not None and self.streaming:
            raise refusals.withheld(sending.inward.blocked)
        await self._complete(outcome, plain=withheld is not None)

    async def _complete(self, outcome: Outcome, *, plain: bool) -> None:
        sending = self._sending
        if self.streaming:
            await sending.let_go()
            return
        content = outcome.body if plain else await sending.restored(outcome)
        extra = (*self._extra, *self._plan.trail.headers())
        self._answer(sending.call.adapter.present(sending.call, outcome, content, extra))

    def _outcome(self, verdict: Verdict) -> Outcome:
        meta, trail = dict(verdict.meta), self._plan.trail
        if trail.cost_usd is not None:  # at today's price: a timeline shows what was paid
            meta["cost_usd"] = round(trail.cost_usd, 9)
        return Outcome(
            form=verdict.form, status=verdict.status, media=verdict.media, body=self._sending.content(verdict.form),
            meta=meta | trail.kept(),
        )  # fmt: skip

    def _withheld(self) -> Outcome | None:
        blocked = self._sending.inward.blocked
        if not blocked:
            return None
        call = self._plan.call
        return call.adapter.refusal_outcome(refusals.withheld(blocked), call)

    async def _settle(self, outcome: Outcome) -> None:
        plan = self._plan
        self.ending = "passed" if plan.began is None else "executed"
        if plan.began is None:
            await plan.journal.write_audit([plan.trail.ended("passed")])
            return
        late = None if self.streaming else plan.late(plan.call)  # a stream that has begun is cut at the front door
        settlement = Settlement(
            outcome=outcome,
            uses=plan.uses(outcome),
            vault=(*plan.vault, *vault_entries(plan.veil.scope, self._sending.inward.minted.values())),
            audit=(plan.trail.ended("executed"), *(() if late is None else (plan.trail.withheld(late),))),
            spent=spent(plan.trail.status, plan.trail.billed(), plan.trail.cost_usd),
        )
        try:
            kept = await plan.journal.settle(plan.began, settlement)
        except JournalUnavailable:
            raise refusals.unwritten() from None
        if not kept:
            raise refusals.taken_over()
        if plan.keep is not None:
            plan.keep(outcome, not self._sending.inward.counts)
        if late is not None:
            raise late

    async def _release(self, reason: str) -> None:
        plan = self._plan
        self.ending = "not_executed"
        record = plan.trail.ended("not_executed", reason)
        if plan.began is None:
            await plan.journal.write_audit([record])
        else:
            await plan.journal.release(plan.began, reason, [record])

    async def _doubt(self, reason: str) -> None:
        plan = self._plan
        self.ending = "in_doubt"
        record = plan.trail.ended("in_doubt", reason)
        if plan.began is None:
            await plan.journal.write_audit([record])
        else:
            await plan.journal.doubt(plan.began, reason, [record])

    async def _end(self, failed: Failed) -> None:
        """No answer: the journal says what is known, the agent is told what that means."""
        if not self._unsure:
            await self._release(failed.reason)
            raise failed.refusal or refusals.unreachable()
        await self._doubt(failed.reason)
        if self._plan.began is not None and self._plan.call.effect == "once":
            raise refusals.in_doubt()
        raise refusals.unanswered()

    async def _cancelled(self) -> None:
        if self._unsure or self._sending.out:
            self.ending = "in_doubt"
            await self._doubt("cancelled by the client")
        else:
            await self._release("cancelled before it was sent")


def _afresh(call: Call) -> Call | None:
    """Return the call for a further try, `None` where its client has cancelled it."""
    return call if call.fresh is None else call.fresh(call)


def _wake(pause: asyncio.Future[bool]) -> None:
    if not pause.done():
        pause.set_result(True)


def _refusal_of(error: NotSent) -> Refusal:
    """Return what the agent is told of a call that was not sent."""
    if isinstance(error, Shut):
        return error.refusal
    if isinstance(error, NoToken):
        return refusals.no_token()
    return refusals.lapsed() if isinstance(error, Lapsed) else refusals.unreachable()
