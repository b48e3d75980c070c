"""A trace collector: OTLP over HTTP on loopback, decoded with OpenTelemetry's own schema."""

from __future__ import annotations

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from types import TracebackType

    from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Sink:
    """Takes exports; `statuses` are answered first, one each, then 200. Cleared `open` lets no answer out."""

    def __init__(self, *statuses: int) -> None:
        self._statuses = list(statuses)
        self._taken = threading.Condition()
        self._bodies: list[bytes] = []
        self.asked = threading.Event()
        self.open = threading.Event()
        self.open.set()

    def __enter__(self) -> Self:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["content-length"]))
                sink.asked.set()
                sink.open.wait(5)
                self.send_response(sink.take(self.path, content, self.headers.get("content-encoding")))
                self.send_header("content-length", "0")
                self.end_headers()

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
        self.open.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def take(self, path: str, content: bytes, encoding: str | None) -> int:
        """Keep an export that is answered with 200; return the status."""
        with self._taken:
            status = self._statuses.pop(0) if self._statuses else 200
            if status == 200 and path == "/v1/traces":
                self._bodies.append(gzip.decompress(content) if encoding == "gzip" else content)
            self._taken.notify_all()
            return status

    def holds(self, count: int) -> bool:
        """Wait, at most 5 s at a time, until `count` spans were accepted; false when none came for that long."""
        with self._taken:
            while len(self.spans()) < count:
                if not self._taken.wait(5):
                    return False
        return True

    def spans(self) -> list[Span]:
        """Return all spans accepted so far."""
        found: list[Span] = []
        for content in self._bodies:
            for per_resource in ExportTraceServiceRequest.FromString(content).resource_spans:
                for per_scope in per_resource.scope_spans:
                    found.extend(per_scope.spans)
        return found


def attributes_of(span: Span) -> dict[str, str | int | float | bool]:
    """Return a span's attributes as plain values."""
    found: dict[str, str | int | float | bool] = {}
    for one in span.attributes:
        kind = one.value.WhichOneof("value")
        assert kind is not None
        found[one.key] = getattr(one.value, kind)
    return found
