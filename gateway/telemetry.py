"""Traces over OTLP, made after the fact and off the path; no content in them.

One SERVER span for the agent's side and, where something was sent, one CLIENT span below it for the
upstream's. Inbound trace context is a link, never a parent: who sent it is verified, what it says is not.
"""

from __future__ import annotations

import logging
import queue
import re
import threading
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from gateway import conventions as names

if TYPE_CHECKING:
    from gateway.evidence import Evidence

_log = logging.getLogger("oncegate.telemetry")

WAITING_MAX: Final = 4096
_FLUSH_MILLISECONDS: Final = 3000
_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_NANO: Final = 1_000_000_000
_REFUSED: Final = frozenset({"refused", "failed", "in_doubt", "not_executed"})


class Telemetry:
    """Records evidence as spans. Without an OTLP URL nothing is kept. `dropped` counts what did not fit."""

    def __init__(self, otlp_url: str | None) -> None:
        self.dropped = 0
        self._queue: queue.Queue[Evidence | None] = queue.Queue(WAITING_MAX)
        self._provider: TracerProvider | None = None
        if otlp_url is None:
            return
        resource = Resource.create({"service.name": "oncegate", "service.version": version("oncegate")})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        endpoint = f"{otlp_url.rstrip('/')}/v1/traces"
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
        self._tracer = self._provider.get_tracer("oncegate", version("oncegate"))
        self._thread = threading.Thread(target=self._work, name="oncegate-telemetry", daemon=True)
        self._thread.start()

    def record(self, evidence: Evidence) -> None:
        """Take the evidence of a call that is over; never waits, never raises."""
        if self._provider is None:
            return
        try:
            self._queue.put_nowait(evidence)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Export what is there, bounded in time."""
        if self._provider is None:
            return
        self._queue.put(None)
        self._thread.join(timeout=_FLUSH_MILLISECONDS / 1000)
        self._provider.force_flush(_FLUSH_MILLISECONDS)
        self._provider.shutdown()
        if self.dropped:
            _log.warning("%d spans were dropped: the exporter could not keep up", self.dropped)

    def _work(self) -> None:
        while (evidence := self._queue.get()) is not None:
            self._span(evidence)

    def _span(self, evidence: Evidence) -> None:
        server = self._tracer.start_span(
            span_name(evidence),
            context=trace.set_span_in_context(trace.INVALID_SPAN),
            kind=SpanKind.SERVER,
            attributes=attributes(evidence),
            links=_links(evidence.traceparent),
            start_time=round(evidence.start * _NANO),
        )
        if evidence.ending in _REFUSED:
            server.set_status(Status(StatusCode.ERROR))
        if evidence.upstream_start is not None and evidence.upstream_end is not None:
            client = self._tracer.start_span(
                span_name(evidence),
                context=trace.set_span_in_context(server),
                kind=SpanKind.CLIENT,
                attributes=dict(evidence.protocol_facts) | {names.AUDIT_ID: evidence.audit_id},
                start_time=round(evidence.upstream_start * _NANO),
            )
            client.end(round(evidence.upstream_end * _NANO))
        server.end(round(evidence.end * _NANO))


def span_name(evidence: Evidence) -> str:
    """Return `{method} {tool}` or `{operation} {model}`, as the conventions name spans."""
    facts = evidence.protocol_facts
    first = facts.get(names.MCP_METHOD) or facts.get(names.GEN_AI_OPERATION) or evidence.endpoint
    second = facts.get(names.GEN_AI_TOOL) or facts.get(names.GEN_AI_MODEL)
    return f"{first} {second}" if second else str(first)


def attributes(evidence: Evidence) -> dict[str, str | int | float | bool]:
    """Return the attributes of a governed call; names, counts and ids, no content."""
    found: dict[str, str | int | float | bool] = dict(evidence.protocol_facts)
    found |= {
        names.AUDIT_ID: evidence.audit_id,
        names.CORRELATION: evidence.correlation,
        names.PRINCIPAL: evidence.principal.name,
        names.AUTH_METHOD: evidence.principal.method,
        names.SOURCE_DOMAIN: evidence.principal.domain,
        names.TARGET_DOMAIN: evidence.resource_domain,
        names.RESOURCE: evidence.resource,
        names.ACTION: evidence.action,
        names.EFFECT: evidence.effect,
        names.ENDING: evidence.ending,
        names.REPLAYED: evidence.ending == "replayed",
        names.STATUS_CODE: evidence.status,
        names.OCCURRENCE: evidence.occurrence,
    }
    if evidence.decision is not None:
        found |= {
            names.DECISION: evidence.decision.effect,
            names.RULE: evidence.decision.rule,
            names.POLICY: evidence.decision.digest,
        }
    if evidence.call_id is not None:
        found[names.CALL] = evidence.call_id
    if evidence.run is not None:
        found |= {names.RUN: evidence.run, names.ATTEMPT: evidence.attempt}
    if evidence.refusal is not None:
        found[names.ERROR_TYPE] = evidence.refusal
    for theirs, ours in ((names.GEN_AI_INPUT_TOKENS, "input_tokens"), (names.GEN_AI_OUTPUT_TOKENS, "output_tokens")):
        if ours in evidence.usage:
            found[theirs] = evidence.usage[ours]
    if evidence.cost_usd is not None:
        found[names.COST] = evidence.cost_usd
    for name, counts in (
        (names.REDACTED_OUT, evidence.redacted_outward),
        (names.REDACTED_IN, evidence.redacted_inward),
    ):
        for entity, count in counts.items():
            found[f"{name}.{entity.lower()}"] = count
    return found


def _links(traceparent: str | None) -> list[Link]:
    match = _TRACEPARENT.fullmatch(traceparent or "")
    if match is None:
        return []
    context = SpanContext(
        int(match.group(1), 16),
        int(match.group(2), 16),
        is_remote=True,
        trace_flags=TraceFlags(int(match.group(3), 16)),
    )
    return [Link(context)] if context.is_valid else []
