"""One address for servers that come and go: bytes are passed to whoever is the target when a connection is made."""

from __future__ import annotations

import contextlib
import select
import socket
import socketserver
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Generator

_QUIET_SECONDS_MAX: Final = 60.0
_CHUNK_BYTES: Final = 65536


class _Passing(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        """Pass bytes both ways until either end is done."""
        assert isinstance(self.server, Relay)
        self.server.open.wait(_QUIET_SECONDS_MAX)
        with contextlib.suppress(OSError), socket.create_connection(("localhost", self.server.port)) as there:
            self.server.connected.append(there)
            ends = {self.request: there, there: self.request}
            while ready := select.select([*ends], [], [], _QUIET_SECONDS_MAX)[0]:
                for one in ready:
                    if not (part := one.recv(_CHUNK_BYTES)):
                        return
                    ends[one].sendall(part)


class Relay(socketserver.ThreadingTCPServer):
    """Listens on loopback; `port` is where a new connection is taken to, and waits for while `open` is not set."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.port = 0
        self.open = threading.Event()
        self.open.set()
        self.connected: list[socket.socket] = []

    def drop(self) -> None:
        """End all connections."""
        connected, self.connected = self.connected, []
        for one in connected:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def relay() -> Generator[Relay]:
    """Run a relay."""
    with Relay() as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        try:
            yield running
        finally:
            running.drop()
            running.shutdown()
            thread.join(60)
