"""Reads of a store beside the gateway that writes it: for commands that look at what was recorded."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from durable.journal import JournalRefused
from durable.postgres_connection import LOST, Address, PostgresReading, said_by
from durable.sql import drive
from durable.sqlite_transaction import SqliteReading
from durable.stamp import MICROSECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from durable.seal import Keyring
    from durable.sql import Read, Transaction

Result = TypeVar("Result")

_CALLS: Final = (
    'SELECT id, domain, agent, "user", run, kind, resource, action, intent_time, sealed_request FROM call '
    "WHERE intent_time >= $1 AND state <> 'held' ORDER BY intent_time, step, id LIMIT $2"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedCall:
    """A call as it was begun: `request` is its redacted request, `began` in seconds since the epoch."""

    id: str
    domain: str
    agent: str
    user: str
    run: str | None
    kind: str
    resource: str
    action: str
    began: float
    request: bytes


def of_sqlite(path: Path, work: Read[Result]) -> Result:
    """Return what `work` reads in a file, as one state of it. Raises `FileNotFoundError`, `JournalRefused`."""
    if not path.exists():
        raise FileNotFoundError(path)
    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            database.execute("BEGIN")
            return drive(work(SqliteReading(database)))
    except sqlite3.Error as error:
        name = error.sqlite_errorname if hasattr(error, "sqlite_errorname") else "SQLITE_ERROR"
        raise JournalRefused(f"`{path}`: expected a journal ({name})") from None


async def of_postgres(url: str, password: str | None, work: Read[Result]) -> Result:
    """Return what `work` reads in a database, as one state of it. Raises `JournalRefused`."""
    try:
        connection = await Address(url, password).connect("reading")
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await work(PostgresReading(connection))
        finally:
            await connection.close()
    except (*LOST, ValueError) as error:
        raise JournalRefused(f"`state`: the database cannot be read ({said_by(error)})") from None


async def read_calls(tx: Transaction, keyring: Keyring, since: float, calls_max: int) -> list[RecordedCall]:
    """Return the calls begun from `since` on (seconds since the epoch), in their order, at most `calls_max`."""
    return [
        RecordedCall(
            id=row["id"], domain=row["domain"], agent=row["agent"], user=row["user"], run=row["run"],
            kind=row["kind"], resource=row["resource"], action=row["action"],
            began=row["intent_time"] / MICROSECONDS,
            request=keyring.unseal("body", f"call/{row['id']}/request", row["sealed_request"]),
        )
        for row in await tx.rows(_CALLS, round(since * MICROSECONDS), calls_max)
    ]  # fmt: skip
