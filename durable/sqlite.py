"""The embedded store: one SQLite file, one process, one writer thread (DESIGN section 5)."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from durable import sqlite_file
from durable.backend import Wakeups
from durable.journal import JournalRefused, JournalUnavailable
from durable.sql import Here, drive
from durable.sqlite_transaction import SqliteReading
from durable.sqlite_writer import Writer
from durable.stamp import now
from durable.steps import SqlView
from durable.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from durable.rules import View
    from durable.seal import Keyring
    from durable.sql import Read, Write
    from durable.step import Step

Result = TypeVar("Result")


def _ignore(_: str) -> None:
    """Take no notice: the default for crash points and fatal errors in tests."""


async def open_sqlite(
    path: Path,
    *,
    keyring: Keyring,
    synchronous: Literal["FULL", "NORMAL"] = "FULL",
    fatal: Callable[[str], None] = _ignore,
    crash_point: Callable[[str], None] = _ignore,
) -> Store:
    """Return the store in `path`, made when new, with its older epochs swept.

    `fatal` is called once when a commit failed for good: the process must end. `crash_point` is
    called with the names of points around commits (`before_intent_commit`, …) for fault tests.
    Raises `JournalRefused`.
    """
    return Store(SqliteBackend(path, synchronous, fatal, crash_point), keyring)


class SqliteBackend:
    """`durable.backend.Backend` on one file.

    Reads are done where they are asked for, in the event loop's thread; surveys in a thread of their own.
    """

    def __init__(
        self, path: Path, synchronous: Literal["FULL", "NORMAL"], fatal: Callable[[str], None],
        crash_point: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.wakeups = Wakeups()
        self.poll_seconds: float | None = None
        self._path = path
        self._lock = sqlite_file.lock(path)
        reader: sqlite3.Connection | None = None
        try:
            reader = sqlite_file.connect(path, synchronous)
            self._begun, chain = sqlite_file.begin_epoch(reader, path)
        except (sqlite3.Error, JournalRefused) as error:
            if reader is not None:
                reader.close()
            os.close(self._lock)
            if isinstance(error, JournalRefused):
                raise
            raise JournalRefused(f"`{path}`: expected a journal ({error})") from None
        self._reader = reader
        self._reading = SqliteReading(reader)
        self._surveying: SqliteReading | None = None
        self._connect = lambda: sqlite_file.connect(path, synchronous)
        self._surveyor = ThreadPoolExecutor(1, thread_name_prefix="oncegate-survey")
        self._writer: Writer | None = Writer(
            self._connect,
            chain,
            self.here,
            self.wakeups,
            log=path.with_name(path.name + "-wal"),
            fatal=fatal,
            crash_point=crash_point,
        )
        self._writer.start()

    def here(self) -> Here:
        """Return who this is, now."""
        return Here(self._begun.instance, self._begun.epoch, now())

    def submit(
        self, name: str, work: Write[Result], late: Callable[[Result], None] | None = None
    ) -> asyncio.Future[Result]:
        """Queue `work` for the writer's thread, which always knows what it has done. Raises `JournalUnavailable`."""
        del late
        if self._writer is None:
            raise JournalUnavailable("the journal is closed")
        return self._writer.submit(name, work)

    async def read(self, work: Read[Result]) -> Result:
        """Return what `work` reads."""
        return await work(self._reading)

    async def survey(self, work: Read[Result]) -> Result:
        """Return what `work` reads, on a connection of its own. Raises `JournalUnavailable`."""
        if self._writer is None:
            raise JournalUnavailable("the journal is closed")
        return await asyncio.get_running_loop().run_in_executor(self._surveyor, self._surveyed, work)

    def _surveyed(self, work: Read[Result]) -> Result:
        if self._surveying is None:
            self._surveying = SqliteReading(self._connect())
        return drive(work(self._surveying))

    async def look(self, step: Step, rules: Callable[[View, Step], Coroutine[Any, Any, Result]]) -> Result:
        """Return what `rules` make of the facts, each read as it is asked for."""
        return await rules(SqlView(self._reading), step)

    def may_send(self) -> bool:
        """Return true: the file's lock is held by nobody else as long as this process lives."""
        return self._writer is not None

    async def note_head(self) -> None:
        """Note beside the file how far it has come. Raises `OSError`."""
        if self._writer is not None:
            sqlite_file.note_head(self._reader, self._path, self._begun)

    async def aclose(self) -> None:
        """Write what is queued and let the file go."""
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        await asyncio.to_thread(writer.close)
        await asyncio.to_thread(self._surveyor.shutdown)
        if self._surveying is not None:
            self._surveying.database.close()
        self._reader.close()
        os.close(self._lock)
