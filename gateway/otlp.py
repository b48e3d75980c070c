"""The audit over OTLP/HTTP, posted directly: what a collector says of a batch is read, not assumed.

The SDK's log exporter calls a batch delivered that a collector has rejected record by record, and its
processors drop what does not fit (facts: 0 of 5,000 records arrived through 1.5 s of 503). So the request is
made and its answer read here; `gateway/outbox.py` decides what becomes of it.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, Literal, Self, cast

import httpx
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs, SeverityNumber
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from gateway import conventions as names
from gateway.apart import Apart, ApartEnded
from gateway.spans import server_span_id, trace_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable.chain import Link

#: `accepted`: every record. `partly`: some were rejected. `not_now`: ask again. `refused`: the sink will not take it.
Answer = Literal["accepted", "partly", "not_now", "refused"]

OTLP: Final = "otlp"
ANSWER_SECONDS_MAX: Final = 5.0
_AUDIT_ID_DIGITS: Final = 32
_MEDIA: Final = "application/x-protobuf"
_RETRYABLE: Final = frozenset({408, 429, 502, 503, 504})
_NANO: Final = 1_000


class OtlpSink:
    """A collector's `/v1/logs`. Its methods wait for the network: never call them in the event loop."""

    #: the name its cursors are kept by
    name: str = OTLP

    def __init__(
        self, otlp_url: str, *, seconds_max: float = ANSWER_SECONDS_MAX,
        elsewhere: Apart | None = None,
    ) -> None:  # fmt: skip
        self._url = f"{otlp_url.rstrip('/')}/v1/logs"
        self._elsewhere = elsewhere
        # proxies of the environment have no business with the audit
        self._client = httpx.Client(timeout=seconds_max, trust_env=False)

    @classmethod
    def apart(cls, otlp_url: str) -> Self:
        """Return a sink that encodes in a process of its own: that takes 65 us a record."""
        elsewhere = Apart()
        elsewhere.prepare(ready)
        return cls(otlp_url, elsewhere=elsewhere)

    def send(self, links: Sequence[Link]) -> Answer:
        """Post the records; anything but a clear yes to all of them is no `accepted`."""
        try:
            content = content_of(links) if self._elsewhere is None else self._elsewhere.run(content_of, links)
        except ApartEnded:
            return "not_now"
        try:
            answer = self._client.post(self._url, content=content, headers={"content-type": _MEDIA})
            body = answer.content
        except httpx.HTTPError:
            return "not_now"
        if answer.status_code in _RETRYABLE or answer.status_code >= 500:  # noqa: PLR2004 - HTTP
            return "not_now"
        if not answer.is_success:
            return "refused"
        try:
            said = ExportLogsServiceResponse.FromString(body)
        except DecodeError:
            return "accepted" if not body else "refused"  # some other program answers there
        return "partly" if said.partial_success.rejected_log_records else "accepted"

    def close(self) -> None:
        """Let connections go."""
        self._client.close()
        if self._elsewhere is not None:
            self._elsewhere.close()


def ready() -> None:
    """Do nothing: to have this module loaded where it is asked."""


def content_of(links: Sequence[Link]) -> bytes:
    """Return the body of the request that carries these records."""
    return request_of(links).SerializeToString()


def request_of(links: Sequence[Link]) -> ExportLogsServiceRequest:
    """Return the request that carries these records."""
    own = version("oncegate")
    resource = Resource(attributes=[_text("service.name", "oncegate"), _text("service.version", own)])
    scope = InstrumentationScope(name="oncegate.audit", version=own)
    logs = ScopeLogs(scope=scope, log_records=[_record(link) for link in links])
    return ExportLogsServiceRequest(resource_logs=[ResourceLogs(resource=resource, scope_logs=[logs])])


def _record(link: Link) -> LogRecord:
    fields = cast("dict[str, object]", json.loads(link.text))
    time, event, audit, run = fields.get("time"), fields.get("event", ""), fields.get("audit"), fields.get("run")
    nanoseconds = time * _NANO if isinstance(time, int) else 0
    attributes = [
        # what a consumer drops duplicates by: the same for every delivery of this record
        _text(names.AUDIT_RECORD, f"{link.chain}#{link.number}"),
        _text(names.AUDIT_HASH, link.hash.hex()),
        _text(names.AUDIT_EVENT, str(event)),
    ]
    record = LogRecord(
        time_unix_nano=nanoseconds, observed_time_unix_nano=nanoseconds, event_name=f"oncegate.audit.{event}",
        severity_number=SeverityNumber.SEVERITY_NUMBER_INFO, severity_text="INFO",
        body=AnyValue(string_value=link.text), attributes=attributes,
    )  # fmt: skip
    if isinstance(audit, str) and len(audit) == _AUDIT_ID_DIGITS:
        record.attributes.append(_text(names.AUDIT_ID, audit))
        record.trace_id = bytes.fromhex(trace_of(audit, run if isinstance(run, str) else None))
        record.span_id = server_span_id(audit).to_bytes(8, "big")
    return record


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))
