"""The file of the SQLite journal: held by one process, opened the same way everywhere, its epoch begun."""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
from typing import TYPE_CHECKING, Final

from durable import instances, past
from durable.chain import Chain
from durable.journal import JournalRefused
from durable.sql import Here, drive
from durable.sqlite_head import Head, read_head, write_head
from durable.sqlite_schema import migrate
from durable.sqlite_transaction import SqliteWriting
from durable.stamp import now

if TYPE_CHECKING:
    from pathlib import Path

_BUSY_SECONDS: Final = 5.0
#: 16 MiB: past it a commit takes the rest of the log back itself. The thread that checkpoints has done most of it by
#: then, but only who writes can find the log at rest; begun anew it is overwritten, which flushes twice as fast
_PAGES_MAX: Final = 4_096


def lock(path: Path) -> int:
    """Return the descriptor that holds the lock beside `path`. Raises `JournalRefused`."""
    beside = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalRefused(f"`{beside}`: cannot be opened ({(error.strerror or 'unknown').lower()})") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise JournalRefused(f"`{path}`: another gateway holds this journal; one process per file") from None
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    return descriptor


def connect(path: Path, synchronous: str) -> sqlite3.Connection:
    """Return a connection to the journal, set up as every one of them is."""
    database = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    database.row_factory = sqlite3.Row
    database.execute(f"PRAGMA synchronous = {synchronous}")
    database.execute(f"PRAGMA wal_autocheckpoint = {_PAGES_MAX}")
    return database


def begin_epoch(database: sqlite3.Connection, path: Path) -> tuple[Here, Chain]:
    """Bring the file up to date, begin this process's epoch and put what older ones left in doubt.

    Returns who writes from now on, and the audit chain it writes to. Raises `JournalRefused`.
    """
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version == 0 and database.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
        raise JournalRefused(f"`{path}`: expected a journal or nothing, this is another program's database")
    (mode,) = database.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise JournalRefused(f"`{path}`: expected a local disk, this file system takes no write-ahead log")
    migrate(database)
    database.execute("BEGIN IMMEDIATE")
    row = database.execute("SELECT id, epoch FROM instance").fetchone()
    here = Here(row["id"] if row else f"i{secrets.token_hex(8)}", (row["epoch"] if row else 0) + 1, now())
    chain = Chain(f"{here.instance}/{here.epoch}")
    tx = SqliteWriting(database, chain, here)
    lost = _lost_past(database, path)
    drive(instances.begin_epoch(tx, 0))
    if lost is not None:
        drive(past.note_rollback(tx, lost))
    for instance, epoch in drive(instances.older_epochs(tx, here.instance, here.epoch)):
        drive(instances.sweep(tx, instance, epoch))
    tx.flush()
    database.execute("COMMIT")
    return here, chain


def _lost_past(database: sqlite3.Connection, path: Path) -> str | None:
    """Return how the file shows that it is older than what was noted beside it, `None` when it is not."""
    try:
        head = read_head(path)
    except ValueError:
        return "what was noted beside the file cannot be read"
    if head is None:
        return None
    row = database.execute(
        "SELECT hash FROM audit WHERE chain = ? AND number = ?", (f"{head.instance}/{head.epoch}", head.number)
    ).fetchone()
    if row is None or bytes(row["hash"]).hex() != head.hash:
        return "the file is older than it was, or another one"
    return None


def note_head(database: sqlite3.Connection, path: Path, here: Here) -> None:
    """Note beside the file how far it has come: what is committed, seen by a reader. Raises `OSError`."""
    row = database.execute(
        "SELECT number, hash FROM audit WHERE chain = ? ORDER BY number DESC LIMIT 1",
        (f"{here.instance}/{here.epoch}",),
    ).fetchone()
    if row is None:
        return
    head = Head(instance=here.instance, epoch=here.epoch, number=row["number"], hash=bytes(row["hash"]).hex())
    write_head(path, head)
