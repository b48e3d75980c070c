"""The journal's schema in SQLite: `durable/schema.py` as it stands, and an audit that only grows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from durable.journal import JournalRefused
from durable.schema import SCHEMA_VERSION, STEPS

if TYPE_CHECKING:
    import sqlite3

_BESIDE: Final = {
    0: """
    CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
        BEGIN SELECT RAISE(ABORT, 'audit records are never changed'); END;
    CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
        BEGIN SELECT RAISE(ABORT, 'audit records are never deleted'); END;
    """,
    8: """
    DROP TRIGGER audit_is_not_deleted;
    CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit WHEN NOT EXISTS
        (SELECT 1 FROM audit_anchor WHERE chain = OLD.chain AND number >= OLD.number)
        BEGIN SELECT RAISE(ABORT, 'audit records are never deleted but under an anchor'); END;
    CREATE TRIGGER audit_anchor_is_not_changed BEFORE UPDATE ON audit_anchor
        BEGIN SELECT RAISE(ABORT, 'anchors of the audit are never changed'); END;
    CREATE TRIGGER audit_anchor_is_not_deleted BEFORE DELETE ON audit_anchor
        BEGIN SELECT RAISE(ABORT, 'anchors of the audit are never deleted'); END;
    """,
}


def migrate(database: sqlite3.Connection) -> None:
    """Bring the file to `SCHEMA_VERSION`. Raises `JournalRefused` when it is newer than this program."""
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise JournalRefused(
            f"the journal has schema version {version}, this program knows {SCHEMA_VERSION}; use a newer oncegate"
        )
    for number in range(version, SCHEMA_VERSION):
        # the version is written in the same transaction: a crash leaves the old file or the new one
        database.executescript(
            f"BEGIN IMMEDIATE; {STEPS[number]} {_BESIDE.get(number, '')} PRAGMA user_version = {number + 1}; COMMIT;"
        )
