"""The process that has imported the gateway and its commands, and forks one whenever `tests/serving.py` asks for it."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import runpy
import selectors
import signal
import socket
import sys
from typing import Final, TypedDict, cast

import gateway.cli
import gateway.server
from gateway.cli.commands import COMMANDS, load

IMPORTED: Final = (gateway.cli, gateway.server, *(load(name) for name in COMMANDS if name not in {"redact", "demo"}))
_SIZE_BYTES: Final = 4
#: The line on which a fork's end is told, and what it reads, says and says of errors.
_GIVEN: Final = 4
_FIRST_FREE: Final = 3
_DESCRIPTORS_MAX: Final = 4096


class Asked(TypedDict):
    """What a gateway or a command is started with."""

    folder: str
    words: list[str]
    environment: dict[str, str]


class Forking:
    """Forks and tells how each fork ended, until nobody is left on the line."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._selector = selectors.DefaultSelector()
        self._selector.register(line, selectors.EVENT_READ)
        #: by the descriptor that shows the end of a fork
        self._running: dict[int, tuple[int, socket.socket]] = {}

    def run(self) -> Asked | None:
        """Return what to become, in each fork; `None` at the end, in this process."""
        while True:
            for key, _ in self._selector.select():
                if key.fd in self._running:
                    self._ended(key.fd)
                    continue
                size, descriptors, _, _ = socket.recv_fds(self._line, _SIZE_BYTES, _GIVEN)
                if not size:
                    for pid, _ in self._running.values():
                        os.kill(pid, signal.SIGKILL)
                    return None
                said = self._line.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)
                if (asked := self._forked(cast("Asked", json.loads(said)), *descriptors)) is not None:
                    return asked

    def _ended(self, shown: int) -> None:
        pid, told = self._running.pop(shown)
        self._selector.unregister(shown)
        os.close(shown)
        with told, contextlib.suppress(OSError):  # whoever asked may be gone
            told.sendall(b"%d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    def _forked(self, asked: Asked, line: int, *standard: int) -> Asked | None:
        told = socket.socket(fileno=line)
        pid = os.fork()
        if pid:
            for descriptor in standard:
                os.close(descriptor)
            told.sendall(pid.to_bytes(_SIZE_BYTES, "big"))
            shown = os.pidfd_open(pid)
            self._running[shown] = pid, told
            self._selector.register(shown, selectors.EVENT_READ)
            return None
        self._selector.close()
        for open_line in (self._line, told, *(other for _, other in self._running.values())):
            open_line.close()
        for place, descriptor in enumerate(standard):
            os.dup2(descriptor, place)
        os.closerange(_FIRST_FREE, _DESCRIPTORS_MAX)
        os.setsid()
        os.chdir(asked["folder"])
        os.environ.clear()
        os.environ.update(asked["environment"])
        return asked


def main() -> None:
    """Fork gateways and commands for whoever holds the other end of the line whose descriptor is given."""
    gc.freeze()  # a fork that looks through what it has inherited copies all of it, and does so at its end
    asked = Forking(socket.socket(fileno=int(sys.argv[1]))).run()
    if asked is not None:
        sys.argv[1:] = asked["words"]
        runpy.run_module("gateway.cli", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
