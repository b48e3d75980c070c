"""The one connection of an instance that writes to PostgreSQL: operations queued, committed in groups.

A group is one transaction. It begins with this instance's own row of `writer`, under the number of the
session, and writes its own number there. So after a lost connection the next one knows: it opens a new
session, which ends every right of the old one, and reads whether the group in question is in. Nothing
is guessed, nothing written twice. Operations must be repeatable until they are committed; where one
fails, the group is undone and written again with a savepoint around each.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Final, TypeVar

from durable import instances, past
from durable.chain import Chain
from durable.journal import JournalUnavailable
from durable.postgres_batch import Token
from durable.postgres_budgets import charged, lock
from durable.postgres_connection import LOST, PostgresWriting, is_lost, said_by
from durable.postgres_operation import Operation, Turn, apply, fail, sorted_out, together
from durable.postgres_schema import migrate
from durable.sql import Here
from durable.stamp import now

if TYPE_CHECKING:
    from collections.abc import Callable

    from durable.backend import Wakeups
    from durable.postgres_batch import Claims, Ends
    from durable.postgres_connection import Address, Connection
    from durable.postgres_lease import Lease
    from durable.sql import Write

Result = TypeVar("Result")

#: Operations of one transaction at most; bounds how long the first of a group waits for the last.
GROUP_MAX: Final = 256
#: How long an operation waits for a database that is away. What has happened upstream waits longer.
_PATIENCE_SECONDS: Final = {"outcome": 60.0, "doubt": 60.0, "released": 60.0}
_PATIENCE_SECONDS_ELSE: Final = 5.0
_BACK_OFF_SECONDS: Final = (0.02, 0.05, 0.1, 0.2, 0.5)
_CROSSINGS_MAX: Final = 8
_AWAY: Final = "the database cannot be reached"
_NEXT_SESSION: Final = "UPDATE writer SET session = session + 1 WHERE instance = $1 RETURNING session, written"
_LIVE: Final = "SELECT epoch FROM instance WHERE id = $1 AND epoch = $2 AND ended IS NULL"
#: chains are opened one after the other; any number that no other program of this database uses
_OPENING: Final = 0x6F6E636567617466
#: a restored backup and a promoted replica are on another timeline (the first eight digits of a log file's name),
#: another cluster has another identifier, a dump read in again is another database
_IDENTITY: Final = (
    "SELECT (SELECT system_identifier FROM pg_control_system()) || '/' || "
    "left(pg_walfile_name(pg_current_wal_lsn()), 8) || '/' || "
    "(SELECT oid FROM pg_database WHERE datname = current_database())"
)
#: groups, then twice as many, and so on
_REPLAN_FIRST: Final = 16
_GUARD: Final = "UPDATE writer SET written = $1 WHERE instance = $2 AND session = $3"
_NOTIFY: Final = "SELECT pg_notify('oncegate', names) FROM unnest($1::text[]) AS names"
#: a notification holds 8,000 bytes; a name about 60
_NAMES_A_NOTIFICATION: Final = 100


class _Fenced(Exception):  # noqa: N818 - says what is known
    """Another connection has ended this session: the instance was swept, or has connected anew."""


class Writer:
    """Owns the writing connection, the epoch and its audit chain."""

    def __init__(
        self, address: Address, instance: str, lease: Lease, wakeups: Wakeups, *,
        fatal: Callable[[str], None], crash_point: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._address = address
        self._instance = instance
        self._lease = lease
        self._wakeups = wakeups
        self._fatal = fatal
        self._crash_point = crash_point
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Operation[object]] = deque()
        self._wanted = asyncio.Event()
        self._closing = False
        self._dead: str | None = None
        #: when the database was last seen going away, `None` while it is there
        self._away: float | None = None
        self._connection: Connection | None = None
        self._session = 0
        self._written = 0
        self._chain = Chain(f"{instance}/0")
        self._replan_at = _REPLAN_FIRST
        #: whether the database may have become another one since the last group
        self._changed = False
        self.epoch = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect, begin the first epoch and start writing. Raises what `LOST` lists, `JournalRefused`."""
        self._connection = await self._address.connect("writer")
        await migrate(self._connection)
        await self._join(self._connection)
        self._task = asyncio.create_task(self._run())

    def here(self) -> Here:
        """Return who writes, now."""
        return Here(self._instance, self.epoch, now())

    def submit(
        self, name: str, work: Write[Result], late: Callable[[Result], None] | None = None
    ) -> asyncio.Future[Result]:
        """Queue `work`; the future has its result once it is durable. Raises `JournalUnavailable`."""
        patience = _PATIENCE_SECONDS.get(name, _PATIENCE_SECONDS_ELSE)
        clock = self._loop.time()
        if self._dead is not None or self._closing:
            raise JournalUnavailable(self._dead or "the journal is closed")
        if self._away is not None and self._away + patience < clock:
            raise JournalUnavailable(_AWAY)
        done: asyncio.Future[Result] = self._loop.create_future()
        self._queue.append(Operation(name, work, done, late, clock + patience))  # pyright: ignore[reportArgumentType] - results come back typed by their future
        self._wanted.set()
        return done

    async def aclose(self) -> None:
        """Write what is queued, end the epoch and the connection."""
        self._closing = True
        self._wanted.set()
        if self._task is not None:
            await self._task
        if self._connection is not None:
            with contextlib.suppress(*LOST):  # then the lease ends it
                await self._leave(self._connection)
            self._connection.terminate()

    async def rejoin(self) -> None:
        """Begin a new epoch where this instance was swept; nothing is written before that anyway."""

        async def nothing(_: object) -> None:
            return

        with contextlib.suppress(JournalUnavailable):
            await self.submit("epoch", nothing)

    # -- the task

    async def _run(self) -> None:
        while True:
            while not self._queue:
                if self._closing:
                    return
                self._wanted.clear()
                await self._wanted.wait()
            await self._replan()
            group = [self._queue.popleft() for _ in range(min(GROUP_MAX, len(self._queue)))]
            try:
                ends, claims, alone = sorted_out(group)
                alone += await self._commit_together(ends)
                alone += await self._commit_together(claims)
                await self._commit(alone)
            except Exception as error:
                # the outermost handler of this task: without it callers would wait for ever
                self._die(f"the journal failed ({type(error).__name__.lower()}) and is not written any more")
                fail([*group, *self._queue], str(self._dead))
                self._queue.clear()
                raise

    async def _replan(self) -> None:
        """Plan statements anew while the tables grow: a plan for small ones reads them whole."""
        if self._written >= self._replan_at and self._connection is not None:
            self._replan_at = max(2 * self._written, _REPLAN_FIRST)
            with contextlib.suppress(*LOST):  # then the next statement finds out
                await self._connection.execute("DISCARD PLANS")

    async def _commit_together(self, group: list[Operation[object]]) -> list[Operation[object]]:
        """Write operations of one kind in one statement; returns those that have to be written alone."""
        connection, number, chain, mark = self._connection, self._written + 1, self._chain, self._chain.mark()
        if not group or connection is None or self._changed:
            return group
        tx = PostgresWriting(connection, chain, self.here())
        charges = charged(one.work for one in group)
        try:
            if charges:  # before anything is read: what others have charged is in, and nothing is added meanwhile
                await connection.execute("BEGIN")
                await lock(connection, charges)
            batch = await together(tx, group)
            if batch is not None:
                await self._write_together(
                    tx, batch, Token(number, self._session), {one.name for one in group}, begun=bool(charges)
                )
            elif charges:
                await connection.execute("ROLLBACK")
        except LOST as error:
            if not self._lost(error):
                await self._undo(mark)
                return group
            await self._reconnect(group)
            if self._connection is None or self._written < number:
                chain.back_to(mark)
                return [one for one in group if not one.done.done()]
            tx.woken.clear()
            self._wakeups.wake_all()
        except Exception:  # noqa: BLE001 - written alone, the one whose error it is gets it
            await self._undo(mark)
            return group
        else:
            self._written = number if batch is not None else self._written
        self._resolve([one for one in group if one.result], tx.woken)
        return [one for one in group if not one.result]

    async def _write_together(
        self, tx: PostgresWriting, batch: Ends | Claims, token: Token, names: set[str], *, begun: bool
    ) -> None:
        telling = bool(tx.woken and self._lease.others)
        if telling and not begun:
            await tx.connection.execute("BEGIN")
        for name in names:
            self._crash_point(f"before_{name}_commit")
        await batch.write(token)
        if telling:
            await self._notify(tx.connection, tx.woken)
        if telling or begun:
            await tx.connection.execute("COMMIT")
        for name in names:
            self._crash_point(f"after_{name}_commit")

    async def _commit(self, group: list[Operation[object]]) -> None:
        """Write the group, however often that has to be begun; every operation has its answer after it."""
        number, turn = self._written + 1, Turn()
        while group := [one for one in group if not one.done.done()]:
            chain, mark = self._chain, self._chain.mark()
            try:
                woken = await self._write(group, number, careful=turn.careful)
            except _Fenced:
                await self._reconnect(group)
            except LOST as error:
                if self._lost(error):
                    await self._reconnect(group)
                    if self._connection is not None and self._written >= number:
                        return self._resolve(group, None)  # it was committed: only the word of it was lost
                    chain.back_to(mark)
                else:
                    await self._undo(mark)
                    if turn.hopeless(error):
                        return fail(group, f"the journal could not be written ({said_by(error)})")
            except Exception:  # an operation's own error: again, each on its own, and its caller gets it
                await self._undo(mark)
                if turn.careful:
                    raise
                turn.careful = True
            else:
                self._written = number
                return self._resolve(group, woken)
        return None

    async def _write(self, group: list[Operation[object]], number: int, *, careful: bool) -> list[str]:
        """Write the group in one transaction; returns whom it wakes. Raises `_Fenced`, and what `LOST` lists."""
        connection = self._connection
        if connection is None:
            raise OSError
        names = {operation.name for operation in group}
        tx = PostgresWriting(connection, self._chain, self.here())
        await connection.execute("BEGIN")
        await lock(connection, charged(operation.work for operation in group))
        if not await tx.execute(_GUARD, number, self._instance, self._session):
            await connection.execute("ROLLBACK")
            raise _Fenced
        if self._changed:  # before any claim of the group is decided
            await past.check_identity(tx, await connection.fetchval(_IDENTITY))
        for operation in group:
            operation.result.clear()
            operation.error = None
            if careful:
                await apply(tx, operation)
            else:
                operation.result.append(await operation.work(tx))
        await tx.flush()
        await self._notify(connection, tx.woken)
        for name in names:
            self._crash_point(f"before_{name}_commit")
        await connection.execute("COMMIT")
        self._changed = False
        for name in names:
            self._crash_point(f"after_{name}_commit")
        return tx.woken

    async def _notify(self, connection: Connection, woken: list[str]) -> None:
        if woken and self._lease.others:  # who starts just now looks every half second anyway
            size = _NAMES_A_NOTIFICATION
            await connection.execute(_NOTIFY, [" ".join(woken[at : at + size]) for at in range(0, len(woken), size)])

    def _lost(self, error: BaseException) -> bool:
        return self._connection is None or is_lost(self._connection, error)

    async def _undo(self, mark: tuple[int, bytes]) -> None:
        self._chain.back_to(mark)
        if self._connection is not None and not self._connection.is_closed():
            with contextlib.suppress(*LOST):  # then the next statement finds out
                await self._connection.execute("ROLLBACK")

    # -- a lost connection

    async def _reconnect(self, group: list[Operation[object]]) -> None:
        """Open a new session, trying for as long as this is not being closed; who waits too long is told."""
        turn = 0
        while self._dead is None:
            if self._connection is not None:
                self._connection.terminate()
                self._connection = None
            try:
                connection = await self._address.connect("writer")
                await self._reopen(connection)
            except LOST:
                clock = self._loop.time()
                self._away = clock if self._away is None else self._away
                waiting = [*group, *self._queue]
                fail([one for one in waiting if one.until < clock], _AWAY)
                self._queue = deque(one for one in self._queue if not one.done.done())
                if self._closing and self._away + _PATIENCE_SECONDS_ELSE < clock:
                    fail(waiting, _AWAY)
                    return
                await asyncio.sleep(_BACK_OFF_SECONDS[min(turn, len(_BACK_OFF_SECONDS) - 1)])
                turn += 1
            else:
                self._connection, self._away = connection, None
                return

    async def _reopen(self, connection: Connection) -> None:
        """End every right of the connections before this one, and learn what they had committed."""
        row = await connection.fetchrow(_NEXT_SESSION, self._instance)
        if row is None or row["written"] < self._written:
            self._die("the database has lost what it had acknowledged; the journal is not written any more")
            return
        self._session, self._written, self._changed = row["session"], row["written"], True
        ended = await connection.fetchval(
            "SELECT ended FROM instance WHERE id = $1 AND epoch = $2", self._instance, self.epoch
        )
        if ended is not None:
            await self._join(connection)

    async def _join(self, connection: Connection) -> None:
        """Begin an epoch, in a session of its own, and its audit chain."""
        sent = self._lease.boot_seconds()
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _OPENING)  # each chain names one before it
            before = await connection.fetchval("SELECT epoch FROM instance WHERE id = $1", self._instance)
            epoch = (before or 0) + 1
            chain = Chain(f"{self._instance}/{epoch}")
            tx = PostgresWriting(connection, chain, Here(self._instance, epoch, now()))
            self._session, self._written = await instances.open_session(tx)
            await instances.begin_epoch(tx, await self._lease.until(connection))
            await past.check_identity(tx, await connection.fetchval(_IDENTITY))
            await tx.flush()
        self.epoch, self._chain = epoch, chain
        self._lease.held(epoch, sent)

    async def _leave(self, connection: Connection) -> None:
        """End the epoch at once, so that nobody has to wait for its lease."""
        async with connection.transaction():
            tx = PostgresWriting(connection, self._chain, self.here())
            if await tx.execute(_GUARD, self._written, self._instance, self._session):
                await instances.end_epoch(tx, self._instance, self.epoch)
                await tx.flush()

    def _die(self, reason: str) -> None:
        if self._dead is None:
            self._dead = reason
            self._fatal(reason)

    def _resolve(self, group: list[Operation[object]], woken: list[str] | None) -> None:
        for operation in group:
            if operation.done.done():  # told that the database is away: the write stands all the same
                if operation.late is not None and operation.error is None:
                    operation.late(operation.result[0])
            elif operation.error is not None:
                operation.done.set_exception(operation.error)
                operation.done.exception()  # a write nobody waits for is no error of the loop
            else:
                operation.done.set_result(operation.result[0])
        if woken is None:
            self._wakeups.wake_all()
        else:
            self._wakeups.wake(woken)
