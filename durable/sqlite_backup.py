"""An online copy of an SQLite journal: whole and consistent, taken beside a running gateway."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING, Final

from durable.journal import JournalRefused

if TYPE_CHECKING:
    from pathlib import Path

#: Pages copied between two pauses, in which the gateway's writer gets its turn.
_PAGES: Final = 2048
_PAUSE_SECONDS: Final = 0.005


def back_up(source: Path, target: Path) -> int:
    """Copy the journal in `source` to the new file `target` (mode 0600), check it, and return its size in bytes.

    Bodies stay sealed: the copy is worth nothing without `secret_key`, which has to be kept elsewhere.
    Raises `FileNotFoundError`, `FileExistsError`, and `JournalRefused` when it is no journal or the copy is not sound.
    """
    if not source.exists():
        raise FileNotFoundError(source)
    # read-write, because a journal left by a killed process needs its log taken in; nothing is changed by us
    reading = sqlite3.connect(f"{source.resolve().as_uri()}?mode=rw", uri=True)
    with contextlib.closing(reading):
        try:
            if not reading.execute("SELECT 1 FROM sqlite_schema WHERE name = 'call'").fetchone():
                raise JournalRefused(f"`{source}`: expected a journal")
        except sqlite3.DatabaseError as error:
            raise JournalRefused(f"`{source}`: expected a journal ({error})") from None
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        whole = False
        try:
            with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as writing:
                reading.backup(writing, pages=_PAGES, sleep=_PAUSE_SECONDS)
                # one file, to be moved about: no log beside it
                writing.execute("PRAGMA journal_mode = DELETE")
                (found,) = writing.execute("PRAGMA integrity_check(1)").fetchone()
            if found != "ok":
                raise JournalRefused(f"`{target}`: the copy is not sound ({found})")
            whole = True
        except sqlite3.Error as error:
            raise JournalRefused(f"`{target}`: could not be written ({error})") from None
        finally:
            if not whole:
                target.unlink(missing_ok=True)
    _flush(target)
    return target.stat().st_size


def _flush(path: Path) -> None:
    for one in (path, path.parent):
        descriptor = os.open(one, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
