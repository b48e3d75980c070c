"""Keeps a command alive in one run: a new attempt for each start, back-off between them, one ending.

A supervisor is the only reliable signal that an agent began anew (DESIGN section 6). It survives the
gateway being away: opening and closing wait for it, and no attempt is spent on that. It can be the first
process of a container: signals are passed on, and orphans that become its children are taken away.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from gateway.cli.output import NO, UNREACHABLE, USAGE, Failure, note

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable, Mapping, Sequence

    from gateway.admin.parts import OpenedRun

T = TypeVar("T")

#: Signals that ask the supervisor to end; the child gets them too.
_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
#: Signals that mean something to the child alone.
_PASSED_ON = (signal.SIGUSR1, signal.SIGUSR2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long is waited for what, in seconds."""

    backoff_seconds: float = 0.5
    backoff_seconds_max: float = 30.0
    #: for the gateway before the command has run at all
    start_seconds_max: float = 10.0
    #: for the gateway once the command has run
    away_seconds_max: float = 300.0

    def backoff(self, failures: int) -> float:
        """Return the pause after so many failures in a row (1 is the first)."""
        return min(self.backoff_seconds * 2 ** min(failures - 1, 32), self.backoff_seconds_max)


class Gateway(Protocol):
    """The gateway as a supervisor sees it; both calls block for a while."""

    def open(self, run_id: str | None) -> OpenedRun:
        """Open a run or the next attempt of one. Raises `Failure`."""
        ...

    def finish(self, run_id: str, attempt: int, state: Literal["finished", "failed"], status: int) -> None:
        """Close the run; `status` is the command's. Raises `Failure`."""
        ...

    def ended(self, run_id: str) -> int | None:
        """Return the status a run's command has finished with, `None` when the run did not finish. Raises `Failure`."""
        ...


