"""The counters of `gateway/metrics.py` over OTLP/HTTP: the same series as `/metrics`, sent instead of asked for.

Made of the same registry, so that both say the same. A batch that is lost is no loss: what is sent is
cumulative, and the next one says it all again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import httpx
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from durable.journal import JournalError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from gateway.metrics import Labels, Metrics, Reading, Sample

_log = logging.getLogger("oncegate.telemetry")

EVERY_SECONDS: Final = 30.0
ANSWER_SECONDS_MAX: Final = 5.0
_TELL_SECONDS: Final = 600.0
_CUMULATIVE: Final = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE


class MetricsExport:
    """Sends everything every `EVERY_SECONDS`; `start` it once, `aclose` sends it a last time."""

    def __init__(
        self,
        metrics: Metrics,
        samples: Callable[[], Awaitable[list[Sample]]],
        otlp_url: str,
        *,
        every_seconds: float = EVERY_SECONDS,
    ) -> None:
        self._metrics = metrics
        self._samples = samples
        self._url = f"{otlp_url.rstrip('/')}/v1/metrics"
        self._every_seconds = every_seconds
        self._client = httpx.Client(timeout=ANSWER_SECONDS_MAX, trust_env=False)
        self._begun = time.time_ns()
        self._told = -_TELL_SECONDS
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start sending."""
        self._task = asyncio.create_task(self._work())

    async def aclose(self) -> None:
        """Send once more and end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            await self._send()
        self._client.close()

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(self._every_seconds)
            await self._send()

    async def _send(self) -> None:
        try:
            readings = self._metrics.readings(await self._samples())
            content = request_of(readings, self._begun).SerializeToString()
            answer = await asyncio.to_thread(
                self._client.post, self._url, content=content, headers={"content-type": "application/x-protobuf"}
            )
            delivered = answer.is_success
        except (httpx.HTTPError, JournalError):
            delivered = False
        now = time.monotonic()
        if not delivered and now - self._told >= _TELL_SECONDS:
            self._told = now
            _log.warning("metrics could not be delivered to `telemetry.otlp`; `/metrics` has them too")


def request_of(readings: Iterable[Reading], begun: int) -> ExportMetricsServiceRequest:
    """Return the request that carries what was read now; `begun` is when counting began, in nanoseconds."""
    now, own = time.time_ns(), version("oncegate")
    resource = Resource(attributes=[_text("service.name", "oncegate"), _text("service.version", own)])
    found = [_metric(one, begun, now) for one in readings]
    scope = ScopeMetrics(scope=InstrumentationScope(name="oncegate", version=own), metrics=found)
    return ExportMetricsServiceRequest(resource_metrics=[ResourceMetrics(resource=resource, scope_metrics=[scope])])


def _metric(reading: Reading, begun: int, now: int) -> Metric:
    family = reading.family
    metric = Metric(name=family.name, description=family.help)
    if family.kind == "histogram":
        metric.histogram.CopyFrom(Histogram(aggregation_temporality=_CUMULATIVE, data_points=[
            HistogramDataPoint(
                attributes=_attributes(family.labels, labels), start_time_unix_nano=begun, time_unix_nano=now,
                count=one.number, sum=one.total, bucket_counts=one.counts, explicit_bounds=family.buckets,
            )
            for labels, one in reading.distributions.items()
        ]))  # fmt: skip
        return metric
    points = [
        NumberDataPoint(
            attributes=_attributes(family.labels, labels), start_time_unix_nano=begun, time_unix_nano=now,
            as_double=value,
        )
        for labels, value in reading.values.items()
    ]  # fmt: skip
    if family.kind == "counter":
        metric.sum.CopyFrom(Sum(aggregation_temporality=_CUMULATIVE, is_monotonic=True, data_points=points))
    else:
        metric.gauge.CopyFrom(Gauge(data_points=points))
    return metric


def _attributes(names: Labels, values: Labels) -> list[KeyValue]:
    return [_text(name, value) for name, value in zip(names, values, strict=True)]


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))
