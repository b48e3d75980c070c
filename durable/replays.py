"""Outcomes handed out, their cursors written afterwards and together.

Until a cursor is in the store it counts from here, so that the next equal request cannot overtake it. Where there
are other instances it could be asked of one of them: there a replay waits until its cursor is written.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from durable import steps

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from durable.sql import Write, Writing
    from durable.step import RunRef, Step
    from durable.steps import CursorKey

    Submit = Callable[[str, Write[None]], asyncio.Future[None]]


@dataclass(slots=True)
class Handing:
    """Outcomes handed out, to be noted in one write; nothing is added once it has begun."""

    handed: list[tuple[str, RunRef | None, bytes, int]] = field(
        default_factory=list["tuple[str, RunRef | None, bytes, int]"]
    )
    begun: bool = False
    written: asyncio.Future[None] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, call_id: str, step: Step, occurrence: int) -> bool:
        """Add one; false when the write has begun."""
        with self.lock:
            if not self.begun:
                self.handed.append((call_id, step.run, step.fingerprint, occurrence))
            return not self.begun

    def sums(self) -> tuple[dict[str, int], dict[str, int], dict[CursorKey, int]]:
        """Begin the write; returns how many by call, how many by run, and how far each cursor goes."""
        with self.lock:
            self.begun = True
        calls: dict[str, int] = {}
        runs: dict[str, int] = {}
        cursors: dict[CursorKey, int] = {}
        for call_id, run, fingerprint, occurrence in self.handed:
            calls[call_id] = calls.get(call_id, 0) + 1
            if run is not None:
                runs[run.id] = runs.get(run.id, 0) + 1
                key = (run.id, run.attempt, fingerprint)
                cursors[key] = max(occurrence, cursors.get(key, 0))
        return calls, runs, cursors

    async def __call__(self, tx: Writing) -> None:
        """Write it."""
        await steps.write_replays(tx, *self.sums())


class Replays:
    """The replays of this process that are not written yet."""

    def __init__(self, submit: Submit) -> None:
        self._submit = submit
        self._newest: Handing | None = None
        self._unwritten: dict[CursorKey, tuple[int, Handing]] = {}

    def reached(self, run: RunRef, fingerprint: bytes) -> int:
        """Return the newest occurrence handed out and not written yet, 0 without one."""
        known = self._unwritten.get((run.id, run.attempt, fingerprint))
        return 0 if known is None else known[0]

    def note(self, call_id: str, step: Step, occurrence: int) -> asyncio.Future[None]:
        """Note that the outcome of a call was handed out to `step`; returns what is done when the store has it.

        Raises `JournalUnavailable`.
        """
        handing = self._newest
        joined = handing is not None and handing.add(call_id, step, occurrence)
        if handing is None or not joined:
            handing = self._newest = Handing()
            handing.add(call_id, step, occurrence)
        if step.run is not None:
            key = (step.run.id, step.run.attempt, step.fingerprint)
            self._unwritten[key] = (max(occurrence, self.reached(step.run, step.fingerprint)), handing)
        if handing.written is None:
            handing.written = self._submit("replay", handing)
            handing.written.add_done_callback(lambda done: self._written(handing, done))
        return handing.written

    def _written(self, handing: Handing, done: asyncio.Future[None]) -> None:
        if done.cancelled() or done.exception() is not None:
            return  # what could not be written still counts here
        for _, run, fingerprint, _ in handing.handed:
            if run is not None:
                key = (run.id, run.attempt, fingerprint)
                known = self._unwritten.get(key)
                if known is not None and known[1] is handing:
                    del self._unwritten[key]
