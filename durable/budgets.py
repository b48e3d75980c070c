"""The SQL of budgets: what calls have reserved and spent, by counter and bucket.

A counter is one measure of one budget for one subject. What counts against its bound stands in buckets: a
calendar window is one, a sliding window the sum of its newest. A call reserves in the transaction of its
intent and settles in that of its outcome; what it reserved stands beside it, in `call.charges`, for whoever
has to settle it instead: an operator, or the instance that takes it over.

Where several instances write, they hold the counters' locks first, in one order (`postgres_budgets.py`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, cast

from durable.records import BudgetRecord
from durable.stamp import MICROSECONDS
from durable.step import OverBudget

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from durable.rules import View
    from durable.sql import Row, Transaction, Writing
    from durable.step import Began, Charge, Spent, Unit

    #: counter and bucket
    Place = tuple[str, int]

_TAKEN: Final = (
    "SELECT CAST(coalesce(sum(spent + reserved), 0) AS BIGINT) AS taken FROM budget WHERE counter = $1 AND bucket >= $2"
)
_BUCKETS: Final = (
    "SELECT bucket, spent + reserved AS taken FROM budget WHERE counter = $1 AND bucket >= $2 ORDER BY bucket"
)
_RESERVE: Final = (
    "INSERT INTO budget (counter, bucket, name, measure, subject, most, reserved, kept_until) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (counter, bucket) DO UPDATE SET "
    "reserved = budget.reserved + excluded.reserved, most = excluded.most, kept_until = "
    "CASE WHEN excluded.kept_until > budget.kept_until THEN excluded.kept_until ELSE budget.kept_until END"
)
_MOVE: Final = "UPDATE budget SET spent = spent + $1, reserved = reserved - $2 WHERE counter = $3 AND bucket = $4"
_READ: Final = (
    "SELECT subject, measure, min(bucket) AS since, CAST(sum(spent) AS BIGINT) AS spent, "
    "CAST(sum(reserved) AS BIGINT) AS reserved, "
    "(SELECT newest.most FROM budget newest WHERE newest.counter = budget.counter ORDER BY newest.bucket DESC LIMIT 1) "
    "AS most FROM budget WHERE name = $1 AND bucket >= $2 AND (CAST($3 AS TEXT) IS NULL OR subject = $3) "
    "AND (subject, measure) > ($5, $6) GROUP BY counter, subject, measure ORDER BY subject, measure LIMIT $4"
)


async def taken(tx: Transaction, counter: str, since: int) -> int:
    """Return what is spent and reserved of a counter in its buckets from `since` on."""
    row = await tx.row(_TAKEN, counter, since)
    return 0 if row is None else row["taken"]


async def buckets(tx: Transaction, counter: str, since: int) -> list[tuple[int, int]]:
    """Return the buckets of a counter from `since` on, the oldest first, with what is spent and reserved in each."""
    return [(row["bucket"], row["taken"]) for row in await tx.rows(_BUCKETS, counter, since)]


async def over(view: View, charges: Sequence[Charge], back: Mapping[Place, int] | None = None) -> OverBudget | None:
    """Return the first budget that has no room for its charge, counting as free what is given `back`."""
    for charge in charges:
        used = await view.taken(charge.counter, charge.since)
        if back:
            used -= sum(
                amount for (name, bucket), amount in back.items() if name == charge.counter and bucket >= charge.since
            )
        if used + charge.amount > charge.most:
            return OverBudget(charge, used, await _room_at(view, charge, used))
    return None


async def _room_at(view: View, charge: Charge, used: int) -> int | None:
    """Return from when on the charge has room if nothing else is taken (microseconds), `None`: it never has.

    What stands in a bucket counts no more as long after the bucket's begin as `until` is after `since`.
    """
    if charge.until is None or charge.amount > charge.most:
        return None
    until = charge.until
    for bucket, amount in await view.buckets(charge.counter, charge.since):
        until = bucket + charge.until - charge.since
        used -= amount
        if used + charge.amount <= charge.most:
            break
    return until


def text_of(charges: Sequence[Charge]) -> str | None:
    """Return what was reserved as it stands beside its call."""
    if not charges:
        return None
    return json.dumps([(one.counter, one.bucket, one.unit, one.amount) for one in charges], separators=(",", ":"))


def returned(row: Row) -> dict[Place, int]:
    """Return what a call that is begun again gives back of what it reserved before.

    The same call counts once, however often it is executed. Tokens and money of an execution that perhaps
    happened stay taken, unless somebody has said that it did not.
    """
    return {(counter, bucket): amount for counter, bucket, unit, amount in _kept(row) if _comes_back(row, unit)}


async def give_up(tx: Writing, row: Row) -> None:
    """Settle what a call in doubt had reserved before it was begun again."""
    await _move(tx, [
        (counter, bucket, 0 if _comes_back(row, unit) else amount, amount)
        for counter, bucket, unit, amount in _kept(row)
    ])  # fmt: skip


async def spend(tx: Writing, row: Row) -> None:
    """Take what a call has reserved as spent: what it really took nobody will say."""
    await _move(tx, [(counter, bucket, amount, amount) for counter, bucket, _, amount in _kept(row)])


async def reserve(tx: Writing, charges: Sequence[Charge]) -> None:
    """Reserve what a call is charged; `over` has found room for it in this transaction."""
    for one in sorted(charges, key=_order):
        await tx.execute(
            _RESERVE, one.counter, one.bucket, one.budget, one.measure, one.subject, one.most, one.amount,
            one.kept_until,
        )  # fmt: skip


async def settle(tx: Writing, charges: Sequence[Charge], spent: Spent) -> None:
    """Put what a call has really taken in the place of what it had reserved."""
    await _move(tx, moves(charges, spent))


async def give_back(tx: Writing, began: Began) -> None:
    """Give back what a call has reserved that is known not to have been executed."""
    if began.charges:
        await _move(tx, [(one.counter, one.bucket, 0, one.amount) for one in began.charges])
        await tx.execute("UPDATE call SET charges = NULL WHERE id = $1", began.id)


def moves(charges: Iterable[Charge], spent: Spent) -> list[tuple[str, int, int, int]]:
    """Return counter, bucket, what is spent and what was reserved, of each charge."""
    return [(one.counter, one.bucket, _spent(one, spent), one.amount) for one in charges]


async def read(
    tx: Transaction, window: tuple[str, int], subject: str | None, limit: int, after: tuple[str, str]
) -> list[BudgetRecord]:
    """Return counters of a budget (name, first bucket), their buckets added up, those behind (subject, measure)."""
    name, since = window
    return [
        BudgetRecord(
            budget=name, measure=row["measure"], subject=row["subject"], most=row["most"], spent=row["spent"],
            reserved=row["reserved"], since=row["since"] / MICROSECONDS,
        )
        for row in await tx.rows(_READ, name, since, subject, limit, *after)
    ]  # fmt: skip


def _spent(charge: Charge, spent: Spent) -> int:
    if charge.unit == "tokens" and spent.tokens is not None:
        return spent.tokens
    if charge.unit == "nanodollars" and spent.nanodollars is not None:
        return spent.nanodollars
    return charge.amount


def _kept(row: Row) -> list[tuple[str, int, Unit, int]]:
    if row["charges"] is None:
        return []
    stored = cast("list[tuple[str, int, Unit, int]]", json.loads(row["charges"]))
    return sorted((counter, bucket, unit, amount) for counter, bucket, unit, amount in stored)


def _comes_back(row: Row, unit: Unit) -> bool:
    return unit == "calls" or bool(row["granted"])


async def _move(tx: Writing, moved: Iterable[tuple[str, int, int, int]]) -> None:
    for counter, bucket, spent, reserved in sorted(moved):
        await tx.execute(_MOVE, spent, reserved, counter, bucket)


def _order(charge: Charge) -> tuple[str, int]:
    return charge.counter, charge.bucket
