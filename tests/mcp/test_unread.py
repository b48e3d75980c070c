"""A stream without end whose agent does not read it."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, cast

import pytest

from tests.mcp.stand import gateway, write
from tests.mcp.wire import initialized

if TYPE_CHECKING:
    from pathlib import Path

POLICY = "p, role:any, *, mcp/loud, list, -, allow, -\np, role:any, *, mcp/loud/**, *, -, allow, redact=off\n"
#: A bound of 64 KiB, and what sockets between the two hold.
BYTES_MAX = 64 << 20


class Loud(ThreadingHTTPServer):
    """An MCP server whose stream of notifications never ends; `cut` is set when its reader has gone."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.said_bytes = 0
        self.cut = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        result = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "loud", "version": "1"}}
        if asked.get("method") == "initialize":
            body = json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}).encode()
            self.answer(200, "application/json", body)
        else:
            self.answer(202 if "id" not in asked else 404, "application/json", b"")

    def do_GET(self) -> None:
        server = cast("Loud", self.server)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        note = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x" * 4000}}
        event = b"data: " + json.dumps(note).encode() + b"\n\n"
        self.close_connection = True
        try:
            while server.said_bytes < 2 * BYTES_MAX:
                self.wfile.write(event)
                server.said_bytes += len(event)
        except OSError:
            server.cut.set()

    def do_DELETE(self) -> None:
        self.answer(200, "application/json", b"")

    def answer(self, status: int, media: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in (("content-type", media), ("content-length", str(len(body))), ("mcp-session-id", "s")):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - the standard library's name
        del format


@pytest.mark.requirement("MCP-43")
def test_a_stream_that_nobody_reads_is_ended_before_it_fills_the_memory(tmp_path: Path) -> None:
    loud = Loud()
    url = f"http://127.0.0.1:{loud.server_address[1]}/mcp"
    servers = f"  loud: {{url: '{url}', era: legacy}}\n"
    write(tmp_path, policy=POLICY, servers=servers, more="limits: {answer: 64KiB}\n")
    with gateway(tmp_path) as (at, _):
        headers = initialized(f"{at}/mcp/loud")
        host, _, port = at.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=30) as agent:
            fields = {**headers, "host": f"{host}:{port}", "accept": "text/event-stream"}
            head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
            agent.sendall(f"GET /mcp/loud HTTP/1.1\r\n{head}\r\n".encode())
            assert agent.recv(20).startswith(b"HTTP/1.1 200")
            assert loud.cut.wait(60), f"{loud.said_bytes} bytes were taken of a stream that nobody reads"
        assert loud.said_bytes < BYTES_MAX
        assert initialized(f"{at}/mcp/loud")["mcp-session-id"]  # the server is as usable as before
    loud.shutdown()
    loud.server_close()
