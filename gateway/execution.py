"""One execution of a call upstream: sent once, read to its end, journaled, and only then completed.

It runs in a task of its own, so that a client that goes away does not undo it: the answer is drained
(bounded) and journaled, and the retry gets all of it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from durable.journal import JournalUnavailable
from durable.step import Outcome, Settlement
from gateway import body, refusals
from gateway.call import NotSent, Refusal, Reply, Sent
from gateway.inward import Inward
from gateway.oauth.answer import NoToken
from gateway.outward import vault_entries
from gateway.restoring import Restoring
from gateway.trail import digest_of
from redaction.finding import DetectionError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from durable.journal import Journal
    from durable.step import Began
    from gateway.call import AnswerReader, Call, Headers, Unit, UpstreamRequest, UpstreamResponse, Verdict
    from gateway.evidence import Ending
    from gateway.inward import Clean
    from gateway.outward import Redaction, Veil
    from gateway.restoring import Originals
    from gateway.trail import Trail


_log = logging.getLogger("oncegate.execution")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything an execution needs, decided before it starts. `began` is `None` for housekeeping."""

    call: Call
    began: Began | None
    request: UpstreamRequest
    redaction: Redaction
    veil: Veil
    grant: frozenset[str] | None
    originals: Originals
    journal: Journal
    trail: Trail
    audit_key: bytes
    uses: Callable[[Outcome], Mapping[bytes, int]]
    price: Callable[[Mapping[str, int]], float | None]
    answer_bytes_max: int


