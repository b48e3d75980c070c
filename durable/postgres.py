"""The shared store: a PostgreSQL database, any number of gateway instances (DESIGN section 5)."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from durable.backend import Wakeups
from durable.chain import Link
from durable.journal import JournalRefused, JournalUnavailable
from durable.postgres_connection import LOST, Address, PostgresReading, is_ending, is_lost, said_by
from durable.postgres_facts import read_facts
from durable.postgres_lease import Lease
from durable.postgres_schema import migrate
from durable.postgres_writer import Writer
from durable.steps import SqlView
from durable.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine

    from durable.postgres_connection import Connection
    from durable.rules import View
    from durable.seal import Keyring
    from durable.sql import Here, Read, Write
    from durable.step import Step

Result = TypeVar("Result")

_LINKS: Final = "SELECT chain, number, record, hash FROM audit ORDER BY sequence"
_READERS_MAX: Final = 4
#: how long a read waits for a database that is away
_PATIENCE_SECONDS: Final = 5.0
_BACK_OFF_SECONDS: Final = 0.1
_POLL_SECONDS: Final = 0.5


def _ignore(_: str) -> None:
    """Take no notice: the default for crash points and fatal errors in tests."""


async def open_postgres(
    url: str,
    *,
    keyring: Keyring,
    lease_seconds: float = 10.0,
    password: str | None = None,
    fatal: Callable[[str], None] = _ignore,
    crash_point: Callable[[str], None] = _ignore,
) -> Store:
    """Return the store in the database at `url` (`postgresql://user@host:port/database`), made when this role may.

    `lease_seconds` is how long this instance may be silent before others take over its work. `fatal` is
    called once when the database was found to have lost what it acknowledged: the process must end.
    `crash_point` is called with the names of points around commits (`before_intent_commit`, …) for tests.
    Raises `JournalRefused`.
    """
    backend = PostgresBackend(Address(url, password), lease_seconds, fatal, crash_point)
    try:
        await backend.start()
    except (*LOST, ValueError) as error:
        await backend.abandon()
        raise JournalRefused(f"`state`: the database cannot be used ({said_by(error)})") from None
    except JournalRefused:
        await backend.abandon()
        raise
    return Store(backend, keyring)


async def migrate_postgres(url: str, password: str | None = None) -> None:
    """Bring the database's schema to this program's version, as its owner. Raises `JournalRefused`."""
    try:
        connection = await Address(url, password).connect("migration")
        try:
            await migrate(connection)
        finally:
            await connection.close()
    except (*LOST, ValueError) as error:
        raise JournalRefused(f"`state`: the database cannot be used ({said_by(error)})") from None


async def read_postgres_links(url: str, password: str | None = None) -> AsyncIterator[Link]:
    """Yield the audit's links in order, as one state of the database. Raises `JournalRefused`."""
    try:
        connection = await Address(url, password).connect("audit")
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                async for row in connection.cursor(_LINKS):
                    yield Link(row["chain"], row["number"], row["record"], row["hash"])
        finally:
            await connection.close()
    except (*LOST, ValueError) as error:
        raise JournalRefused(f"`state`: the audit cannot be read ({said_by(error)})") from None


async def read_postgres_anchors(url: str, password: str | None = None) -> list[str]:
    """Return the signed statements under which the audit was pruned. Raises `JournalRefused`."""
    try:
        connection = await Address(url, password).connect("audit")
        try:
            rows = await connection.fetch("SELECT DISTINCT line FROM audit_anchor")
        finally:
            await connection.close()
    except (*LOST, ValueError) as error:
        raise JournalRefused(f"`state`: the audit cannot be read ({said_by(error)})") from None
    return [row["line"] for row in rows]


