"""What a governed call looks like in a trace: pure functions from evidence to finished spans, no content.

The trace id is the audit record's id, so a trace, its audit records and its log lines find one another
without a look-up, and the context for the upstream is known before anything is recorded.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from gateway import conventions as names

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from gateway.content import Said
    from gateway.evidence import Ending, Evidence

Attributes = dict[str, str | int | float | bool]

#: W3C Trace Context section 3.2.2; another version than 00 may mean something else.
_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_NANO: Final = 1_000_000_000
_BAD: Final[frozenset[Ending]] = frozenset({"refused", "failed", "in_doubt", "not_executed"})
_CLIENT_ERROR: Final = 400
_SERVER_ERROR: Final = 500
#: Parts of a resource name that are kept: a URI below `mcp/<server>/resource/<scheme>` is content.
_RESOURCE_PARTS_MAX: Final = 4


def trace_of(audit_id: str, run: str | None) -> str:
    """Return the trace (32 hex digits) of a call: its run's, so that a run is one trace, or its audit record's."""
    return audit_id if run is None else hashlib.sha256(b"oncegate/trace/" + run.encode()).hexdigest()[:32]


def traceparent_for(audit_id: str, run: str | None = None) -> str:
    """Return the trace context an upstream gets for the call of `audit_id` (32 hex digits): its CLIENT span."""
    return f"00-{trace_of(audit_id, run)}-{_span_id(audit_id, 1):016x}-01"


def server_span_id(audit_id: str) -> int:
    """Return the id of the span that the audit record of a call belongs to."""
    return _span_id(audit_id, 0)


def run_span(evidence: Evidence, run: str, resource: Resource, scope: InstrumentationScope) -> ReadableSpan:
    """Return the span that the calls of a run hang from; it says who runs, its end is not known here."""
    agent = evidence.principal.agent
    found: Attributes = {
        names.GEN_AI_OPERATION: names.INVOKE_AGENT, names.GEN_AI_AGENT: agent, names.RUN: run,
        names.SOURCE_DOMAIN: evidence.principal.domain,
    }  # fmt: skip
    start = round(evidence.start * _NANO)
    return ReadableSpan(
        f"{names.INVOKE_AGENT} {agent}", _run_context(evidence.audit_id, run), None, resource, found, (), (),
        SpanKind.INTERNAL, None, Status(StatusCode.UNSET), start, start, scope,
    )  # fmt: skip


def spans_of(
    evidence: Evidence, resource: Resource, scope: InstrumentationScope, content: Said | None = None
) -> list[ReadableSpan]:
    """Return the SERVER span of the agent's side and, where something was sent, the CLIENT span below it.

    In a run they are part of the run's trace, below its own span (`run_span`).

    Inbound context is a link and never a parent: who sent it is verified, what it says is not. `content` stands
    on the CLIENT span, and where nothing was sent on the other.
    """
    sent = evidence.upstream_start is not None and evidence.upstream_end is not None
    inner, outer = (content or {}, {}) if sent else ({}, content or {})
    name = span_name(evidence)
    audit, run = evidence.audit_id, evidence.run
    server = _context(audit, run, 0)
    above = None if run is None else _run_context(audit, run)
    found = [
        ReadableSpan(
            name, server, above, resource, _server_attributes(evidence) | outer, _events(evidence),
            _links(evidence.traceparent), SpanKind.SERVER, None, _status(_server_error(evidence)),
            round(evidence.start * _NANO), round(evidence.end * _NANO), scope,
        )
    ]  # fmt: skip
    if evidence.upstream_start is not None and evidence.upstream_end is not None:
        found.append(
            ReadableSpan(
                name, _context(audit, run, 1), server, resource, _client_attributes(evidence) | inner, (), (),
                SpanKind.CLIENT, None, _status(_client_error(evidence)), round(evidence.upstream_start * _NANO),
                round(evidence.upstream_end * _NANO), scope,
            )
        )  # fmt: skip
    return found


def span_name(evidence: Evidence) -> str:
    """Return `{method} {tool}` or `{operation} {model}`, as the conventions name spans."""
    facts = evidence.protocol_facts
    first = facts.get(names.MCP_METHOD) or facts.get(names.GEN_AI_OPERATION) or evidence.endpoint
    second = facts.get(names.GEN_AI_TOOL) or facts.get(names.GEN_AI_MODEL)
    return f"{first} {second}" if second else str(first)


def _server_attributes(evidence: Evidence) -> Attributes:
    principal = evidence.principal
    found = _shared(evidence) | {
        names.PRINCIPAL: principal.name,
        names.AUTH_METHOD: principal.method,
        names.SOURCE_DOMAIN: principal.domain,
        names.TARGET_DOMAIN: evidence.resource_domain,
        names.RESOURCE: _resource(evidence.resource),
        names.ACTION: evidence.action,
        names.EFFECT: evidence.effect,
        names.ENDING: evidence.ending,
        names.REPLAYED: evidence.ending == "replayed",
        names.OCCURRENCE: evidence.occurrence,
    }
    if principal.actors:
        found[names.ACTORS] = " ".join(principal.actors)
    if evidence.decision is not None:
        found[names.DECISION] = evidence.decision.effect
        found[names.RULE] = evidence.decision.rule
        found[names.POLICY] = evidence.decision.digest
    if evidence.run is not None:
        found[names.RUN] = evidence.run
        found[names.ATTEMPT] = evidence.attempt
    if evidence.cost_usd is not None:
        found[names.COST] = evidence.cost_usd
    if (error := _server_error(evidence)) is not None:
        found[names.ERROR_TYPE] = error
    for name, digest in ((names.ARGUMENTS, evidence.arguments_digest), (names.RESULT, evidence.result_digest)):
        if digest:
            found[name] = digest
    for name, counts in (
        (names.REDACTED_OUT, evidence.redacted_outward),
        (names.REDACTED_IN, evidence.redacted_inward),
    ):
        for entity, count in counts.items():
            found[f"{name}.{entity.lower()}"] = count
    return found


def _client_attributes(evidence: Evidence) -> Attributes:
    found = _shared(evidence)
    # tokens stand on this span alone: a replay spends none, and sums over spans stay true
    for theirs, ours in ((names.GEN_AI_INPUT_TOKENS, "input_tokens"), (names.GEN_AI_OUTPUT_TOKENS, "output_tokens")):
        if ours in evidence.usage:
            found[theirs] = evidence.usage[ours]
    if evidence.tries > 1:
        found[names.TRIES] = evidence.tries
    if evidence.answered_by is not None:
        found[names.ANSWERED_BY] = evidence.answered_by
    if evidence.upstream_host is not None:
        found[names.SERVER_ADDRESS] = evidence.upstream_host
    if (error := _client_error(evidence)) is not None:
        found[names.ERROR_TYPE] = error
    return found


def _shared(evidence: Evidence) -> Attributes:
    found = dict(evidence.protocol_facts)
    found[names.AUDIT_ID] = evidence.audit_id
    found[names.CORRELATION] = evidence.correlation
    found[names.STATUS_CODE] = evidence.status
    if evidence.call_id is not None:
        found[names.CALL] = evidence.call_id
    if names.GEN_AI_MODEL in found:
        found[names.GEN_AI_STREAM] = evidence.stream
        provider = names.PROVIDERS.get(evidence.endpoint.partition("_")[0])
        if provider is not None:
            found.setdefault(names.GEN_AI_PROVIDER, provider)
    return found


def _server_error(evidence: Evidence) -> str | None:
    if evidence.refusal is not None:
        return evidence.refusal
    if evidence.ending in _BAD:
        return evidence.ending
    return str(evidence.status) if evidence.status >= _SERVER_ERROR else None


def _client_error(evidence: Evidence) -> str | None:
    if evidence.ending in _BAD:
        return evidence.ending
    return str(evidence.status) if evidence.status >= _CLIENT_ERROR else None


def _events(evidence: Evidence) -> tuple[Event, ...]:
    if evidence.divergence is None:
        return ()
    return (Event(names.DIVERGENCE, {names.DIVERGENCE: evidence.divergence}, round(evidence.start * _NANO)),)


def _status(error: str | None) -> Status:
    return Status(StatusCode.UNSET if error is None else StatusCode.ERROR)


def _resource(resource: str) -> str:
    parts = resource.split("/", _RESOURCE_PARTS_MAX)
    if len(parts) > _RESOURCE_PARTS_MAX and parts[2] == "resource":
        return "/".join([*parts[:_RESOURCE_PARTS_MAX], "**"])
    return resource


def _context(audit_id: str, run: str | None, number: int) -> SpanContext:
    trace = int(trace_of(audit_id, run), 16)
    return SpanContext(trace, _span_id(audit_id, number), is_remote=False, trace_flags=_SAMPLED)


def _run_context(audit_id: str, run: str) -> SpanContext:
    trace = trace_of(audit_id, run)
    # a hash's other half: the same from every instance that sees the run
    return SpanContext(int(trace, 16), int(trace[16:], 16) or 1, is_remote=False, trace_flags=_SAMPLED)


def _span_id(audit_id: str, number: int) -> int:
    # the random half of the id; never zero, which W3C forbids
    return (int(audit_id[16:], 16) ^ number) or 2


def _links(traceparent: str | None) -> tuple[Link, ...]:
    match = _TRACEPARENT.fullmatch(traceparent or "")
    if match is None:
        return ()
    trace_id, span_id, flags = (int(part, 16) for part in match.groups())
    context = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    return (Link(context),) if context.is_valid else ()
