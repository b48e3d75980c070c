"""Brings every audit record to every sink, at least once: the store is the queue, a cursor says how far.

A cursor moves only when a sink has taken every record of a batch. So nothing is lost by a sink that is away,
hangs, cuts the connection or rejects; what was taken and not acknowledged comes again, under the same id. Each
instance brings its own chain; what ended instances have left is brought by whoever lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, cast

from durable.journal import JournalError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable.chain import Link
    from durable.checkpoint import Head
    from durable.records import InstanceRecord
    from gateway.otlp import Answer

_log = logging.getLogger("oncegate.outbox")

#: Records of one request at most; encoding them holds the interpreter that the data path wants too.
BATCH_MAX: Final = 128
#: How long the first record of a batch waits for others.
GATHER_SECONDS: Final = 0.5
#: Between two tries at a sink that does not take a batch; doubled each time, with a random part.
RETRY_SECONDS: Final = 0.25
RETRY_SECONDS_MAX: Final = 30.0
#: How often it is looked for what ended instances have left.
OTHERS_SECONDS: Final = 30.0
CLOSE_SECONDS_MAX: Final = 5.0
_MICROSECONDS: Final = 1_000_000
_TELL_SECONDS: Final = 60.0


class Sink(Protocol):
    """Where records go."""

    #: the name its cursors are kept by
    name: str

    def send(self, links: Sequence[Link]) -> Answer:
        """Deliver the records and return what the sink says of them; may wait for the network."""
        ...

    def close(self) -> None:
        """Let connections go."""
        ...


class Source(Protocol):
    """What the outbox needs of a store (`durable.audit_book`)."""

    @property
    def audit_chain(self) -> str:
        """The chain this instance writes to."""
        ...

    async def audit_heads(self, chain: str | None = None) -> dict[str, Head]:
        """Return the last record of one chain, or of every chain."""
        ...

    async def audit_links(self, chain: str, after: int, limit: int) -> list[Link]:
        """Return records of a chain after a number, in order."""
        ...

    async def cursors(self, sink: str) -> dict[str, int]:
        """Return by chain how far the sink has come."""
        ...

    async def move_cursor(self, sink: str, chain: str, number: int) -> None:
        """Note how far the sink has come."""
        ...

    async def instances(self) -> list[InstanceRecord]:
        """Return the gateway processes the store knows."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxView:
    """How a sink stands: records that wait, how long the first of them has, and totals of this process."""

    sink: str
    waiting: int
    age_seconds: float
    delivered: int
    failures: int
    rejections: int
    delivered_time: float | None


