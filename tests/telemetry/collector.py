"""A collector with faults: OTLP over HTTP on loopback, decoded with OpenTelemetry's own schema."""

from __future__ import annotations

import gzip
import socket
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final, Self

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

#: `503`, `400` and the like are answered; `hang` never, `cut` takes the batch and drops the connection,
#: `partly` keeps every second record and says so, `bad` answers what is no protobuf; `ok` takes it.
Fault = str
LOGS: Final = "/v1/logs"
TRACES: Final = "/v1/traces"


class Collector:
    """Takes exports; each request meets the next fault, and none when there are no more.

    Cleared `open` lets no answer out.
    """

    def __init__(self, *faults: Fault) -> None:
        self._faults = list(faults)
        self._changed = threading.Condition()
        self._released = threading.Event()
        self.open = threading.Event()
        self.open.set()
        self.records: list[LogRecord] = []
        self.requests = 0
        #: what was taken, as it came, by path
        self.taken: defaultdict[str, list[bytes]] = defaultdict(list)

    def __enter__(self) -> Self:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    content = gzip.decompress(content)
                sink.answer(self, content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                del format, args

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del kind, error, trace
        self._released.set()
        self.open.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def answer(self, handler: BaseHTTPRequestHandler, content: bytes) -> None:
        """Meet one request as the next fault says."""
        with self._changed:
            self.requests += 1
            fault = self._faults.pop(0) if self._faults else "ok"
            self._changed.notify_all()
        if fault == "hang":
            self._released.wait(60)
            return
        self.open.wait(60)
        if fault.isdigit() and fault != "200":
            _reply(handler, int(fault), b"")
        elif handler.path == LOGS:
            self._take_logs(handler, content, fault)
        else:
            self._keep(handler.path, content)
            _reply(handler, 200, b"")

    def spans(self) -> list[Span]:
        """Return all spans accepted so far."""
        return [
            span for content in self.taken[TRACES]
            for resource in ExportTraceServiceRequest.FromString(content).resource_spans
            for scope in resource.scope_spans for span in scope.spans
        ]  # fmt: skip

    def ids(self) -> list[str]:
        """Return the de-duplication ids of all records taken so far."""
        with self._changed:
            return [attribute_of(record, "oncegate.audit.record") for record in self.records]

    def holds_spans(self, count: int, seconds: float = 60.0) -> bool:
        """Wait until so many spans were accepted; false when none came for that long."""
        return self._waited(lambda: len(self.spans()) >= count, seconds)

    def holds_records(self, count: int, seconds: float = 60.0) -> bool:
        """Wait until so many different records were taken; false when none came for that long."""
        found = "oncegate.audit.record"
        return self._waited(lambda: len({attribute_of(one, found) for one in self.records}) >= count, seconds)

    def asked(self, count: int, seconds: float = 60.0) -> bool:
        """Wait until so many requests came."""
        with self._changed:
            return self._changed.wait_for(lambda: self.requests >= count, seconds)

    def _waited(self, there: Callable[[], bool], seconds: float) -> bool:
        with self._changed:
            while not there():
                if not self._changed.wait(seconds):
                    return False
        return True

    def _take_logs(self, handler: BaseHTTPRequestHandler, content: bytes, fault: Fault) -> None:
        records = [
            record for resource in ExportLogsServiceRequest.FromString(content).resource_logs
            for scope in resource.scope_logs for record in scope.log_records
        ]  # fmt: skip
        kept = records[::2] if fault == "partly" else records
        said = ExportLogsServiceResponse()
        if fault == "partly" and len(kept) < len(records):
            rejected = len(records) - len(kept)
            said.partial_success.CopyFrom(ExportLogsPartialSuccess(rejected_log_records=rejected))
        if fault == "cut":
            self._keep(LOGS, content, kept)
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        _reply(handler, 200, b"\xff\xff nonsense" if fault == "bad" else said.SerializeToString())
        if fault != "bad":
            self._keep(LOGS, content, kept)

    def _keep(self, path: str, content: bytes, records: list[LogRecord] | None = None) -> None:
        with self._changed:
            self.taken[path].append(content)
            self.records.extend(records or ())
            self._changed.notify_all()


def attribute_of(record: LogRecord, name: str) -> str:
    """Return a text attribute of a log record."""
    return next(one.value.string_value for one in record.attributes if one.key == name)


def attributes_of(span: Span) -> dict[str, str | int | float | bool]:
    """Return a span's attributes as plain values."""
    found: dict[str, str | int | float | bool] = {}
    for one in span.attributes:
        kind = one.value.WhichOneof("value")
        assert kind is not None
        found[one.key] = getattr(one.value, kind)
    return found


def _reply(handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    handler.send_response(status)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
