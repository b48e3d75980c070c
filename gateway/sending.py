"""One request sent once, and its answer read: redacted, held where it must be, given on where it may be."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, cast

from gateway import body
from gateway.call import NotSent, Pouring, Sent
from gateway.inward import Clean, Inward
from gateway.oauth.answer import NoToken
from gateway.resilience.gates import Shut
from gateway.resilience.retry import retry_after_seconds
from gateway.restoring import Restoring

if TYPE_CHECKING:
    from collections.abc import Callable

    from durable.step import Outcome
    from gateway.call import AnswerReader, Call, Unit, UpstreamRequest, UpstreamResponse
    from gateway.plan import Plan


class Lapsed(NotSent):
    """Without its lease this instance may not send: another one may have taken the call over."""


class Taker(Protocol):
    """What an answer is given to while it comes."""

    streaming: bool

    @property
    def passing(self) -> bool:
        """Whether it is a stream of the protocol's own, kept nowhere and of any length."""
        ...

    def begin_stream(self, sending: Sending) -> None:
        """Take the answer as a stream from here on."""
        ...

    def give(self, frame: bytes) -> None:
        """Take a frame."""
        ...


class Sending:
    """A request under way. `out` is true from the moment it may have reached the upstream."""

    def __init__(self, plan: Plan, call: Call, request: UpstreamRequest, taker: Taker) -> None:
        self.call = call
        self._plan = plan
        self._request = request
        self._taker = taker
        self.reader: AnswerReader = call.adapter.reader(call)
        self.inward = Inward(self.reader, plan.redaction, plan.veil, plan.grant)
        self._restoring = Restoring(self.reader, plan.grant, plan.originals)
        self._journaled: list[bytes] = []
        self._final: Clean | None = None
        self._held: list[Clean] = []
        self._holding = False
        self._bytes = 0
        self._bytes_max = plan.answer_bytes_max
        self._late = ""
        self.out = False
        self.status = 0
        self.retry_after_seconds: float | None = None

    def bound_rest(self, bytes_max: int) -> None:
        """Read at most `bytes_max` more: nobody is waiting for them but the journal."""
        self._bytes_max = min(self._bytes_max, self._bytes + bytes_max)

    async def run(self, until: float, seconds_max: float) -> None:
        """Send and read to the end; `until` (loop time) bounds it, `seconds_max` is what is left as a number.

        Raises `NotSent`, `Sent` (also where the time is over), `DetectionError`.
        """
        gate = self._plan.gate
        if gate is None:
            await self._run(until, seconds_max)
            return
        entered = await gate.enter(seconds_max)
        good: bool | None = None
        try:
            await self._run(until, seconds_max)
            good = gate.good(self.status)
        except (NoToken, Lapsed, Shut):  # the upstream was never asked
            raise
        except (NotSent, Sent):
            good = False
            raise
        finally:
            gate.leave(entered, good=good)

    async def _run(self, until: float, seconds_max: float) -> None:
        try:
            async with asyncio.timeout_at(until) as clock:
                await self._exchange(clock, until, seconds_max)
        except TimeoutError:
            raise Sent(self._late or f"no complete answer within {self.call.seconds_max:g} s") from None
        except NotSent:
            self.out = False
            raise

    async def _exchange(self, clock: asyncio.Timeout, until: float, seconds_max: float) -> None:
        plan = self._plan
        now = asyncio.get_running_loop().time
        upstream = self.call.adapter.upstream(self.call)
        request = await self._authorized(self._request)
        # right before the send: without its lease another instance may have taken the call over
        if not plan.journal.may_send():
            raise Lapsed("this instance had lost its lease")
        if (closed := plan.closed(self.call)) is not None:
            raise Shut("blocked by an operator", closed)
        times = None if plan.rules is None else plan.rules.times
        if times is not None and times.first_byte_seconds is not None:
            self._late = f"no answer within {times.first_byte_seconds:g} s"
            clock.reschedule(min(until, now() + times.first_byte_seconds))
        self.out = True
        response = await upstream.send(request, seconds_max=seconds_max)
        silence = None if times is None else times.between_bytes_seconds
        if self._late or silence is not None:
            self._late = "" if silence is None else f"no part of the answer for {silence:g} s"
            clock.reschedule(until if silence is None else min(until, now() + silence))

        def heard() -> None:
            if silence is not None:
                clock.reschedule(min(until, now() + silence))

        try:
            await self._read(response, heard if silence is not None else None)
        except NotSent as error:  # of something sent later, in answer to the upstream: the call itself was sent
            raise Sent(str(error)) from None
        finally:
            await response.aclose()

    async def _authorized(self, request: UpstreamRequest) -> UpstreamRequest:
        """Return the request with what proves the gateway; half of the call's time is the most it may take."""
        if request.authorize is None:
            return request
        try:
            async with asyncio.timeout(self.call.seconds_max / 2):
                proof = await request.authorize()
        except TimeoutError:
            raise NoToken("the authorization server did not answer in time") from None
        return replace(request, headers=(*request.headers, *proof), authorize=None)

    async def _read(self, response: UpstreamResponse, heard: Callable[[], None] | None) -> None:
        reader = self.reader
        self.status = response.status
        reader.begin(response.status, response.headers)
        self.retry_after_seconds = retry_after_seconds(response.status, response.headers, time.time())
        if not self._plan.veil.profile.inspects and self._plan.grant is None:
            await self._skim(response, heard)
            return
        async for chunk in response.chunks():
            self._count(chunk, heard)
            for clean in await self.inward.take(self._told(reader.feed(chunk))):
                await self._pass(clean)
        for clean in await self.inward.take(self._told(reader.end())):
            await self._pass(clean)

    async def _skim(self, response: UpstreamResponse, heard: Callable[[], None] | None) -> None:
        """Read an answer that nobody looks into: each part passes in the step of the loop in which it arrives."""
        reader, taker = self.reader, self._taker

        def take(chunk: bytes) -> None:
            self._count(chunk, heard)
            if taker.streaming and not self._holding and reader.flows(chunk):  # as most of a stream does
                self._note(chunk)
                taker.give(chunk)
                return
            for unit in self._told(reader.skim(chunk)):
                self._let(unit)

        if isinstance(response, Pouring):
            await response.pour(take)
        else:
            async for chunk in response.chunks():
                take(chunk)
        for unit in self._told(reader.end()):
            self._let(unit)

    def _count(self, chunk: bytes, heard: Callable[[], None] | None) -> None:
        if heard is not None:
            heard()
        self._bytes += len(chunk)
        if self._bytes > self._bytes_max and not self._taker.passing:
            raise Sent(f"the answer is longer than {self._bytes_max} bytes")

    def _told(self, units: list[Unit]) -> list[Unit]:
        if (hears := self.call.hears) is not None:
            for unit in units:
                if unit.final:
                    hears(unit.tree)
        return units

    def _let(self, unit: Unit) -> None:
        if unit.told is not None:
            unit.told(unit.tree)  # nobody looks into this answer: it waits for nothing
        if unit.hold or unit.final or self._holding:
            self._hold(Clean(unit, unit.tree, unit.raw))
            return
        self._note(unit.raw)
        self._taker.begin_stream(self)
        self._taker.give(unit.raw)

    async def _pass(self, clean: Clean) -> None:
        if self.inward.minted:
            self._plan.originals.minted |= self.inward.minted
        if self.inward.blocked or clean.unit.hold or clean.unit.final or self._holding:
            self._hold(clean)
            return
        self._note(clean.raw)
        self._taker.begin_stream(self)
        for raw, _ in await self._restoring.take(clean):
            self._taker.give(raw)

    def _hold(self, clean: Clean) -> None:
        """Keep back what may not leave before the outcome is journaled, and all after it."""
        if clean.unit.final:
            self._final = clean
        self._holding = True
        self._note(clean.raw)
        self._held.append(clean)

    def _note(self, raw: bytes) -> None:
        if not self._taker.passing:
            self._journaled.append(raw)

    async def let_go(self) -> None:
        """Give on what was held of a stream."""
        for clean in self._held:
            for raw, _ in await self._restoring.take(clean):
                self._taker.give(raw)

    async def restored(self, outcome: Outcome) -> bytes:
        """Return the body of a whole answer as the agent gets it."""
        restored = [part for clean in self._held for part in await self._restoring.take(clean)]
        if outcome.form in {"body", "frames"}:
            return b"".join(raw for raw, _ in restored)
        return body.encode(cast("dict[str, object]", restored[-1][1])[outcome.form])

    def content(self, form: str) -> bytes:
        """Return what is journaled of the answer."""
        if form in {"result", "error"} and self._final is not None:
            return body.encode(cast("dict[str, object]", self._final.tree)[form])
        return b"".join(self._journaled)
