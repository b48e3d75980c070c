"""A log collector with faults: OTLP over HTTP on loopback, decoded with OpenTelemetry's own schema."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

#: `503`, `400` and the like are answered; `hang` never, `cut` takes the batch and drops the connection,
#: `partly` keeps every second record and says so, `bad` answers what is no protobuf.
Fault = str


class LogSink:
    """Takes exports; each request meets the next fault, and none when there are no more."""

    def __init__(self, *faults: Fault) -> None:
        self._faults = list(faults)
        self._changed = threading.Condition()
        self.records: list[LogRecord] = []
        self.requests = 0
        self._released = threading.Event()

    def __enter__(self) -> Self:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["content-length"]))
                sink.answer(self, content if self.path == "/v1/logs" else b"")

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
            self._released.wait(10)
            return
        if fault.isdigit():
            _reply(handler, int(fault), b"")
            return
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
            self._keep(kept)
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        _reply(handler, 200, b"\xff\xff nonsense" if fault == "bad" else said.SerializeToString())
        if fault != "bad":
            self._keep(kept)

    def _keep(self, records: Iterable[LogRecord]) -> None:
        with self._changed:
            self.records.extend(records)
            self._changed.notify_all()

    def ids(self) -> list[str]:
        """Return the de-duplication ids of all records taken so far."""
        with self._changed:
            return [attribute_of(record, "oncegate.audit.record") for record in self.records]

    def holds(self, count: int, seconds: float = 5.0) -> bool:
        """Wait until so many different records were taken; false when none came for that long."""
        with self._changed:
            while len({attribute_of(one, "oncegate.audit.record") for one in self.records}) < count:
                if not self._changed.wait(seconds):
                    return False
        return True

    def asked(self, count: int, seconds: float = 5.0) -> bool:
        """Wait until so many requests came."""
        with self._changed:
            return self._changed.wait_for(lambda: self.requests >= count, seconds)


def attribute_of(record: LogRecord, name: str) -> str:
    return next(one.value.string_value for one in record.attributes if one.key == name)


def _reply(handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    handler.send_response(status)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
