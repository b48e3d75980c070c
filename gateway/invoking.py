"""Invokes the agents of managed runs: whichever instance is alive takes what is due, until the agent has answered.

One attempt is one HTTP POST of the run's input. 2xx is the result. What says that asking again may help
(no answer, 408, 409, 425, 429, 5xx) gives the run back, to be due again after a pause; anything else ends it.
An agent that was never reached has not been started: that costs none of its attempts, only the deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from durable.journal import JournalUnavailable
from durable.step import Owner
from gateway import body
from gateway.call import NotSent, Refusal, Sent, UpstreamRequest, header
from gateway.managed import ANY_SHAPE, carried_by, opener_of, principal_from
from gateway.outward import Veil, vault_entries
from gateway.restoring import Originals, restore_arguments
from gateway.trail import digest_of, new_audit_id
from gateway.upstream.http import HttpUpstream
from redaction.finding import DetectionError, Scope

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from durable.records import DueRun, RunRecord
    from durable.store import Store
    from gateway.call import Headers, UpstreamResponse
    from gateway.config import Agent, Config, RunRetry
    from gateway.managed import ManagedDesk
    from gateway.outward import Redaction
    from policy.decision import Decision, Principal

_log = logging.getLogger("oncegate.runs")

#: How long the next look for due runs may be away when nothing announces one.
_LOOK_SECONDS_MAX: Final = 30.0
#: While the journal cannot be written.
_AWAY_SECONDS: Final = 1.0
#: Between two looks whether a blocked run may go on.
_BLOCKED_SECONDS: Final = 2.0
_RETRIED: Final = frozenset({408, 409, 425, 429})
_SERVER_ERROR: Final = 500
_ACCEPTED: Final = range(200, 300)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an agent answered: its status, its body, and how long it asks to be left alone."""

    status: int
    content: bytes
    retry_after_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt that ended without an answer to keep. `counted` is false when the agent was never reached."""

    reason: str
    final: bool = False
    counted: bool = True
    pause_seconds: float = 0.0


class Invoker:
    """Takes due runs one by one, invokes several at a time; `start` it once, `aclose` gives back what is under way."""

    def __init__(
        self,
        config: Config,
        *,
        store: Store,
        desk: ManagedDesk,
        redaction: Redaction,
        mint: Callable[[str, int, float], str],
        trace: Callable[[str, str | None], Headers],
        closed: Callable[[Principal, str | None], Refusal | None],
    ) -> None:
        self._config = config
        self._store = store
        self._desk = desk
        self._redaction = redaction
        self._mint = mint
        self._trace = trace
        self._closed = closed
        self._upstreams: dict[str, HttpUpstream] = {}
        self._places = asyncio.Semaphore(config.runs.managed_max)
        self._under_way: set[asyncio.Task[None]] = set()
        self._taker: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start taking what is due: also runs of agents the configuration no longer has, to end them."""
        self._taker = asyncio.create_task(self._take())

    async def aclose(self) -> None:
        """Take nothing more, and give the runs under way back at once: others are alive."""
        tasks = [*self._under_way] if self._taker is None else [self._taker, *self._under_way]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for upstream in self._upstreams.values():
            await upstream.aclose()

    async def _take(self) -> None:
        told = False
        while True:
            await self._places.acquire()
            due = None
            try:
                due = await self._store.claim_due_run()
                told = False
            except JournalUnavailable as error:
                if not told:
                    _log.warning("managed runs are not started: %s", error)
                told = True
                await asyncio.sleep(_AWAY_SECONDS)
            finally:
                if due is None:
                    self._places.release()
            if due is not None:
                task = asyncio.create_task(self._attempt(due))
                self._under_way.add(task)
                task.add_done_callback(self._over)
            elif not told:
                await self._wait()

    def _over(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._places.release()

    async def _wait(self) -> None:
        with contextlib.suppress(JournalUnavailable):  # the next look says so
            await self._store.wait_due(_LOOK_SECONDS_MAX)

    async def _attempt(self, due: DueRun) -> None:
        record = due.record
        try:
            await self._invoke(due)
        except asyncio.CancelledError:
            failed = Failed("the gateway stopped", counted=False)
            with contextlib.suppress(JournalUnavailable):  # then the sweep gives it back
                await self._put_off(record, failed, 0.0)
            raise
        except Exception:  # noqa: BLE001 - the outermost handler
            # the outermost handler of an attempt: an error of ours must not leave a run that nobody takes
            _log.exception("attempt %d of run %s ended by an error of the gateway", record.attempt, record.id)
            await self._written(lambda: self._ended(record, Failed("an error of the gateway")))

    async def _invoke(self, due: DueRun) -> None:
        record = due.record
        agent = self._config.agents.get(record.target or "")
        if agent is None or agent.url is None:
            failed = Failed("its agent has no `url` in the configuration any more", final=True)
            await self._written(lambda: self._ended(record, failed))
            return
        content = body.parse(due.input)
        opener = opener_of(record) or principal_from(record.details, record.domain, record.agent)
        invoked = principal_from(record.details, record.domain, record.agent)
        if self._closed(opener, record.id) is not None or self._closed(invoked, record.id) is not None:
            waits = Failed("blocked by an operator", counted=False)
            await self._written(lambda: self._put_off(record, waits, _BLOCKED_SECONDS))
            return
        decision = self._desk.decide(opener, agent, content, carried_by(record))
        if not decision.allowed:
            failed = Failed(f"policy does not allow it any more: {decision.reason}", final=True)
            await self._written(lambda: self._ended(record, failed))
            return
        outcome = await self._asked(record, agent, decision, content)
        if isinstance(outcome, Answer):
            outcome = await self._finished(record, decision, outcome)
        if outcome is not None:
            failed = outcome
            await self._written(lambda: self._ended(record, failed))

    async def _asked(
        self, record: RunRecord, agent: Agent, decision: Decision, content: object
    ) -> Answer | Failed | None:
        """Return what the agent answers, `None` when the run was ended by somebody else meanwhile."""
        seconds = min(agent.timeout_seconds, (record.deadline or float("inf")) - time.time())
        if seconds <= 0:
            return Failed("its deadline has passed", final=True)
        sending = asyncio.create_task(self._sent(record, agent, decision, content, seconds))
        ending = asyncio.create_task(self._store.wait_run_over(record.id, record.attempt, seconds))
        try:
            await asyncio.wait({sending, ending}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done() and ending.exception() is None and ending.result():
                return None
            return await sending
        finally:
            for task in (sending, ending):
                task.cancel()
            await asyncio.gather(sending, ending, return_exceptions=True)

    async def _sent(
        self, record: RunRecord, agent: Agent, decision: Decision, content: object, seconds: float
    ) -> Answer | Failed:
        originals = Originals(self._store, f"run/{record.id}")
        try:
            tree = await restore_arguments(content, decision, originals, ANY_SHAPE, ())
        except Refusal as refusal:
            return Failed(refusal.message, final=True)
        if not self._store.may_send():
            return Failed("this instance has lost its lease", counted=False)
        token = self._mint(record.id, record.attempt, time.time() + seconds)
        request = UpstreamRequest(
            method="POST", path="", body=body.encode(tree),
            headers=(
                (b"content-type", b"application/json"), (b"accept", b"application/json, text/plain;q=0.5"),
                (b"authorization", f"Bearer {token}".encode()), (b"oncegate-run", record.id.encode()),
                (b"oncegate-attempt", b"%d" % record.attempt),
                (b"idempotency-key", f"{record.id}-{record.attempt}".encode()), *self._trace(new_audit_id(), record.id),
            ),
        )  # fmt: skip
        try:
            async with asyncio.timeout(seconds):
                response = await self._upstream(agent).send(request, seconds_max=seconds)
                try:
                    received = await self._read(response)
                finally:
                    await response.aclose()
        except NotSent as error:
            return Failed(f"the agent was not reached: {error}", counted=False)
        except TimeoutError:
            return Failed(f"no answer within {seconds:g} s")
        except Sent as error:
            return Failed(f"no whole answer: {error}")
        return Answer(response.status, received, _retry_after(response.headers))

    async def _read(self, response: UpstreamResponse) -> bytes:
        content, bytes_max = bytearray(), self._config.limits.answer_bytes_max
        async for part in response.chunks():
            content += part
            if len(content) > bytes_max:
                raise Sent(f"it is longer than {bytes_max} bytes")
        return bytes(content)

    def _upstream(self, agent: Agent) -> HttpUpstream:
        known = self._upstreams.get(agent.name)
        if known is None:
            # an agent says nothing while it works: only the attempt's own time bounds that
            known = HttpUpstream(agent.url or "", silence_seconds_max=agent.timeout_seconds)
            self._upstreams[agent.name] = known
        return known

    async def _finished(self, record: RunRecord, decision: Decision, answer: Answer) -> Failed | None:
        """Keep a good answer as the run's result; returns why it is none."""
        if answer.status not in _ACCEPTED:
            again = answer.status in _RETRIED or answer.status >= _SERVER_ERROR
            reason = f"the agent answered {answer.status}"
            return Failed(reason, final=not again, pause_seconds=answer.retry_after_seconds)
        keys = await self._store.run_keys(Owner(record.domain, record.agent, record.user), record.id)
        scope = Scope(id=f"run/{record.id}", key=keys.placeholder)
        veil = Veil(
            profile=self._redaction.profile_of(decision), scope=scope, domain=record.domain, direction="inward",
            known=Originals(self._store, scope.id).of,
        )  # fmt: skip
        try:
            redacted = await self._redaction.tree(_value(answer.content), ANY_SHAPE, veil)
        except UnicodeDecodeError:
            return Failed("the agent's answer is neither JSON nor text", final=True)
        except DetectionError:
            return Failed("the agent's answer could not be inspected for personal data")
        reason, result = "", body.encode(redacted.tree) if answer.content else None
        if redacted.blocked:
            kinds = ", ".join(sorted({entity for entity, _ in redacted.blocked}))
            reason, result = f"its result was withheld, for it holds {kinds}", None
        audit = _audited(record, "run_finished", reason) | {
            "status": answer.status, "redacted": dict(redacted.counts),
            "result": digest_of(keys.fingerprint, result or b""),
        }  # fmt: skip
        entries = vault_entries(scope, redacted.minted) if result is not None else ()
        await self._written(
            lambda: self._store.close_run(
                record.id, record.attempt, "finished", result, reason=reason, audit=[audit], entries=entries
            )
        )
        return None

    async def _ended(self, record: RunRecord, failed: Failed) -> bool:
        """End or give back a run whose attempt brought no result; false when somebody else has it now."""
        exhausted = failed.counted and record.attempts_max is not None and record.attempt >= record.attempts_max
        if failed.final or exhausted:
            reason = failed.reason if failed.final else f"no attempts are left: {failed.reason}"
            audit = [_audited(record, "run_failed", reason)]
            return await self._store.close_run(record.id, record.attempt, "failed", None, reason=reason, audit=audit)
        agent = self._config.agents.get(record.target or "")
        pause = _AWAY_SECONDS if agent is None else back_off(agent.retry, record.attempt, failed.pause_seconds)
        return await self._put_off(record, failed, pause)

    async def _put_off(self, record: RunRecord, failed: Failed, pause: float) -> bool:
        due = time.time() + pause
        audit = [_audited(record, "run_put_off", failed.reason)]
        return await self._store.put_off_run(
            record.id, record.attempt, min(due, record.deadline or due), failed.reason, audit, counted=failed.counted
        )

    async def _written(self, write: Callable[[], Awaitable[object]]) -> None:
        """Write how an attempt ended, however long the journal is away: nobody else knows it."""
        while True:
            try:
                await write()
            except JournalUnavailable as error:
                _log.warning("the end of a run's attempt is not written yet: %s", error)
                await asyncio.sleep(_AWAY_SECONDS)
            else:
                return


def back_off(retry: RunRetry, attempt: int, at_least: float = 0.0) -> float:
    """Return the pause in seconds after `attempt` (1 is the first); `at_least` is what the agent asks for."""
    factor = 1.0 if retry.policy == "constant" else 2.0 ** min(attempt - 1, 32)
    return min(max(retry.initial_seconds * factor, at_least), retry.max_interval_seconds)


def _retry_after(headers: Headers) -> float:
    value = header(headers, b"retry-after") or b""
    return float(value) if value.isdigit() and len(value) <= 6 else 0.0  # noqa: PLR2004 - RFC 9110 10.2.3, eleven days


def _value(content: bytes) -> object:
    """Return an answer as JSON, else as text. Raises `UnicodeDecodeError`."""
    try:
        return body.parse(content)
    except body.MalformedBody:
        return content.decode()


def _audited(record: RunRecord, event: str, reason: str) -> dict[str, object]:
    said: dict[str, object] = {
        "event": event, "run": record.id, "attempt": record.attempt, "target": record.target,
        "principal": f"agent:{record.domain}/{record.agent}",
    }  # fmt: skip
    return said | {"reason": reason} if reason else said
