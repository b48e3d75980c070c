"""Outcomes handed out, their cursors written afterwards and together: nobody waits for a replay's bookkeeping.

Until a cursor is in the store it counts from here, so that the next equal request cannot overtake it.
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
class _Batch:
    """What one write will hold; nothing is added once it has begun."""

    handed: list[tuple[str, RunRef | None, bytes, int]] = field(
        default_factory=list["tuple[str, RunRef | None, bytes, int]"]
    )
    begun: bool = False


class Replays:
    """The replays of this process that are not written yet."""

    def __init__(self, submit: Submit) -> None:
        self._submit = submit
        self._lock = threading.Lock()
        self._batch: _Batch | None = None
        self._unwritten: dict[CursorKey, tuple[int, _Batch]] = {}

    def reached(self, run: RunRef, fingerprint: bytes) -> int:
        """Return the newest occurrence handed out and not written yet, 0 without one."""
        known = self._unwritten.get((run.id, run.attempt, fingerprint))
        return 0 if known is None else known[0]

    def note(self, call_id: str, step: Step, occurrence: int) -> None:
        """Note that the outcome of a call was handed out to `step`. Raises `JournalUnavailable`."""
        with self._lock:
            batch = self._batch
            joined = batch is not None and not batch.begun
            if batch is None or batch.begun:
                batch = self._batch = _Batch()
            batch.handed.append((call_id, step.run, step.fingerprint, occurrence))
        if step.run is not None:
            key = (step.run.id, step.run.attempt, step.fingerprint)
            self._unwritten[key] = (max(occurrence, self.reached(step.run, step.fingerprint)), batch)
        if not joined:
            self._submit("replay", lambda tx: self._write(tx, batch)).add_done_callback(
                lambda done: self._written(batch, done)
            )

    async def _write(self, tx: Writing, batch: _Batch) -> None:
        with self._lock:
            batch.begun = True
        counts: dict[str, int] = {}
        runs: dict[str, int] = {}
        cursors: dict[CursorKey, int] = {}
        for call_id, run, fingerprint, occurrence in batch.handed:
            counts[call_id] = counts.get(call_id, 0) + 1
            if run is not None:
                runs[run.id] = runs.get(run.id, 0) + 1
                key = (run.id, run.attempt, fingerprint)
                cursors[key] = max(occurrence, cursors.get(key, 0))
        await steps.write_replays(tx, counts, runs, cursors)

    def _written(self, batch: _Batch, done: asyncio.Future[None]) -> None:
        if done.cancelled() or done.exception() is not None:
            return  # what could not be written still counts here
        for _, run, fingerprint, _ in batch.handed:
            if run is not None:
                key = (run.id, run.attempt, fingerprint)
                known = self._unwritten.get(key)
                if known is not None and known[1] is batch:
                    del self._unwritten[key]
