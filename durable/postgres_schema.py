"""The journal's schema in PostgreSQL: the tables of `durable/schema.py`, made by their owner under one lock."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import asyncpg

from durable.journal import JournalRefused
from durable.schema import SCHEMA_VERSION, STEPS

if TYPE_CHECKING:
    from durable.postgres_connection import Connection

#: one migration at a time; any number, as long as no other program of this database uses it
_LOCK: Final = 0x6F6E636567617465
_TYPES: Final = (
    (r"\bsequence INTEGER PRIMARY KEY\b", "sequence BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
    (r"\bINTEGER\b", "BIGINT"),
    (r"\bBLOB\b", "BYTEA"),
    (r"\) STRICT(, WITHOUT ROWID)?;", ");"),
)
_BESIDE: Final = {
    0: """
    CREATE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'audit records are never changed or deleted'; END $$;
    CREATE TRIGGER audit_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
        FOR EACH STATEMENT EXECUTE FUNCTION audit_only_grows();
    """,
    2: """
    ALTER TABLE writer SET (fillfactor = 50);
    ALTER TABLE instance SET (fillfactor = 50);
    ALTER TABLE run SET (fillfactor = 70);
    """,
    8: """
    DROP TRIGGER audit_only_grows ON audit;
    CREATE TRIGGER audit_only_grows BEFORE UPDATE OR TRUNCATE ON audit
        FOR EACH STATEMENT EXECUTE FUNCTION audit_only_grows();
    CREATE FUNCTION audit_goes_under_an_anchor() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN
            IF EXISTS (SELECT 1 FROM audit_anchor WHERE chain = OLD.chain AND number >= OLD.number) THEN
                RETURN OLD;
            END IF;
            RAISE EXCEPTION 'audit records are never deleted but under an anchor';
        END $$;
    CREATE TRIGGER audit_goes_under_an_anchor BEFORE DELETE ON audit
        FOR EACH ROW EXECUTE FUNCTION audit_goes_under_an_anchor();
    CREATE TRIGGER audit_anchor_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_anchor
        FOR EACH STATEMENT EXECUTE FUNCTION audit_only_grows();
    """,
}


def translated(step: str) -> str:
    """Return a step of `durable.schema` with PostgreSQL's types."""
    for found, meant in _TYPES:
        step = re.sub(found, meant, step)
    return step


async def migrate(connection: Connection) -> None:
    """Bring the database to `SCHEMA_VERSION`; nothing is done, and no right needed, where it is there already.

    Raises `JournalRefused` when the database is newer than this program, another program's, or its
    schema may not be changed by this role.
    """
    if await _version(connection) == SCHEMA_VERSION:
        return
    await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
    try:
        version = await _version(connection)
        if version is None:
            await connection.execute("CREATE TABLE schema_version (version BIGINT NOT NULL)")
            await connection.execute("INSERT INTO schema_version VALUES (0)")
        for number in range(version or 0, SCHEMA_VERSION):
            async with connection.transaction():
                await connection.execute(translated(STEPS[number]) + _BESIDE.get(number, ""))
                await connection.execute("UPDATE schema_version SET version = $1", number + 1)
    except asyncpg.InsufficientPrivilegeError:
        raise JournalRefused(
            f"the database has no journal of schema version {SCHEMA_VERSION} and this role may not make one; "
            "run `oncegate store migrate` as its owner"
        ) from None
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)


async def _version(connection: Connection) -> int | None:
    if await connection.fetchval("SELECT to_regclass('schema_version')") is None:
        if await connection.fetchval("SELECT coalesce(to_regclass('call'), to_regclass('run'))") is not None:
            raise JournalRefused("expected a journal or an empty schema, this one holds another program's tables")
        return None
    version: int | None = await connection.fetchval("SELECT version FROM schema_version")
    if version is not None and version > SCHEMA_VERSION:
        raise JournalRefused(
            f"the journal has schema version {version}, this program knows {SCHEMA_VERSION}; use a newer oncegate"
        )
    return version
