"""What is queued for the writer on PostgreSQL, and how operations are told apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from durable.claim import Claiming
from durable.ends import Auditing, Moving, Settling
from durable.journal import JournalUnavailable
from durable.postgres_batch import Claims, Ends
from durable.postgres_connection import CROSSED, LOST, is_lost, said_by
from durable.replays import Handing

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from durable.postgres_connection import PostgresWriting
    from durable.sql import Write

Result = TypeVar("Result")

_CROSSINGS_MAX: Final = 8


@dataclass(slots=True, eq=False)
class Operation(Generic[Result]):
    """Something to write. `name` is where crash points and messages refer to it."""

    name: str
    work: Write[Result]
    done: asyncio.Future[Result]
    late: Callable[[Result], None] | None
    until: float
    result: list[Result] = field(default_factory=list["Result"])
    error: Exception | None = None


@dataclass(slots=True)
class Turn:
    """How often a group was tried, and whether each of its operations stands on its own."""

    careful: bool = False
    crossings: int = 0

    def hopeless(self, error: BaseException) -> bool:
        """Note a refused statement; returns whether to try again would make no difference."""
        if isinstance(error, CROSSED):
            self.crossings += 1
            return self.crossings > _CROSSINGS_MAX
        careful, self.careful = self.careful, True
        return careful


def sorted_out(
    group: list[Operation[object]],
) -> tuple[list[Operation[object]], list[Operation[object]], list[Operation[object]]]:
    """Return the ends, the claims and the rest of a group.

    All of a group are asked at once, so any order is a right one, but for replays: those nobody waits
    for, and what was asked after them must find them written.
    """
    ends: list[Operation[object]] = []
    claims: list[Operation[object]] = []
    rest: list[Operation[object]] = []
    ended: set[str] = set()
    for one in group:
        work = one.work
        if isinstance(work, Settling | Moving) and work.began.id not in ended:
            ended.add(work.began.id)
            ends.append(one)
        elif isinstance(work, Auditing | Handing):
            ends.append(one)
        else:
            (claims if isinstance(work, Claiming) else rest).append(one)
    return ends, claims, rest


async def together(tx: PostgresWriting, group: list[Operation[object]]) -> Ends | Claims | None:
    """Decide operations of one kind, their results with it; returns what writes them, `None` for nothing."""
    for one in group:
        one.result.clear()
        one.error = None
    claiming = [one.work for one in group if isinstance(one.work, Claiming)]
    if claiming:
        claims = Claims(tx, claiming)
        anything = await claims.decide()
        for one, decided in zip(group, claims.results, strict=True):
            if decided is not None:
                one.result.append(decided)
        return claims if anything else None
    ends = Ends(tx, [one.work for one in group if isinstance(one.work, Settling | Moving | Auditing | Handing)])
    for one, came_to in zip(group, ends.results, strict=True):
        one.result.append(came_to)
    return ends


async def apply(tx: PostgresWriting, operation: Operation[object]) -> None:
    """Do one operation on its own, so that its failure undoes nothing else."""
    mark = tx.mark()
    await tx.connection.execute("SAVEPOINT operation")
    try:
        operation.result.append(await operation.work(tx))
    except CROSSED:
        raise
    except LOST as error:
        if is_lost(tx.connection, error):
            raise
        operation.error = JournalUnavailable(f"the journal could not be written ({said_by(error)})")
    except Exception as error:  # noqa: BLE001 - the caller's own errors go to the caller, whatever they are
        operation.error = error
    if operation.error is not None:
        await tx.connection.execute("ROLLBACK TO operation")
        tx.back_to(mark)
    await tx.connection.execute("RELEASE operation")


def fail(group: list[Operation[object]], reason: str) -> None:
    """Tell all who still wait that the journal is not available."""
    for operation in group:
        if not operation.done.done():
            operation.done.set_exception(JournalUnavailable(reason))
            operation.done.exception()