class Execution:
    """A running execution; its `reply` is the agent's part of it."""

    def __init__(self, plan: Plan, extra: Headers) -> None:
        self._plan = plan
        self._extra = extra
        self._reader: AnswerReader = plan.call.adapter.reader(plan.call)
        self._inward = Inward(self._reader, plan.redaction, plan.veil)
        self._restoring = Restoring(self._reader, plan.grant, plan.originals)
        self._journaled: list[bytes] = []
        self._final: Clean | None = None
        self._held: list[Clean] = []
        self._bytes = 0
        self._bytes_max = plan.answer_bytes_max
        self._holding = False
        self._relay: asyncio.Queue[bytes | None] | None = None
        #: the answer, as soon as its first frame may leave, or the `Refusal`
        self.reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.streaming = False
        self.ending: Ending = "failed"
        self.task: asyncio.Task[None] = asyncio.create_task(self._run())
        self.task.add_done_callback(self._over)

    def bound_rest(self, bytes_max: int) -> None:
        """Read at most `bytes_max` more: nobody is waiting for them but the journal."""
        self._bytes_max = min(self._bytes_max, self._bytes + bytes_max)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._give(None)
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if not self.reply.done():
            self.reply.set_exception(error or refusals.internal())
            self.reply.exception()  # the client may have gone; then nobody reads it

    async def _run(self) -> None:
        try:
            await self._attempt()
        except JournalUnavailable:
            raise refusals.unwritten() from None
        except Refusal:
            raise
        except asyncio.CancelledError:
            self.ending = "in_doubt"
            await self._doubt("cancelled by the client")
            raise
        except Exception:  # noqa: BLE001 - the outermost handler
            # the outermost handler of this task: whatever went wrong, the effect may have happened
            _log.exception("call %s ended by an error of the gateway", self._plan.trail.audit_id)
            await self._doubt("an error of the gateway")
            raise refusals.internal() from None

    async def _attempt(self) -> None:
        plan = self._plan
        try:
            async with asyncio.timeout(plan.call.seconds_max):
                await self._exchange()
        except NotSent as error:
            await self._release(str(error))
            raise (refusals.no_token() if isinstance(error, NoToken) else refusals.unreachable()) from None
        except TimeoutError:
            await self._lost(f"no complete answer within {plan.call.seconds_max:g} s")
        except Sent as error:
            await self._lost(str(error))
        except DetectionError:
            await self._lost("the answer could not be inspected for personal data")
        else:
            await self._conclude()

    async def _authorized(self, request: UpstreamRequest) -> UpstreamRequest:
        """Return the request with what proves the gateway; half of the call's time is the most it may take."""
        if request.authorize is None:
            return request
        try:
            async with asyncio.timeout(self._plan.call.seconds_max / 2):
                proof = await request.authorize()
        except TimeoutError:
            raise NoToken("the authorization server did not answer in time") from None
        return replace(request, headers=(*request.headers, *proof), authorize=None)

    async def _exchange(self) -> None:
        plan = self._plan
        plan.trail.upstream_start = time.time()
        try:
            upstream = plan.call.adapter.upstream(plan.call)
            request = await self._authorized(plan.request)
            # right before the send: without its lease another instance may have taken the call over
            if not plan.journal.may_send():
                await self._release("this instance had lost its lease")
                raise refusals.lapsed()
            response = await upstream.send(request, seconds_max=plan.call.seconds_max)
            try:
                await self._read(response)
            except NotSent as error:  # of something sent later, in answer to the upstream: the call itself was sent
                raise Sent(str(error)) from None
            finally:
                await response.aclose()
        finally:
            plan.trail.upstream_end = time.time()

    async def _read(self, response: UpstreamResponse) -> None:
        reader = self._reader
        reader.begin(response.status, response.headers)
        looks = self._plan.veil.profile.inspects or self._plan.grant is not None
        read = reader.feed if looks else reader.skim
        async for chunk in response.chunks():
            self._bytes += len(chunk)
            if self._bytes > self._bytes_max and not self._passing:
                raise Sent(f"the answer is longer than {self._bytes_max} bytes")
            for clean in await self._inward.take(self._heard(read(chunk))):
                await self._pass(clean)
        for clean in await self._inward.take(self._heard(self._reader.end())):
            await self._pass(clean)

    def _heard(self, units: list[Unit]) -> list[Unit]:
        if (hears := self._plan.call.hears) is not None:
            for unit in units:
                if unit.final:
                    hears(unit.tree)
        return units

    async def _pass(self, clean: Clean) -> None:
        if clean.unit.final:
            self._final = clean
        if not self._passing:
            self._journaled.append(clean.raw)
        if self._inward.minted:
            self._plan.originals.minted |= self._inward.minted
        if self._inward.blocked or clean.unit.hold or self._holding:
            self._holding = True
            self._held.append(clean)
            return
        self._begin_stream()
        for raw, _ in await self._restoring.take(clean):
            self._give(raw)

    def _give(self, frame: bytes | None) -> None:
        if self._relay is not None:  # else nothing has left yet, and nothing will as a stream
            self._relay.put_nowait(frame)

    @property
    def _passing(self) -> bool:
        """Whether this is a stream of the protocol's own, kept nowhere and of any length."""
        return self.streaming and self._plan.began is None

    def _begin_stream(self) -> None:
        if self.streaming:
            return
        self.streaming = True
        call = self._plan.call
        self._relay = asyncio.Queue()
        status, headers = call.adapter.head(call, self._extra)
        self._answer(Reply(status=status, headers=headers, frames=self._frames(self._relay)))

    def _answer(self, reply: Reply) -> None:
        if not self.reply.done():  # else the client has gone, and the journal alone is told
            self.reply.set_result(reply)

    async def _frames(self, relay: asyncio.Queue[bytes | None]) -> AsyncIterator[bytes]:
        while (frame := await relay.get()) is not None:
            frames = [frame]
            while not relay.empty() and (more := relay.get_nowait()) is not None:
                frames.append(more)
            yield b"".join(frames)
            if self.task.done() and relay.empty():
                break
        if not self.task.cancelled() and isinstance(refusal := self.task.exception(), Refusal):
            yield self._plan.call.adapter.refusal_frame(refusal, self._plan.call)

    async def _conclude(self) -> None:
        """Journal the outcome, then let go of what was held for it."""
        verdict = self._reader.verdict()
        trail = self._plan.trail
        trail.status = verdict.status
        trail.redacted_inward = self._inward.counts
        trail.usage = cast("Mapping[str, int]", verdict.meta.get("usage", {}))
        trail.cost_usd = self._plan.price(trail.usage)
        withheld = self._withheld()
        outcome = withheld or self._outcome(verdict)
        trail.result_digest = digest_of(self._plan.audit_key, outcome.body)
        if verdict.kind == "outcome":
            await self._settle(outcome)
        elif verdict.kind == "not_executed":
            await self._release(verdict.reason)
        else:
            await self._doubt(verdict.reason)
        failed = verdict.kind == "unknown" and verdict.status >= 400  # noqa: PLR2004 - else a stream to be resumed
        if failed and self._plan.began is not None and self._plan.call.effect == "once":
            raise refusals.in_doubt()  # the upstream's own error would invite the agent to try again
        if verdict.status == 401:  # noqa: PLR2004 - RFC 9110 section 15.5.2; the agent's own would be a lie
            raise refusals.credential_refused()
        if withheld is not None and self.streaming:
            raise refusals.withheld(self._inward.blocked)
        await self._complete(outcome, plain=withheld is not None)

    async def _complete(self, outcome: Outcome, *, plain: bool) -> None:
        call = self._plan.call
        if self.streaming:
            for clean in self._held:
                for raw, _ in await self._restoring.take(clean):
                    self._give(raw)
            return
        content = outcome.body if plain else await self._restored(outcome)
        self._answer(call.adapter.present(call, outcome, content, self._extra))

    async def _restored(self, outcome: Outcome) -> bytes:
        restored = [part for clean in self._held for part in await self._restoring.take(clean)]
        if outcome.form in {"body", "frames"}:
            return b"".join(raw for raw, _ in restored)
        return body.encode(cast("dict[str, object]", restored[-1][1])[outcome.form])

    def _outcome(self, verdict: Verdict) -> Outcome:
        if verdict.form in {"result", "error"} and self._final is not None:
            content = body.encode(cast("dict[str, object]", self._final.tree)[verdict.form])
        else:
            content = b"".join(self._journaled)
        meta, cost = verdict.meta, self._plan.trail.cost_usd
        if cost is not None:  # at today's price: a timeline shows what was paid
            meta = {**meta, "cost_usd": round(cost, 9)}
        return Outcome(form=verdict.form, status=verdict.status, media=verdict.media, body=content, meta=meta)

    def _withheld(self) -> Outcome | None:
        if not self._inward.blocked:
            return None
        call = self._plan.call
        return call.adapter.refusal_outcome(refusals.withheld(self._inward.blocked), call)

    async def _settle(self, outcome: Outcome) -> None:
        plan = self._plan
        self.ending = "passed" if plan.began is None else "executed"
        if plan.began is None:
            await plan.journal.write_audit([plan.trail.ended("passed")])
            return
        settlement = Settlement(
            outcome=outcome,
            uses=plan.uses(outcome),
            vault=vault_entries(plan.veil.scope, self._inward.minted.values()),
            audit=(plan.trail.ended("executed"),),
        )
        try:
            kept = await plan.journal.settle(plan.began, settlement)
        except JournalUnavailable:
            raise refusals.unwritten() from None
        if not kept:
            raise refusals.taken_over()

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

    async def _lost(self, reason: str) -> None:
        """No proof of an outcome: the journal says doubt, the agent is told what that means."""
        await self._doubt(reason)
        if self._plan.began is not None and self._plan.call.effect == "once":
            raise refusals.in_doubt()
        raise refusals.unanswered()
