"""Calls made into spans and sent to a collector, by the SDK's exporter: here, or in a process of its own.

Encoding a call's spans takes several times what its way through the gateway takes in places; where calls are many
that is time they would wait for (`benchmarks.watched`).
"""

from __future__ import annotations

import logging
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from gateway.apart import Apart
from gateway.spans import run_span, spans_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.content import Said
    from gateway.evidence import Evidence

EXPORT_SECONDS_MAX: Final = 5.0


class Told(NamedTuple):
    """A call that is over, what its spans carry of its content, and whether its run is to be told of first."""

    evidence: Evidence
    content: Said
    with_run: bool


class Shipping(Protocol):
    """Takes calls to a collector."""

    def ship(self, calls: Sequence[Told]) -> bool:
        """Return whether the collector has taken all of them; waits for the network. Raises where one is odd."""
        ...

    def end(self) -> None:
        """End a `ship` that waits between its tries; every further one fails at once."""
        ...


class Shipper:
    """Ships in this process. `otlp_url` is the collector's base, without `/v1/traces`."""

    def __init__(self, otlp_url: str) -> None:
        # it tells of every try, with the collector's words; what matters is told once a minute by who asked
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
        attributes = {"service.name": "oncegate", "service.version": version("oncegate")}
        self._resource = Resource(attributes)
        self._scope = InstrumentationScope("oncegate", attributes["service.version"])
        self._exporter = OTLPSpanExporter(endpoint=f"{otlp_url.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS_MAX)

    def ship(self, calls: Sequence[Told]) -> bool:
        """Return whether the collector has taken the spans of all calls."""
        spans = [
            span
            for evidence, content, with_run in calls
            for span in (
                *((run_span(evidence, evidence.run or "", self._resource, self._scope),) if with_run else ()),
                *spans_of(evidence, self._resource, self._scope, content),
            )
        ]
        return self._exporter.export(spans) is SpanExportResult.SUCCESS

    def end(self) -> None:
        """Let no further try be made."""
        self._exporter.shutdown()


class ShipperApart:
    """Ships in a process of its own; where that dies a batch is lost, and the next one has a new process."""

    def __init__(self, otlp_url: str) -> None:
        self._url = otlp_url
        self._apart = Apart()
        self._apart.prepare(ready)

    def ship(self, calls: Sequence[Told]) -> bool:
        """Return whether the collector has taken the spans of all calls. Raises `ApartEnded`."""
        return self._apart.run(_ship, self._url, calls)

    def end(self) -> None:
        """End the process."""
        self._apart.close()


def ready() -> None:
    """Do nothing: to have this module loaded where it is asked."""


class _There:
    """What the process apart keeps from one batch to the next."""

    shippers: Final[dict[str, Shipper]] = {}


def _ship(otlp_url: str, calls: Sequence[Told]) -> bool:
    shipper = _There.shippers.get(otlp_url)
    if shipper is None:
        shipper = _There.shippers[otlp_url] = Shipper(otlp_url)
    return shipper.ship(calls)