class Readers:
    """A few connections that read; a broken one is replaced, a read is repeated."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._free: deque[Connection] = deque()
        self._places = asyncio.Semaphore(_READERS_MAX)
        #: when the database was last seen going away, `None` while it is there
        self._away: float | None = None

    async def read(self, work: Callable[[PostgresReading], Coroutine[Any, Any, Result]]) -> Result:
        """Return what `work` reads. Raises `JournalUnavailable`."""
        loop = asyncio.get_running_loop()
        turn = 0
        while True:
            try:
                async with self._connection(fresh=turn > 0) as connection:
                    found = await work(PostgresReading(connection))
            except LOST as error:
                clock = loop.time()
                self._away = clock if self._away is None else self._away
                if clock > self._away + _PATIENCE_SECONDS or not is_ending(error):
                    raise JournalUnavailable(f"the journal could not be read ({said_by(error)})") from None
            else:
                self._away = None
                return found
            await asyncio.sleep(_BACK_OFF_SECONDS if turn else 0)
            turn += 1

    async def aclose(self) -> None:
        """Let the connections go."""
        while self._free:
            self._free.popleft().terminate()

    @asynccontextmanager
    async def _connection(self, *, fresh: bool) -> AsyncGenerator[Connection]:
        async with self._places:
            while fresh and self._free:  # what broke one has broken all
                self._free.popleft().terminate()
            connection = self._free.pop() if self._free else await self._address.connect("reader")
            try:
                yield connection
            except LOST as error:
                if is_lost(connection, error):
                    connection.terminate()
                raise
            except asyncio.CancelledError:
                connection.terminate()
                raise
            finally:
                if not connection.is_closed():
                    self._free.append(connection)


class PostgresBackend:
    """`durable.backend.Backend` on a database that other instances share."""

    def __init__(
        self, address: Address, lease_seconds: float, fatal: Callable[[str], None], crash_point: Callable[[str], None]
    ) -> None:
        instance = f"i{secrets.token_hex(8)}"
        self.wakeups = Wakeups()
        self.poll_seconds: float | None = _POLL_SECONDS
        self._readers = Readers(address)
        self._lease = Lease(address, instance, lease_seconds, self.wakeups, crash_point)
        self._writer = Writer(address, instance, self._lease, self.wakeups, fatal=fatal, crash_point=crash_point)
        self._closed = False

    async def start(self) -> None:
        """Connect, bring the schema up to date where this role may, begin the epoch, sweep who has ended."""
        await self._writer.start()
        await self._lease.start(self._writer.rejoin)

    async def abandon(self) -> None:
        """Let go of what `start` had got."""
        self._closed = True
        await self._lease.aclose()
        await self._writer.aclose()

    def here(self) -> Here:
        """Return who this is, now."""
        return self._writer.here()

    def submit(
        self, name: str, work: Write[Result], late: Callable[[Result], None] | None = None
    ) -> asyncio.Future[Result]:
        """Queue `work` for the writer. Raises `JournalUnavailable`."""
        return self._writer.submit(name, work, late)

    async def read(self, work: Read[Result]) -> Result:
        """Return what `work` reads. Raises `JournalUnavailable`."""
        if self._closed:
            raise JournalUnavailable("the journal is closed")
        return await self._readers.read(work)

    async def survey(self, work: Read[Result]) -> Result:
        """Return what `work` reads. Raises `JournalUnavailable`."""
        return await self.read(work)

    async def look(self, step: Step, rules: Callable[[View, Step], Coroutine[Any, Any, Result]]) -> Result:
        """Return what `rules` make of the facts, most of them read in one query. Raises `JournalUnavailable`."""

        async def work(tx: PostgresReading) -> Result:
            return await rules(await read_facts(tx.connection, [step], behind=SqlView(tx)), step)

        if self._closed:
            raise JournalUnavailable("the journal is closed")
        return await self._readers.read(work)

    def may_send(self) -> bool:
        """Return whether this instance still holds its lease."""
        return self._lease.may_send()

    async def note_head(self) -> None:
        """Do nothing: a database says itself on which timeline it is."""

    async def aclose(self) -> None:
        """Write what is queued, end the epoch, let the database go."""
        if self._closed:
            return
        self._closed = True
        await self._writer.aclose()
        await self._lease.aclose()
        await self._readers.aclose()
