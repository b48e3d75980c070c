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
_RESERVE: Final = (
    "INSERT INTO budget (counter, bucket, name, measure, subject, most, reserved, kept_until) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (counter, bucket) DO UPDATE SET "
    "reserved = budget.reserved + excluded.reserved, most = excluded.most, kept_until = "
    "CASE WHEN excluded.kept_until > budget.kept_until THEN excluded.kept_until ELSE budget.kept_until END"
)
_MOVE: Final = "UPDATE budget SET spent = spent + $1, reserved = reserved - $2 WHERE counter = $3 AND bucket = $4"
_READ: Final = (
    "SELECT counter, bucket, name, measure, subject, most, spent, reserved FROM budget "
    "WHERE name = $1 AND bucket >= $2 AND (CAST($3 AS TEXT) IS NULL OR subject = $3) "
    "ORDER BY subject, measure, bucket LIMIT $4"
)


async def taken(tx: Transaction, counter: str, since: int) -> int:
    """Return what is spent and reserved of a counter in its buckets from `since` on."""
    row = await tx.row(_TAKEN, counter, since)
    return 0 if row is None else row["taken"]


async def over(view: View, charges: Sequence[Charge], back: Mapping[Place, int] | None = None) -> OverBudget | None:
    """Return the first budget that has no room for its charge, counting as free what is given `back`."""
    for charge in charges:
        used = await view.taken(charge.counter, charge.since)
        if back:
            used -= sum(
                amount for (name, bucket), amount in back.items() if name == charge.counter and bucket >= charge.since
            )
        if used + charge.amount > charge.most:
            return OverBudget(charge, used)
    return None


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


async def read(tx: Transaction, name: str, since: int, subject: str | None, limit: int) -> list[BudgetRecord]:
    """Return the counters of the budget `name`, its buckets from `since` on added up; at most `limit` buckets."""
    found: dict[str, BudgetRecord] = {}
    for row in await tx.rows(_READ, name, since, subject, limit):
        before = found.get(row["counter"])
        found[row["counter"]] = BudgetRecord(
            budget=row["name"], measure=row["measure"], subject=row["subject"], most=row["most"],
            spent=row["spent"] + (0 if before is None else before.spent),
            reserved=row["reserved"] + (0 if before is None else before.reserved),
            since=(row["bucket"] if before is None else before.since * MICROSECONDS) / MICROSECONDS,
        )  # fmt: skip
    return list(found.values())


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
