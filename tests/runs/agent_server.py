"""An agent behind a URL, scripted, on a real socket: what it is sent is kept, each attempt answered as decided."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Bounds what a script waits for.
WAIT_SECONDS_MAX = 60


@dataclass(frozen=True, slots=True)
class Asked:
    """One invocation as the agent got it."""

    body: bytes
    headers: dict[str, str]

    @property
    def token(self) -> str:
        """The run token."""
        return self.headers["authorization"].removeprefix("Bearer ")

    @property
    def attempt(self) -> int:
        """Which attempt this is."""
        return int(self.headers["oncegate-attempt"])


@dataclass(frozen=True, slots=True)
class Said:
    """What it answers."""

    status: int = 200
    body: bytes = b'{"done":true}'
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})


class AgentServer:
    """`work` is called for each invocation in a thread of its own; it may take its time. `None` cuts the connection."""

    def __init__(self, work: Callable[[Asked], Said | None]) -> None:
        self.asked: list[Asked] = []
        self.came = threading.Condition()
        agent = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["content-length"]))
                asked = Asked(content, {name.lower(): value for name, value in self.headers.items()})
                with agent.came:
                    agent.asked.append(asked)
                    agent.came.notify_all()
                said = work(asked)
                self.close_connection = True
                if said is None:
                    return
                self.send_response(said.status)
                for name, value in said.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(said.body)))
                self.end_headers()
                self.wfile.write(said.body)

            def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - the standard library's name
                del format

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                del request, client_address  # gateways that are killed leave connections

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/invoke"

    def wait_asked(self, number: int, seconds_max: float = WAIT_SECONDS_MAX) -> list[Asked]:
        """Wait until it was invoked that often."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.asked) >= number, seconds_max), self.asked
            return list(self.asked)

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
