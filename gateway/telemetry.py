"""Traces over OTLP/HTTP, made after the fact and off the path.

Audit is never sampled or dropped and does not come this way (facts: exporters lose in silence). Here a
call that cannot be recorded is counted: `dropped` did not fit, `lost` could not be delivered.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, Self

from gateway.metrics import Metrics
from gateway.shipping import Shipper, ShipperApart, Told
from gateway.spans import traceparent_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.call import Headers
    from gateway.content import Said
    from gateway.evidence import Ending, Evidence
    from gateway.shipping import Shipping
    from gateway.trail import Trail

_log = logging.getLogger("oncegate.telemetry")

#: Calls that wait to be made into spans.
WAITING_MAX: Final = 4096
#: Calls in one export: small, because encoding them holds the interpreter that the data path wants too.
BATCH_MAX: Final = 128
#: Runs remembered, so that each is told of once.
RUNS_MAX: Final = 10_000
#: How often what waits is exported.
GATHER_SECONDS: Final = 1.0
CLOSE_SECONDS_MAX: Final = 4.0
_TELL_SECONDS: Final = 60.0


class Telemetry:
    """Records evidence as spans; without an OTLP URL (base, without `/v1/traces`) nothing is kept.

    `shipping` takes them there; left out, this process does.
    """

    def __init__(
        self,
        otlp_url: str | None,
        *,
        metrics: Metrics | None = None,
        shipping: Shipping | None = None,
        waiting_max: int = WAITING_MAX,
        gather_seconds: float = GATHER_SECONDS,
    ) -> None:
        self.metrics = metrics or Metrics()
        self.dropped = 0
        self.lost = 0
        self._waiting: deque[Evidence] = deque()
        self._waiting_max = waiting_max
        self._gather_seconds = gather_seconds
        self._closing = threading.Event()
        self._told = -_TELL_SECONDS
        #: runs whose own span was sent, the oldest first
        self._runs: dict[str, None] = {}
        #: what spans carry of content; nothing where the configuration does not ask for it
        self.content: Callable[[Evidence], Said] | None = None
        self._thread: threading.Thread | None = None
        if otlp_url is None:
            return
        self._shipping = shipping or Shipper(otlp_url)
        self._thread = threading.Thread(target=self._work, name="oncegate-telemetry", daemon=True)
        self._thread.start()

    @classmethod
    def apart(cls, otlp_url: str | None, metrics: Metrics) -> Self:
        """Return what ships in a process of its own, where there is a collector."""
        return cls(otlp_url, metrics=metrics, shipping=None if otlp_url is None else ShipperApart(otlp_url))

    def context(self, audit_id: str, run: str | None = None) -> Headers:
        """Return the trace context an upstream gets for a call: ours, never the caller's; none without a collector."""
        if self._thread is None:
            return ()
        return ((b"traceparent", traceparent_for(audit_id, run).encode()),)

    def ended(self, trail: Trail, ending: Ending) -> None:
        """Count a call that is over, and record it where anybody takes traces; never waits, never raises."""
        self.metrics.count(trail, ending, time.time())
        if self._thread is not None:
            self.record(trail.evidence(ending))

    def record(self, evidence: Evidence) -> None:
        """Take the evidence of a call that is over; never waits, never raises."""
        if self._thread is None:
            return
        if len(self._waiting) >= self._waiting_max:
            self.dropped += 1
            return
        # nobody is woken for it: a thread that wakes for each call wants the interpreter in the midst of the next one
        self._waiting.append(evidence)

    def close(self) -> None:
        """Export what is there, within `CLOSE_SECONDS_MAX`; what is left then is counted."""
        if self._thread is None:
            return
        thread, self._thread = self._thread, None  # nothing is taken from here on
        self._closing.set()
        thread.join(CLOSE_SECONDS_MAX / 2)
        if thread.is_alive():
            self._shipping.end()  # ends the waits between its tries, and everything after fails at once
            thread.join(CLOSE_SECONDS_MAX / 2)
        self.dropped += len(self._waiting)
        if self.dropped or self.lost:
            _log.warning("traces of %d calls were dropped, of %d not delivered", self.dropped, self.lost)

    def _work(self) -> None:
        while not self._closing.wait(self._gather_seconds):
            self._export_waiting()
        self._export_waiting()
        self._shipping.end()

    def _export_waiting(self) -> None:
        """Export what waits now, and not what comes meanwhile: that is gathered."""
        left = len(self._waiting)
        while left > 0:
            batch = [self._waiting.popleft() for _ in range(min(left, BATCH_MAX))]
            left -= len(batch)
            self._export(batch)

    def _told_of(self, evidence: Evidence) -> Told:
        """Return what is shipped of a call; before the first of a run in this process the run's own span goes."""
        content = {} if self.content is None else self.content(evidence)
        run = evidence.run
        if run is None or run in self._runs:
            return Told(evidence, content, with_run=False)
        if len(self._runs) >= RUNS_MAX:
            del self._runs[next(iter(self._runs))]
        self._runs[run] = None
        return Told(evidence, content, with_run=True)

    def _export(self, batch: list[Evidence]) -> None:
        try:
            delivered = self._shipping.ship([self._told_of(one) for one in batch])
        except Exception as error:  # noqa: BLE001 - the outermost handler of this thread
            # the outermost handler of this thread: without it one odd call would end all traces
            _log.warning("traces could not be made: %s", type(error).__name__)
            delivered = False
        if delivered:
            return
        self.lost += len(batch)
        now = time.monotonic()
        if now - self._told >= _TELL_SECONDS:
            self._told = now
            _log.warning("traces could not be delivered to `telemetry.otlp`, of %d calls so far", self.lost)
