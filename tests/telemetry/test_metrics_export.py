"""Metrics as a collector gets them: the same series and numbers as `/metrics`."""

from __future__ import annotations

import asyncio
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from gateway.metrics import FAMILIES, Metrics, Sample
from gateway.otlp_metrics import MetricsExport

pytestmark = pytest.mark.anyio


@pytest.mark.requirement("TEL-14")
async def test_a_collector_gets_every_family_once_more_at_the_end() -> None:
    taken: list[ExportMetricsServiceRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            if self.path == "/v1/metrics":
                taken.append(ExportMetricsServiceRequest.FromString(content))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    metrics = Metrics(["model/m"])
    metrics.add("oncegate_replays_total", 3, "model/m")
    metrics.observe("oncegate_upstream_seconds", 0.2, "model/m")

    async def samples() -> list[Sample]:
        await asyncio.sleep(0)
        return [Sample("oncegate_calls_in_doubt", 2)]

    export = MetricsExport(metrics, samples, f"http://127.0.0.1:{server.server_address[1]}/")
    export.start()
    await export.aclose()
    server.shutdown()
    server.server_close()
    thread.join(60)
    (request,) = taken
    found = {one.name: one for one in request.resource_metrics[0].scope_metrics[0].metrics}
    assert set(found) == {family.name for family in FAMILIES}
    replays = found["oncegate_replays_total"].sum
    assert (replays.is_monotonic, replays.data_points[0].as_double) == (True, 3)
    assert replays.data_points[0].attributes[0].value.string_value == "model/m"
    assert found["oncegate_calls_in_doubt"].gauge.data_points[0].as_double == 2
    point = found["oncegate_upstream_seconds"].histogram.data_points[0]
    assert (point.count, sum(point.bucket_counts), len(point.bucket_counts)) == (1, 1, len(point.explicit_bounds) + 1)
