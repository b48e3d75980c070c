"""Work in a process of its own, so that it takes neither the interpreter nor the core that calls are served with.

Spawned, never forked: a fork would copy the journal's threads and locks in whatever state they are.

ApartEnded   the process died or was ended before it had an answer; what was asked may have been done
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from concurrent.futures import CancelledError, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor, Future
    from multiprocessing.context import SpawnProcess

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

#: Added to a process's niceness: calls go first where cores are few.
NICENESS: Final = 10


class ApartEnded(Exception):  # noqa: N818 - says what has become of the process
    """The process is gone; another one is there for the next asking."""


class Apart:
    """One process, begun when it is first wanted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._closed = False

    def prepare(self, function: Callable[[], None]) -> None:
        """Begin the process with what it will need, and do not wait for it."""
        with self._lock, contextlib.suppress(ApartEnded):
            self._submit(function)

    def run(
        self, function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """Return what a function at the top of a module makes of its arguments; waits, so never ask in the loop.

        Raises `ApartEnded`, and what the function raises.
        """
        with self._lock:
            answer = self._submit(function, *args, **kwargs)
            pool = self._pool
        try:
            return answer.result()
        except (BrokenProcessPool, CancelledError):
            with self._lock:
                if self._pool is pool:
                    self._pool = None
            raise ApartEnded from None

    def _submit(
        self, function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Future[Result]:
        if self._closed:
            raise ApartEnded
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=begin_apart)
        try:
            return self._pool.submit(function, *args, **kwargs)
        except BrokenProcessPool:  # it died while nobody asked
            self._pool = None
            raise ApartEnded from None

    def close(self) -> None:
        """End the process, whatever it does."""
        with self._lock:
            pool, self._pool, self._closed = self._pool, None, True
        if pool is not None:
            end_pool(pool)


def begin_apart(niceness: int = NICENESS) -> None:
    """Begin a process apart: it hears no ^C, gives way to others, and ends with who began it, however that went."""
    # the terminal's ^C goes to the whole group; the gateway ends its workers when it has finished
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # whoever signals every process by name means the gateway
    os.nice(niceness)
    threading.Thread(target=_end_with_parent, name="oncegate-parent", daemon=True).start()


def end_pool(pool: Executor) -> None:
    """End a pool's processes; one that is in the midst of something hears nothing else."""
    known: dict[int, SpawnProcess] = getattr(pool, "_processes", None) or {}
    processes = list(known.values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(0)