@dataclass(slots=True, kw_only=True)
class Supervisor:
    """One supervised command. `environment` makes the child's environment of an opened attempt."""

    gateway: Gateway
    command: Sequence[str]
    environment: Callable[[OpenedRun], Mapping[str, str]]
    run_id: str | None
    attempts_max: int
    patience: Patience
    _stop: asyncio.Event | None = None
    _stopped_by: signal.Signals | None = None
    _child: Process | None = None
    _starting: bool = False

    async def supervise(self) -> int:
        """Run the command to its end; return its final status (128 + n after signal n)."""
        self._stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in _STOPPING:
            loop.add_signal_handler(number, self._on_signal, number)
        for number in _PASSED_ON:
            loop.add_signal_handler(number, self._pass_on, number)
        loop.add_signal_handler(signal.SIGCHLD, self._take_orphans)
        try:
            return await self._attempts(self._stop)
        finally:
            for number in (*_STOPPING, *_PASSED_ON, signal.SIGCHLD):
                loop.remove_signal_handler(number)

    async def _attempts(self, stop: asyncio.Event) -> int:
        status = started = 0
        seconds = self.patience.start_seconds_max
        while True:
            try:
                opened = await self._patiently(lambda: self.gateway.open(self.run_id), seconds)
            except Failure as failure:
                if started or failure.code != NO or (done := await self._ended()) is None:
                    raise
                return done
            if opened is None:
                return self._interrupted(status)
            self.run_id = opened.id
            seconds = self.patience.away_seconds_max
            status = await self._run_child(opened)
            started += 1
            if status == 0:
                await self._finish(opened, "finished", status)
                return status
            if stop.is_set():
                return self._interrupted(status)
            if started == self.attempts_max:
                note(f"oncegate: attempt {opened.attempt} of run {opened.id} {_ended(status)}; no attempts are left")
                await self._finish(opened, "failed", status)
                return status
            pause = self.patience.backoff(started)
            note(f"oncegate: attempt {opened.attempt} of run {opened.id} {_ended(status)}; again in {pause:g} s")
            if await _wait(stop, pause):
                return self._interrupted(status)

    async def _run_child(self, opened: OpenedRun) -> int:
        environment = dict(self.environment(opened))
        self._starting = True
        try:
            # the token travels in the environment only: every user of the machine can read arguments
            child = await asyncio.create_subprocess_exec(*self.command, env=environment)
        except OSError as error:
            reason = (error.strerror or "no reason given").lower()
            raise Failure(USAGE, f"`{self.command[0]}` cannot be started ({reason})") from None
        finally:
            self._starting = False
        self._child = child
        if self._stopped_by is not None:
            _send(child, self._stopped_by)
        returned = await child.wait()
        self._child = None
        self._take_orphans()
        return returned if returned >= 0 else 128 - returned

    async def _ended(self) -> int | None:
        """Return the status of a run that has finished already: a job's pod may die after its work is done."""
        if (run_id := self.run_id) is None:
            return None
        status = await self._patiently(lambda: self.gateway.ended(run_id), self.patience.start_seconds_max)
        if status is not None:
            note(f"oncegate: run {run_id} has finished already; the command is not started")
        return status

    async def _finish(self, opened: OpenedRun, state: Literal["finished", "failed"], status: int) -> None:
        try:
            await self._patiently(
                lambda: self.gateway.finish(opened.id, opened.attempt, state, status), self.patience.away_seconds_max
            )
        except Failure as failure:
            # the command has ended; what it said stands, whatever becomes of the run's row
            note(f"oncegate: run {opened.id} could not be closed: {failure.message}")

    async def _patiently(self, ask: Callable[[], T], seconds_max: float) -> T | None:
        """Ask until the gateway answers; `None` when told to stop meanwhile. Raises `Failure`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds_max
        failures = 0
        while True:
            try:
                return await asyncio.to_thread(ask)
            except Failure as failure:
                failures += 1
                pause = self.patience.backoff(failures)
                if failure.code != UNREACHABLE or loop.time() + pause > deadline:
                    raise
                if failures == 1:
                    note(f"oncegate: {failure.message}; waiting up to {seconds_max:g} s")
            if self._stop is not None and await _wait(self._stop, pause):
                return None

    def _interrupted(self, status: int) -> int:
        if self.run_id is not None:
            note(f"oncegate: stopped; run {self.run_id} stays open, `oncegate run --run {self.run_id}` continues it")
        if status == 0 and self._stopped_by is not None:
            return 128 + self._stopped_by
        return status

    def _on_signal(self, number: signal.Signals) -> None:
        self._stopped_by = number
        if self._stop is not None:
            self._stop.set()
        if self._child is not None and not (number in {signal.SIGINT, signal.SIGQUIT} and _in_foreground()):
            _send(self._child, number)

    def _pass_on(self, number: signal.Signals) -> None:
        if self._child is not None:
            _send(self._child, number)

    def _take_orphans(self) -> None:
        """Take away ended processes that are not ours: the first process of a container inherits them."""
        while not self._starting:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            # the child's own end is asyncio's to collect; then the rest is looked at again
            if ended is None or (self._child is not None and ended.si_pid == self._child.pid):
                return
            with contextlib.suppress(ChildProcessError):
                os.waitpid(ended.si_pid, os.WNOHANG)


async def _wait(stop: asyncio.Event, seconds: float) -> bool:
    """Wait for `stop` at most `seconds`; return whether it came."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True


def _send(child: Process, number: signal.Signals) -> None:
    if child.returncode is None:
        child.send_signal(number)


def _in_foreground() -> bool:
    """Whether the terminal has given its Ctrl-C to the child already (same foreground group)."""
    try:
        # not standard input: that may be a file while Ctrl-C still comes from the terminal
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    finally:
        os.close(terminal)


def _ended(status: int) -> str:
    if status > 128:  # noqa: PLR2004 - 128 + n is signal n
        return f"was ended by {signal.Signals(status - 128).name}"
    return f"exited with {status}"
