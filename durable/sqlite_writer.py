"""The one thread that writes: operations queued from the event loop, committed in groups.

A group in which an operation fails is undone and written again with a savepoint around each, so that the
failing one takes nothing else with it: operations must be repeatable until they are committed. Callers
hear of success only after COMMIT. While one group is being flushed to disk the next one gathers.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sqlite3
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from durable.journal import JournalUnavailable
from durable.sql import drive
from durable.sqlite_transaction import SqliteWriting

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from durable.backend import Wakeups
    from durable.chain import Chain
    from durable.sql import Here, Write

Result = TypeVar("Result")

#: Operations of one transaction at most; bounds how long the first of a group waits for the last.
GROUP_MAX: Final = 256
#: Past this size of the write-ahead log it is taken back into the file, all readers willing.
WAL_BYTES_MAX: Final = 128 * 1024 * 1024
_CHECKPOINT_SECONDS: Final = 5.0
#: often enough that little is left for the commit that takes the log back
_CHECKPOINT_GROUPS: Final = 128
_FATAL: Final = ("SQLITE_IOERR", "SQLITE_CORRUPT", "SQLITE_NOTADB")


@dataclass(slots=True)
class Operation(Generic[Result]):
    """Something to write. `name` is where crash points and messages refer to it."""

    name: str
    work: Write[Result]
    done: asyncio.Future[Result]
    result: list[Result] = field(default_factory=list["Result"])
    error: Exception | None = None


class Writer:
    """Owns the writing connection; `log` is the write-ahead log that its commits grow.

    `fatal` is called once, from the thread, when a commit failed for good.
    """

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        chain: Chain,
        here: Callable[[], Here],
        wakeups: Wakeups,
        *,
        log: Path,
        fatal: Callable[[str], None],
        crash_point: Callable[[str], None],
    ) -> None:
        self._connect = connect
        self._chain = chain
        self._here = here
        self._wakeups = wakeups
        self._log = log
        self._fatal = fatal
        self._crash_point = crash_point
        self._queue: queue.SimpleQueue[Operation[object] | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._dead: str | None = None
        self._closing = False
        self._ended = False
        #: set when the checkpointer has something to do before its time
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._write, name="oncegate-journal", daemon=True)
        self._checkpointer = threading.Thread(target=self._checkpoint, name="oncegate-checkpoint", daemon=True)

    def start(self) -> None:
        """Start writing."""
        self._thread.start()
        self._checkpointer.start()

    def submit(self, name: str, work: Write[Result]) -> asyncio.Future[Result]:
        """Queue `work`; the future has its result once it is durable. Raises `JournalUnavailable`."""
        if self._dead is not None or self._closing:
            raise JournalUnavailable(self._dead or "the journal is closed")
        done: asyncio.Future[Result] = self._loop.create_future()
        self._queue.put(Operation(name, work, done))  # pyright: ignore[reportArgumentType] - results come back typed by their future
        return done

    def close(self) -> None:
        """Write what is queued and end the threads."""
        self._closing = True
        self._queue.put(None)
        self._thread.join()
        self._ended = True
        self._wanted.set()
        self._checkpointer.join()

    def _write(self) -> None:
        database = self._connect()
        ending, groups = False, 0
        while not ending:
            group: list[Operation[object]] = []
            operation = self._queue.get()
            while operation is not None:
                group.append(operation)
                if len(group) == GROUP_MAX or self._queue.empty():
                    break
                operation = self._queue.get()
            ending = operation is None
            if group:
                self._commit(database, group)
                groups += 1
                if groups % _CHECKPOINT_GROUPS == 0 or self._log_bytes() > WAL_BYTES_MAX:
                    self._wanted.set()
        database.close()

    def _log_bytes(self) -> int:
        try:
            return os.stat(self._log).st_size  # noqa: PTH116 - once a commit
        except FileNotFoundError:
            return 0

    def _commit(self, database: sqlite3.Connection, group: list[Operation[object]]) -> None:
        woken: list[str] = []
        try:
            if self._dead is not None:
                raise JournalUnavailable(self._dead)  # noqa: TRY301 - told to the group as every other failure is
            if not self._written(database, group, woken, careful=False):
                self._written(database, group, woken, careful=True)
        except sqlite3.Error as error:
            self._fail(group, error.sqlite_errorname if hasattr(error, "sqlite_errorname") else "SQLITE_ERROR")
        except JournalUnavailable as error:
            _refuse(group, str(error))
        except Exception as error:
            # the outermost handler of this thread: without it callers would wait for ever
            self._fail(group, f"SQLITE_IOERR, {type(error).__name__.lower()}")
            raise
        finally:
            self._loop_call(lambda: self._resolve(group, woken))

    def _written(
        self, database: sqlite3.Connection, group: list[Operation[object]], woken: list[str], *, careful: bool
    ) -> bool:
        """Write the group in one transaction; false when it was undone because an operation failed."""
        names = {operation.name for operation in group}
        mark = self._chain.mark()
        tx = SqliteWriting(database, self._chain, self._here())
        committed = False
        try:
            database.execute("BEGIN IMMEDIATE")
            for operation in group:
                operation.result.clear()
                if careful:
                    _apply(tx, operation)
                elif not _applied(tx, operation):
                    return False
            tx.flush()
            for name in names:
                self._crash_point(f"before_{name}_commit")
            database.execute("COMMIT")
            committed = True
            woken += tx.woken
        finally:
            if not committed:
                self._chain.back_to(mark)
                if database.in_transaction:
                    database.execute("ROLLBACK")
        for name in names:
            self._crash_point(f"after_{name}_commit")
        return True

    def _fail(self, group: list[Operation[object]], what: str) -> None:
        _refuse(group, f"the journal could not be written ({what})")
        # a full disk may be emptied again; after a failed flush nobody knows what the file holds
        if what.startswith(_FATAL):
            self._dead = f"the journal failed ({what}) and is not written any more"
            self._fatal(self._dead)

    def _checkpoint(self) -> None:
        database = self._connect()
        while True:
            self._wanted.wait(_CHECKPOINT_SECONDS)
            if self._ended:
                break
            self._wanted.clear()
            try:
                _, pages, _ = database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                (size,) = database.execute("PRAGMA page_size").fetchone()
                if pages * size > WAL_BYTES_MAX:
                    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error:
                continue  # the writer meets the same trouble and says so
        database.close()

    def _resolve(self, group: list[Operation[object]], woken: list[str]) -> None:
        for operation in group:
            if operation.done.done():
                continue  # cancelled: the write stands all the same
            if operation.error is not None:
                operation.done.set_exception(operation.error)
                operation.done.exception()  # a write nobody waits for is no error of the loop
            else:
                operation.done.set_result(operation.result[0])
        self._wakeups.wake(woken)

    def _loop_call(self, function: Callable[[], None]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function)


def _apply(tx: SqliteWriting, operation: Operation[object]) -> None:
    mark = tx.mark()
    tx.database.execute("SAVEPOINT operation")
    try:
        operation.result.append(drive(operation.work(tx)))
    except sqlite3.Error:
        raise  # the disk or the file, not this operation
    except Exception as error:  # noqa: BLE001 - the caller's own errors go to the caller, whatever they are
        tx.database.execute("ROLLBACK TO operation")
        tx.back_to(mark)
        operation.error = error
    tx.database.execute("RELEASE operation")


def _applied(tx: SqliteWriting, operation: Operation[object]) -> bool:
    try:
        operation.result.append(drive(operation.work(tx)))
    except sqlite3.Error:
        raise
    except Exception:  # noqa: BLE001 - the group is written again, and then the caller gets it
        return False
    return True


def _refuse(group: list[Operation[object]], reason: str) -> None:
    for operation in group:
        operation.error = JournalUnavailable(reason)
