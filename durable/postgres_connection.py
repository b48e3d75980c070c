"""Connections to PostgreSQL: how they are opened, what bounds them, and which errors end them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import asyncpg

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from durable.chain import Chain, Link
    from durable.sql import Here, Row

    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

_CONNECT_SECONDS_MAX: Final = 5.0
#: ended by the server, and by us where the network has gone silent
_STATEMENT_SECONDS_MAX: Final = 10.0
_SILENCE_SECONDS_MAX: Final = 15.0
#: rows are held for milliseconds; who waits longer gives way and tries again
_LOCK_SECONDS_MAX: Final = 3.0
_STATEMENTS_CACHED_MAX: Final = 400

#: The connection cannot be used, or must not be trusted, any more.
LOST: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that broke in the middle of an answer
    OSError,
    TimeoutError,
)
#: Two instances in each other's way: the same again a moment later.
CROSSED: Final = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.LockNotAvailableError)

#: the server is going down, or coming up
_ENDING: Final = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03"})
_LINKS: Final = (
    "INSERT INTO audit (chain, number, record, hash) "
    "SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::bytea[]) ORDER BY 1, 2"
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the database is: a `postgresql://` URL, and the password, kept apart from it."""

    url: str
    password: str | None = None

    async def connect(self, purpose: str) -> Connection:
        """Return a connection. Raises what `LOST` lists."""
        connection: Connection = await asyncpg.connect(
            self.url,
            password=self.password,
            timeout=_CONNECT_SECONDS_MAX,
            command_timeout=_SILENCE_SECONDS_MAX,
            statement_cache_size=_STATEMENTS_CACHED_MAX,
            max_cached_statement_lifetime=0,
            server_settings={
                "application_name": f"oncegate {purpose}",
                "statement_timeout": f"{_STATEMENT_SECONDS_MAX:.0f}s",
                "lock_timeout": f"{_LOCK_SECONDS_MAX:.0f}s",
                "idle_in_transaction_session_timeout": f"{_STATEMENT_SECONDS_MAX:.0f}s",
                "jit": "off",
                # every statement finds its rows by an index, however few there are when it is first planned
                "plan_cache_mode": "force_generic_plan",
                "enable_seqscan": "off",
                "enable_hashjoin": "off",
                "enable_mergejoin": "off",
                "enable_material": "off",
                "enable_bitmapscan": "off",
            },
        )
        # a database set to acknowledge what is not on disk yet would make promises for us
        if await connection.fetchval("SHOW synchronous_commit") == "off":
            await connection.execute("SET synchronous_commit = on")
        return connection


def said_by(error: BaseException) -> str:
    """Return what is known of a database error: its code, never a value of the statement."""
    if isinstance(error, asyncpg.PostgresError):
        return f"SQLSTATE {error.sqlstate}"
    return "no answer in time" if isinstance(error, TimeoutError) else "the connection broke"


def is_lost(connection: Connection, error: BaseException) -> bool:
    """Return whether the connection has ended, or says so, rather than refused one statement."""
    return connection.is_closed() or is_ending(error)


def is_ending(error: BaseException) -> bool:
    """Return whether the error is about the connection or the server, and not about one statement."""
    if not isinstance(error, asyncpg.PostgresError):
        return True
    return error.sqlstate.startswith("08") or error.sqlstate in _ENDING


def touched(status: str) -> int:
    """Return the number of rows of a command's status, `UPDATE 3`."""
    count = status.rpartition(" ")[2]
    return int(count) if count.isdigit() else 0


class PostgresReading:
    """`durable.sql.Transaction` on one connection; each statement sees what was committed before it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def row(self, sql: str, *arguments: object) -> Row | None:
        """Return the first row or `None`."""
        return await self.connection.fetchrow(sql, *arguments)

    async def rows(self, sql: str, *arguments: object) -> Sequence[Row]:
        """Return all rows."""
        return await self.connection.fetch(sql, *arguments)


class PostgresWriting(PostgresReading):
    """`durable.sql.Writing` in the transaction that is open on the connection.

    Audit records are linked at once and written together at its end.
    """

    def __init__(self, connection: Connection, chain: Chain, here: Here) -> None:
        super().__init__(connection)
        self.here = here
        self.chain = chain.name
        self.woken: list[str] = []
        self.links: list[Link] = []
        self._chain = chain

    async def execute(self, sql: str, *arguments: object) -> int:
        """Write; returns the number of rows touched."""
        return touched(await self.connection.execute(sql, *arguments))

    def audit(self, records: Sequence[Mapping[str, object]]) -> None:
        """Link the records to the chain. Raises `TypeError` on a float."""
        for record in records:
            self.links.append(self._chain.link(record, time_microseconds=self.here.now))

    def wake(self, name: str) -> None:
        """Wake who waits for `name` once this is committed."""
        self.woken.append(name)

    def mark(self) -> tuple[int, int, tuple[int, bytes]]:
        """Return what to go back to when one operation of the group fails."""
        return len(self.links), len(self.woken), self._chain.mark()

    def back_to(self, mark: tuple[int, int, tuple[int, bytes]]) -> None:
        """Forget what was linked and woken since `mark`."""
        links, woken, chain = mark
        del self.links[links:]
        del self.woken[woken:]
        self._chain.back_to(chain)

    async def flush(self) -> None:
        """Write the links."""
        if self.links:
            await self.connection.execute(
                _LINKS, self.links[0].chain, [one.number for one in self.links],
                [one.text for one in self.links], [one.hash for one in self.links],
            )  # fmt: skip
            self.links.clear()