class Outbox:
    """One sink's deliveries; `start` it once, `aclose` ends it."""

    def __init__(
        self,
        source: Source,
        sink: Sink,
        *,
        retry_seconds: float = RETRY_SECONDS,
        gather_seconds: float = GATHER_SECONDS,
    ) -> None:
        self._source = source
        self._sink = sink
        self._retry_seconds = retry_seconds
        self._gather_seconds = gather_seconds
        self._size = BATCH_MAX
        #: the last round brought a batch that was full, so that the next one need not gather
        self._more = False
        self._cursors: dict[str, int] = {}
        self._waiting = 0
        #: when the first record that waits was written, seconds since the epoch
        self._oldest: float | None = None
        self._others: list[str] = []
        self._others_due = 0.0
        self._delivered = self._failures = self._rejections = 0
        self._delivered_time: float | None = None
        self._told = -_TELL_SECONDS
        self._known = False
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def view(self) -> OutboxView:
        """How it stands."""
        age = 0.0 if self._oldest is None else max(0.0, time.time() - self._oldest)
        return OutboxView(
            sink=self._sink.name, waiting=self._waiting, age_seconds=age, delivered=self._delivered,
            failures=self._failures, rejections=self._rejections, delivered_time=self._delivered_time,
        )  # fmt: skip

    def start(self) -> None:
        """Start delivering."""
        self._task = asyncio.create_task(self._work())

    async def aclose(self) -> None:
        """Deliver what is there, bounded in time; what is left waits in the store for the next start."""
        if self._task is not None:
            self._closing.set()
            _, late = await asyncio.wait([self._task], timeout=CLOSE_SECONDS_MAX)
            if late or self._waiting:
                _log.warning("audit records wait for `telemetry.otlp`; they are brought after the next start")
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.to_thread(self._sink.close)

    async def _work(self) -> None:
        pause = self._retry_seconds
        while True:
            ending = self._closing.is_set()
            try:
                if not self._known:
                    self._cursors = await self._source.cursors(self._sink.name)
                    self._known = True
                moved = await self._round()
            except JournalError as error:
                _log.warning("the audit could not be read for export: %s", error)
                moved = None
            if not moved and ending:
                return
            if moved is None:
                # many instances must not knock all at once at a collector that comes back
                await self._sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
                pause = min(2 * pause, RETRY_SECONDS_MAX)
            else:
                pause = self._retry_seconds
                if not (moved and self._more):  # each batch costs a read, a request and a write of the journal
                    await self._sleep(self._gather_seconds)

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    async def _round(self) -> bool | None:
        """Bring one batch of each chain; true when one was taken, `None` when the sink takes none."""
        if time.monotonic() >= self._others_due:
            self._others = await self._left_by_others()
            self._others_due = time.monotonic() + OTHERS_SECONDS
        self._more = False
        moved = await self._turn(self._source.audit_chain)
        for chain in list(self._others):
            if moved is None:
                return None
            took = await self._turn(chain)
            if took is False:
                self._others.remove(chain)
            moved = None if took is None else moved or took
        return moved

    async def _turn(self, chain: str) -> bool | None:
        """Bring the next batch of a chain; false when there is none, `None` when the sink does not take it."""
        after = self._cursors.get(chain, 0)
        links = await self._source.audit_links(chain, after, self._size)
        own = chain == self._source.audit_chain
        if not links:
            if own:
                self._waiting, self._oldest = 0, None
            return False
        if own:
            head = (await self._source.audit_heads(chain)).get(chain)
            self._waiting = 0 if head is None else head.number - after
            self._oldest = _written(links[0])
        self._more = self._more or len(links) >= self._size
        answer = await asyncio.to_thread(self._sink.send, links)
        if answer != "accepted":
            self._note(answer, len(links))
            # halves until it is taken: one record that is rejected holds up the fewest others
            split = answer == "partly" and len(links) > 1
            self._size = max(1, len(links) // 2) if split else self._size
            return True if split else None
        await self._source.move_cursor(self._sink.name, chain, links[-1].number)
        self._cursors[chain] = links[-1].number
        self._delivered += len(links)
        self._delivered_time = time.time()
        self._size = min(2 * self._size, BATCH_MAX)
        if own:
            self._waiting = max(0, self._waiting - len(links))
            self._oldest = self._oldest if self._waiting else None
        return True

    async def _left_by_others(self) -> list[str]:
        """Return the chains of instances that have ended which this sink does not have whole."""
        live = {f"{one.id}/{one.epoch}" for one in await self._source.instances() if one.ended is None}
        heads = await self._source.audit_heads()
        self._cursors = await self._source.cursors(self._sink.name) | {
            self._source.audit_chain: self._cursors.get(self._source.audit_chain, 0)
        }
        return [
            chain for chain, head in heads.items()
            if chain not in live | {self._source.audit_chain} and self._cursors.get(chain, 0) < head.number
        ]  # fmt: skip

    def _note(self, answer: Answer, count: int) -> None:
        self._failures += 1
        if answer in {"partly", "refused"}:
            self._rejections += 1
        moment = time.monotonic()
        if moment - self._told >= _TELL_SECONDS:
            self._told = moment
            said = {"partly": "rejects some of", "refused": "refuses"}.get(answer, "does not take")
            _log.warning("`telemetry.otlp` %s a batch of %d audit records; they wait in the store", said, count)


def _written(link: Link) -> float:
    return cast("int", json.loads(link.text)["time"]) / _MICROSECONDS
