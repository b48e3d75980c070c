"""What a caller is told when a budget has no room for its call, or its run goes round in circles."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from gateway.call import Refusal

if TYPE_CHECKING:
    from durable.step import Looping, OverBudget, Unit

#: Past this, official SDKs do not wait for `retry-after` but ask again at once.
RETRY_SECONDS_MAX: Final = 60
_MEASURES: Final = {
    "requests": "calls", "model_calls": "calls of models", "tool_calls": "calls of tools", "usd": "US dollars",
}  # fmt: skip
_MICROSECONDS: Final = 1_000_000


def over_budget(over: OverBudget) -> Refusal:
    """Return the refusal of a call that a budget has no room for; what is used, and until when, stands beside it."""
    charge, until = over.charge, over.until
    most, used = (_amount(charge.unit, amount) for amount in (charge.most, over.used))
    ends = "-" if until is None else datetime.fromtimestamp(until / _MICROSECONDS, UTC).isoformat(timespec="seconds")
    wait = None if until is None else max(1, math.ceil(until / _MICROSECONDS - time.time()))
    then = "ask again when its window is over"
    if charge.until is None:
        then = "do not ask again in this run"
    elif charge.amount > charge.most:
        then = "this call alone may take more than that; ask for less (a smaller bound of its answer)"
    return Refusal(
        code="limited",
        message=f"limited: the budget `{charge.budget}` allows {most} {_MEASURES.get(charge.measure, charge.measure)} "
        f"and has no room for this call; nothing was executed, {then}",
        status=429,
        # clients that try again by themselves do so within seconds
        final=wait is None or wait > RETRY_SECONDS_MAX,
        retry_after_seconds=wait,
        detail=f"budget={charge.budget} measure={charge.measure} subject={charge.subject} used={used} of={most} "
        f"wanted={_amount(charge.unit, charge.amount)} until={ends}",
    )


def looping(stopped: Looping) -> Refusal:
    """Return the refusal of a call of a run that goes round in circles, or has gone on for too long."""
    said = {
        "same_call": f"has begun this very call {stopped.most:g} times",
        "run_calls": f"has begun {stopped.most:g} calls",
        "run_seconds": f"has gone on for more than {stopped.most:g} seconds",
    }[stopped.bound]
    return Refusal(
        code="limited",
        message=f"limited: this run {said}, as often as it may; nothing was executed. do not ask again, end the run "
        "and say what you were trying to do",
        status=429,
        detail=f"loop_guard={stopped.bound} of={stopped.most:g}",
    )


def unpriced(budget: str) -> Refusal:
    """Return the refusal of a call whose price nobody knows, where a budget counts money."""
    message = f"limited: the budget `{budget}` counts money and this model has no price; nothing was executed"
    return Refusal(code="limited", message=message, status=429)


def _amount(unit: Unit, amount: int) -> str:
    return f"{amount / 1_000_000_000:.6f}".rstrip("0").rstrip(".") if unit == "nanodollars" else str(amount)
