"""Budgets where several instances write: one at a time holds a counter, and whole groups are charged at once.

An instance takes the locks of all counters of a group before anything else in the transaction, in the order
of their keys: no two instances can wait for each other, and none reads what another is about to change.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from durable.claim import Claiming
from durable.ends import Moving, Releasing, Settling

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from durable.postgres_connection import Connection
    from durable.step import Charge

#: the first half of the locks' keys; any number that no other program of this database uses
_CLASS: Final = 0x6F6E6365
_LOCK: Final = "SELECT pg_advisory_xact_lock($1, key) FROM unnest($2::int[]) AS key"
_READ: Final = (
    "SELECT budget.counter, budget.bucket, budget.spent + budget.reserved AS taken "
    "FROM unnest($1::text[], $2::bigint[]) AS asked(counter, since) "
    "JOIN LATERAL (SELECT * FROM budget WHERE budget.counter = asked.counter AND budget.bucket >= asked.since) "
    "AS budget ON true"
)
_RESERVE: Final = (
    "INSERT INTO budget (counter, bucket, name, measure, subject, most, reserved, kept_until) "
    "SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], "
    "$8::bigint[]) ON CONFLICT (counter, bucket) DO UPDATE SET reserved = budget.reserved + excluded.reserved, "
    "most = excluded.most, kept_until = greatest(budget.kept_until, excluded.kept_until)"
)
_SETTLE: Final = (
    "UPDATE budget SET spent = budget.spent + moved.spent, reserved = budget.reserved - moved.reserved "
    "FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) AS moved(counter, bucket, spent, reserved) "
    "WHERE budget.counter = moved.counter AND budget.bucket = moved.bucket"
)


def charged(works: Iterable[object]) -> list[Charge]:
    """Return every charge of what is to be written."""
    found: list[Charge] = []
    for work in works:
        if isinstance(work, Claiming):
            found += work.wanted.intent.charges
        elif isinstance(work, Settling | Moving | Releasing):
            found += work.began.charges
    return found


async def lock(connection: Connection, charges: Sequence[Charge]) -> None:
    """Hold the counters of `charges` until the transaction ends; the first thing in it."""
    if charges:
        await connection.fetch(_LOCK, _CLASS, sorted({_key(one.counter) for one in charges}))


async def read_taken(connection: Connection, charges: Sequence[Charge]) -> dict[str, list[tuple[int, int]]]:
    """Return, by counter, what is taken in each of its buckets that count."""
    since: dict[str, int] = {}
    for one in charges:
        since[one.counter] = min(one.since, since.get(one.counter, one.since))
    found: dict[str, list[tuple[int, int]]] = {counter: [] for counter in since}
    for row in await connection.fetch(_READ, list(since), list(since.values())):
        found[row["counter"]].append((row["bucket"], row["taken"]))
    return found


async def reserve(connection: Connection, charges: Iterable[Charge]) -> None:
    """Reserve what calls are charged; a statement may touch a counter's bucket only once."""
    sums: dict[tuple[str, int], tuple[Charge, int]] = {}
    for one in charges:
        _, amount = sums.get((one.counter, one.bucket), (one, 0))
        sums[one.counter, one.bucket] = one, amount + one.amount
    rows = [
        (one.counter, one.bucket, one.budget, one.measure, one.subject, one.most, amount, one.kept_until)
        for one, amount in sums.values()
    ]
    if rows:
        await connection.execute(_RESERVE, *(list(column) for column in zip(*rows, strict=True)))


async def settle(connection: Connection, moves: Iterable[tuple[str, int, int, int]]) -> None:
    """Put what calls have taken in the place of what they had reserved (`budgets.moves`)."""
    sums: dict[tuple[str, int], tuple[int, int]] = {}
    for counter, bucket, spent, reserved in moves:
        before = sums.get((counter, bucket), (0, 0))
        sums[counter, bucket] = before[0] + spent, before[1] + reserved
    rows = [(*place, *both) for place, both in sums.items()]
    if rows:
        await connection.execute(_SETTLE, *(list(column) for column in zip(*rows, strict=True)))


def _key(counter: str) -> int:
    return int.from_bytes(hashlib.sha256(counter.encode()).digest()[:4], "big", signed=True)
