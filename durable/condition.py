"""How a store stands, read beside a running gateway: what is open, what is old, what is damaged."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

from durable import past, rewrap
from durable.journal import JournalRefused
from durable.postgres_connection import LOST, Address, PostgresReading, said_by
from durable.schema import SCHEMA_VERSION
from durable.sql import drive
from durable.sqlite_transaction import SqliteReading
from durable.stamp import MICROSECONDS, now

if TYPE_CHECKING:
    from pathlib import Path

    from durable.seal import Keyring
    from durable.sql import Row, Transaction

Result = TypeVar("Result")

#: A gateway's commits take milliseconds: between two of them others get their turn.
_LOCK_SECONDS_MAX: Final = 3.0

_UNSETTLED: Final = (
    "SELECT state, count(*) AS number, min(sent_time) AS oldest FROM call WHERE state IN ('intent', 'doubt', 'held') "
    "GROUP BY state"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What was found. Times are seconds: `oldest_seconds` how long the oldest doubt has waited.

    `instances` counts gateway processes that hold their lease, `silent` those that do not and were not swept.
    `unopened` is a table with a value that no key opens; `locked`: for seconds nobody else could begin to write.
    """

    schema: int
    doubts: int
    held: int
    oldest_seconds: float
    approvals: int
    rolled_back: float | None
    older_seals: int
    instances: int
    silent: int
    damage: str | None = None
    unopened: str | None = None
    locked: bool = False

    @property
    def newer(self) -> bool:
        """Whether a newer program has written this store."""
        return self.schema > SCHEMA_VERSION


def of_sqlite(path: Path, keyring: Keyring) -> Condition:
    """Return how the store in a file stands; `damage` where its pages do not hold together.

    Raises `FileNotFoundError`, and `JournalRefused` when it is no journal.
    """
    if not path.exists():
        raise FileNotFoundError(path)
    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            (damage,) = database.execute("PRAGMA quick_check(1)").fetchone()
            (schema,) = database.execute("PRAGMA user_version").fetchone()
            found = drive(_condition(SqliteReading(database), keyring, schema, None if damage == "ok" else damage))
            return replace(found, locked=_locked(path))
    except sqlite3.Error as error:
        name = error.sqlite_errorname if hasattr(error, "sqlite_errorname") else "SQLITE_ERROR"
        raise JournalRefused(f"`{path}`: expected a journal ({name})") from None


async def of_postgres(url: str, password: str | None, keyring: Keyring) -> Condition:
    """Return how the store in a database stands. Raises `JournalRefused` when it cannot be read."""
    try:
        connection = await Address(url, password).connect("doctor")
        try:
            schema = await connection.fetchval("SELECT version FROM schema_version")
            return await _condition(PostgresReading(connection), keyring, schema or 0, None)
        finally:
            await connection.close()
    except (*LOST, ValueError) as error:
        raise JournalRefused(f"`state`: the database cannot be read ({said_by(error)})") from None


async def _condition(tx: Transaction, keyring: Keyring, schema: int, damage: str | None) -> Condition:
    if schema != SCHEMA_VERSION:  # its tables are not those this program knows
        return Condition(
            schema=schema, doubts=0, held=0, oldest_seconds=0.0, approvals=0, rolled_back=None, older_seals=0,
            instances=0, silent=0, damage=damage,
        )  # fmt: skip
    states = {row["state"]: row for row in await tx.rows(_UNSETTLED)}
    since = await past.rolled_back(tx)
    approvals = await tx.row("SELECT count(*) AS number FROM approval WHERE state = 'pending'")
    epochs = await tx.rows("SELECT lease_until FROM instance WHERE ended IS NULL")
    moment = now()
    alive = sum(1 for row in epochs if row["lease_until"] == 0 or row["lease_until"] > moment)
    waiting = [states[name]["oldest"] for name in ("doubt", "held") if name in states]
    return Condition(
        schema=schema, doubts=_number(states.get("doubt")), held=_number(states.get("held")),
        oldest_seconds=(moment - min(waiting)) / MICROSECONDS if waiting else 0.0, approvals=_number(approvals),
        rolled_back=None if since is None else since / MICROSECONDS,
        older_seals=await rewrap.count_older(tx, keyring) if keyring.rotating else 0,
        instances=alive, silent=len(epochs) - alive, damage=damage, unopened=await rewrap.unopened(tx, keyring),
    )  # fmt: skip


def _locked(path: Path) -> bool:
    """Return whether another process keeps everybody from writing; nothing is written."""
    if not os.access(path, os.W_OK):
        return False
    address = f"{path.resolve().as_uri()}?mode=rw"
    with contextlib.closing(
        sqlite3.connect(address, uri=True, timeout=_LOCK_SECONDS_MAX, isolation_level=None)
    ) as database:
        try:
            database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            return error.sqlite_errorcode == sqlite3.SQLITE_BUSY
        database.execute("ROLLBACK")
    return False


def _number(row: Row | None) -> int:
    return 0 if row is None else row["number"]
