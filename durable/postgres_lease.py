"""The lease of one instance on PostgreSQL: heartbeats by the database's clock, and the sweep of those who ended.

The local deadline counts on the boot clock (which goes on while the machine sleeps) from when the
heartbeat was sent, so it is always over before the database's. One connection also hears notifications.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from durable import instances
from durable.chain import Chain
from durable.postgres_connection import LOST, PostgresWriting
from durable.sql import Here
from durable.stamp import MICROSECONDS, now

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from durable.backend import Wakeups
    from durable.postgres_connection import Address, Connection

_BEATS_A_LEASE: Final = 4
_CLOCK: Final = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"
_BEAT: Final = f"UPDATE instance SET lease_until = {_CLOCK} + $1 WHERE id = $2 AND epoch = $3 AND ended IS NULL"  # noqa: S608 - constant
_OTHERS: Final = f"SELECT lease_until < {_CLOCK} AS expired FROM instance WHERE ended IS NULL AND id <> $1"  # noqa: S608 - constant
_EXPIRED: Final = (
    f"SELECT id, epoch FROM instance WHERE ended IS NULL AND id <> $1 AND lease_until < {_CLOCK} "  # noqa: S608 - constant
    "ORDER BY id FOR UPDATE SKIP LOCKED"
)
_FENCE: Final = "UPDATE writer SET session = session + 1 WHERE instance = $1"
_HEAD: Final = "SELECT number, hash FROM audit WHERE chain = $1 ORDER BY number DESC LIMIT 1"
_BOOT_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Lease:
    """The lease of this instance, kept by a task; `swept` is called when another instance has ended it."""

    def __init__(
        self, address: Address, instance: str, seconds: float, wakeups: Wakeups, crash_point: Callable[[str], None]
    ) -> None:
        self._address = address
        self._instance = instance
        self._seconds = seconds
        self._wakeups = wakeups
        self._crash_point = crash_point
        self._epoch = 0
        self._deadline = 0.0
        #: how many other instances were live at the last heartbeat
        self.others = 0
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None

    def boot_seconds(self) -> float:
        """Return the boot clock, which counts suspended time too."""
        return time.clock_gettime(_BOOT_CLOCK)

    def may_send(self) -> bool:
        """Return whether the lease is held for certain."""
        return self.boot_seconds() < self._deadline

    def held(self, epoch: int, sent: float) -> None:
        """Note that a heartbeat sent at `sent` (boot clock) was taken, for this epoch."""
        self._epoch, self._deadline = epoch, sent + self._seconds

    async def until(self, connection: Connection) -> int:
        """Return until when a lease begun now is held, by the database's clock, in microseconds."""
        return await connection.fetchval(f"SELECT {_CLOCK} + $1::bigint", self._microseconds())

    async def start(self, swept: Callable[[], Awaitable[None]]) -> None:
        """Connect, take over what ended instances have left, and keep the lease. Raises what `LOST` lists."""
        await self._connect()
        await self._beat(swept)
        self._task = asyncio.create_task(self._keep(swept))

    async def aclose(self) -> None:
        """Keep the lease no longer."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._deadline = 0.0
        if self._connection is not None:
            self._connection.terminate()

    async def _keep(self, swept: Callable[[], Awaitable[None]]) -> None:
        pause = self._seconds / _BEATS_A_LEASE
        while True:
            await asyncio.sleep(pause)
            try:
                async with asyncio.timeout(self._seconds / 2):
                    if self._connection is None or self._connection.is_closed():
                        await self._connect()
                    await self._beat(swept)
                pause = self._seconds / _BEATS_A_LEASE
            except LOST:
                if self._connection is not None:
                    self._connection.terminate()
                self._connection = None
                pause = min(0.1, self._seconds / _BEATS_A_LEASE)

    async def _connect(self) -> None:
        self._connection = await self._address.connect("lease")
        await self._connection.add_listener("oncegate", self._heard)
        self._wakeups.wake_all()  # what was said meanwhile was not heard

    def _heard(self, _connection: object, _process: int, _channel: str, names: object) -> None:
        self._wakeups.wake(str(names).split())

    async def _beat(self, swept: Callable[[], Awaitable[None]]) -> None:
        connection, epoch = self._connection, self._epoch
        if connection is None:
            return
        sent = self.boot_seconds()
        if await connection.execute(_BEAT, self._microseconds(), self._instance, epoch) == "UPDATE 1":
            self.held(epoch, sent)
        else:
            self._deadline = 0.0
            await swept()
        others = await connection.fetch(_OTHERS, self._instance)
        self.others = len(others)
        if any(row["expired"] for row in others):
            await self._sweep(connection)

    async def _sweep(self, connection: Connection) -> None:
        """Take over what expired instances have left, each whole or not at all, all in one transaction."""
        woken: list[str] = []
        async with connection.transaction():
            for row in await connection.fetch(_EXPIRED, self._instance):
                await connection.execute(_FENCE, row["id"])
                name = f"{row['id']}/{row['epoch']}"
                chain, head = Chain(name), await connection.fetchrow(_HEAD, name)
                if head is not None:
                    chain.back_to((head["number"], head["hash"]))
                tx = PostgresWriting(connection, chain, Here(self._instance, self._epoch, now()))
                await instances.end_epoch(tx, row["id"], row["epoch"])
                await tx.flush()
                woken += tx.woken
            for name in woken:
                await connection.execute("SELECT pg_notify('oncegate', $1)", name)
            self._crash_point("before_sweep_commit")
        self._crash_point("after_sweep_commit")

    def _microseconds(self) -> int:
        return round(self._seconds * MICROSECONDS)
