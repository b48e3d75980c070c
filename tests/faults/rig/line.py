"""A line between agent and gateway that loses an answer: what the gateway has sent, the agent never sees."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_BYTES_MAX: Final = 1 << 16
_SECONDS_MAX: Final = 60.0


class Line:
    """Passes bytes both ways until an answer that holds `mark` comes: then it calls `lost` and is cut."""

    def __init__(self, port: int, mark: bytes, lost: Callable[[], None]) -> None:
        self._target = port
        self._mark = mark
        self._lost = lost
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._start(self._accept)

    def cut(self) -> None:
        """Close everything."""
        for end in (self._listening, *self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _start(self, work: Callable[..., None], *args: object) -> None:
        threading.Thread(target=work, args=args, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._target), _SECONDS_MAX)
                self._open += [near, far]
                self._start(self._pass, near, far, b"\0never\0")
                self._start(self._pass, far, near, self._mark)

    def _pass(self, source: socket.socket, target: socket.socket, mark: bytes) -> None:
        with contextlib.suppress(OSError):
            while part := source.recv(_BYTES_MAX):
                if mark in part:
                    self._lost()
                    self.cut()
                    return
                target.sendall(part)
            target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def losing(port: int, mark: bytes, lost: Callable[[], None]) -> Generator[Line]:
    """Give a line to the gateway at `port`."""
    line = Line(port, mark, lost)
    try:
        yield line
    finally:
        line.cut()
