"""Traces over OTLP/HTTP, made after the fact and off the path.

Audit is never sampled or dropped and does not come this way (facts: exporters lose in silence). Here a
call that cannot be recorded is counted: `dropped` did not fit, `lost` could not be delivered.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from gateway.metrics import Metrics
from gateway.spans import run_span, spans_of, traceparent_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import ReadableSpan

    from gateway.call import Headers
    from gateway.content import Said
    from gateway.evidence import Ending, Evidence
    from gateway.trail import Trail

_log = logging.getLogger("oncegate.telemetry")

#: Calls that wait to be made into spans.
WAITING_MAX: Final = 4096
#: Calls in one export: small, because encoding them holds the interpreter that the data path wants too.
BATCH_MAX: Final = 128
#: Runs remembered, so that each is told of once.
RUNS_MAX: Final = 10_000
#: How long the first call of a batch waits for others.
GATHER_SECONDS: Final = 1.0
EXPORT_SECONDS_MAX: Final = 5.0
CLOSE_SECONDS_MAX: Final = 2.0
_TELL_SECONDS: Final = 60.0


class Telemetry:
    """Records evidence as spans; without an OTLP URL (base, without `/v1/traces`) nothing is kept."""

    def __init__(
        self,
        otlp_url: str | None,
        *,
        metrics: Metrics | None = None,
        waiting_max: int = WAITING_MAX,
        gather_seconds: float = GATHER_SECONDS,
    ) -> None:
        self.metrics = metrics or Metrics()
        self.dropped = 0
        self.lost = 0
        self._queue: queue.Queue[Evidence | None] = queue.Queue(waiting_max)
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
        attributes = {"service.name": "oncegate", "service.version": version("oncegate")}
        # it tells of every try, with the collector's words; what matters is told here, once a minute
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
        self._resource = Resource(attributes)
        self._scope = InstrumentationScope("oncegate", attributes["service.version"])
        self._exporter = OTLPSpanExporter(endpoint=f"{otlp_url.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS_MAX)
        self._thread = threading.Thread(target=self._work, name="oncegate-telemetry", daemon=True)
        self._thread.start()

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
        try:
            self._queue.put_nowait(evidence)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Export what is there, within `CLOSE_SECONDS_MAX`; what is left then is counted."""
        if self._thread is None:
            return
        thread, self._thread = self._thread, None  # nothing is taken from here on
        self._closing.set()
        self._wake()
        thread.join(CLOSE_SECONDS_MAX / 2)
        if thread.is_alive():
            self._exporter.shutdown()  # ends the waits between its tries, and everything after fails at once
            thread.join(CLOSE_SECONDS_MAX / 2)
        self.dropped += self._queue.qsize()
        if self.dropped or self.lost:
            _log.warning("traces of %d calls were dropped, of %d not delivered", self.dropped, self.lost)

    def _wake(self) -> None:
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            return  # there is enough to wake up for

    def _work(self) -> None:
        while not (self._closing.is_set() and self._queue.empty()):
            batch = self._batch()
            if batch:
                self._export(batch)
        self._exporter.shutdown()

    def _batch(self) -> list[Evidence]:
        first = self._queue.get()
        batch = [] if first is None else [first]
        until = time.monotonic() + self._gather_seconds
        while len(batch) < BATCH_MAX:
            left = 0.0 if self._closing.is_set() else max(0.0, until - time.monotonic())
            try:
                more = self._queue.get(timeout=left) if left else self._queue.get_nowait()
            except queue.Empty:
                break
            if more is not None:
                batch.append(more)
        return batch

    def _spans(self, evidence: Evidence) -> list[ReadableSpan]:
        """Return a call's spans, before the first of a run in this process the run's own."""
        content = {} if self.content is None else self.content(evidence)
        spans = spans_of(evidence, self._resource, self._scope, content)
        run = evidence.run
        if run is None or run in self._runs:
            return spans
        if len(self._runs) >= RUNS_MAX:
            del self._runs[next(iter(self._runs))]
        self._runs[run] = None
        return [run_span(evidence, run, self._resource, self._scope), *spans]

    def _export(self, batch: list[Evidence]) -> None:
        try:
            spans = [span for one in batch for span in self._spans(one)]
            delivered = self._exporter.export(spans) is SpanExportResult.SUCCESS
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
