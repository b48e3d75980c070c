"""Gateways and commands for tests, forked from a process that has imported the gateway and done nothing else.

Importing it is most of a start's work, and the suite starts hundreds. What comes of a fork is a process of its own:
its own session, environment and descriptors, `oncegate` run from the beginning as `python -m gateway.cli` does,
killed, paused and waited for like any other. The demo, the crash points, supervised agents, what commands load and the
container's entry are started by executing Python, as users do; with `ONCEGATE_TESTS_EXECUTE=1` everything is.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import IO

TOP: Final = Path(__file__).parent.parent
_PID_BYTES: Final = 4
_EXECUTES: Final = os.environ.get("ONCEGATE_TESTS_EXECUTE") == "1"


class Running(Protocol):
    """A process under way, in the words of `subprocess.Popen`."""

    @property
    def pid(self) -> int:
        """Its id."""
        ...

    def poll(self) -> int | None:
        """Return how it ended, `None` while it runs."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Return how it ended. Raises `subprocess.TimeoutExpired`."""
        ...

    def send_signal(self, sig: int) -> None:
        """Send it a signal, if it runs."""
        ...

    def terminate(self) -> None:
        """Ask it to end."""
        ...

    def kill(self) -> None:
        """End it as a crash does."""
        ...


def prepare() -> None:
    """Begin with what forks, and do not wait for it: on a busy machine it imports for longer than a test may take."""
    if not _EXECUTES:
        _Parent.of_this_process()


def serve(config: Path, output: IO[bytes], *, environment: Mapping[str, str] | None = None) -> Running:
    """Start `oncegate serve` with `config`, its standard error in `output`."""
    words = ["serve", "-c", str(config)]
    known = dict(os.environ if environment is None else environment)
    if _EXECUTES:
        command = [sys.executable, "-m", "gateway.cli", *words]
        return subprocess.Popen(command, cwd=TOP, env=known, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    with Path(os.devnull).open("rb") as nothing:
        standard = (nothing.fileno(), output.fileno(), output.fileno())
        return _Parent.of_this_process().start(words, standard, folder=TOP, environment=known)


def oncegate(
    *words: str,
    folder: Path = TOP,
    environment: Mapping[str, str] | None = None,
    said: str | bytes = b"",
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder` to its end, at most `timeout` seconds; it reads what is `said`.

    Raises `subprocess.TimeoutExpired`.
    """
    known = dict(os.environ if environment is None else environment)
    command = [sys.executable, "-m", "gateway.cli", *words]
    read = said if isinstance(said, bytes) else said.encode()
    if _EXECUTES:
        known["PYTHONPATH"] = str(TOP)  # where it runs in another folder
        done = subprocess.run(
            command, cwd=folder, env=known, input=read, capture_output=True, timeout=timeout, check=False
        )
        return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        given.write(read)
        given.seek(0)
        standard = (given.fileno(), output.fileno(), errors.fileno())
        running = _Parent.of_this_process().start(words, standard, folder=folder, environment=known)
        try:
            status = running.wait(timeout)
        finally:
            running.kill()
        output.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(command, status, output.read().decode(), errors.read().decode())


class _Parent:
    """The process that has imported the gateway, and this process's line to it."""

    _only: _Parent | None = None
    _lock = threading.Lock()

    def __init__(self) -> None:
        ours, its = socket.socketpair()
        with its:
            command = [sys.executable, "-m", "tests.forking", str(its.fileno())]
            self._process = subprocess.Popen(command, cwd=TOP, pass_fds=[its.fileno()], stdin=subprocess.DEVNULL)
        self._line = ours

    @classmethod
    def of_this_process(cls) -> Self:
        """Return the one of this process, started at its first use; it ends with this process."""
        with cls._lock:
            if not isinstance(cls._only, cls):
                cls._only = cls()
            return cls._only

    def start(
        self, words: Sequence[str], standard: Sequence[int], *, folder: Path, environment: Mapping[str, str]
    ) -> _Forked:
        """Fork a gateway or a command, with the descriptors it reads from, writes to and tells errors on."""
        ours, its = socket.socketpair()
        told = {"folder": str(folder), "words": list(words), "environment": dict(environment)}
        asked = json.dumps(told).encode()
        with its, self._lock:
            socket.send_fds(self._line, [len(asked).to_bytes(4, "big")], [its.fileno(), *standard])
            self._line.sendall(asked)
        said = ours.recv(_PID_BYTES, socket.MSG_WAITALL)
        if not said:
            raise AssertionError("the process that forks gateways is gone")
        return _Forked(int.from_bytes(said, "big"), ours)


@dataclass(slots=True)
class _Forked:
    pid: int
    _line: socket.socket
    returncode: int | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0.0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        with self._lock:
            if self.returncode is None:
                with selectors.DefaultSelector() as selector:
                    selector.register(self._line, selectors.EVENT_READ)
                    if not selector.select(timeout):
                        raise subprocess.TimeoutExpired(f"gateway {self.pid}", timeout or 0.0)
                self.returncode = int(self._line.recv(16) or -signal.SIGKILL)
                self._line.close()
            return self.returncode

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wait()
