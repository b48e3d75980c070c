"""How budgets stand: what is spent, reserved and left of each, by subject, in the window that holds now."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from durable.records import BudgetRecord
from gateway.budgets.charging import LOOP_GUARD, NANODOLLARS, bounds_of, limit_name, window_of
from gateway.budgets.windows import sliding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.budgets.windows import Window
    from gateway.config import Config
    from policy.decision import Limit

_HOUR_SECONDS: Final = 3600
#: More than there are measures of one counter.
_MEASURES_MAX: Final = 16
_MICROSECONDS: Final = 1_000_000


class Rows(Protocol):
    """The part of a store that holds what is taken of budgets."""

    async def read_budget(
        self, name: str, since: float, *, subject: str | None, limit: int, after: tuple[str, str] = ("", "")
    ) -> list[BudgetRecord]:
        """Return what is taken of a budget since `since` (seconds since the epoch), by subject and measure."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One measure of one budget for one subject; amounts are calls, tokens or US dollars.

    `since` and `until` bound the window, in seconds since the epoch; a run's has no end.
    """

    budget: str
    subject: str
    measure: str
    most: float
    spent: float
    reserved: float
    since: float
    until: float | None

    @property
    def remaining(self) -> float:
        """What is left; never below nothing, though money and tokens may have turned out dearer than thought."""
        return max(0.0, round(self.most - self.spent - self.reserved, 9))


class Ledger:
    """Reads budgets for operators; `limits` are those of the policy lines in force."""

    def __init__(self, config: Config, rows: Rows, limits: Callable[[], Iterator[Limit]]) -> None:
        self._config = config
        self._rows = rows
        self._limits = limits

    def take(self, config: Config) -> None:
        """Read by the budgets of `config` from now on."""
        self._config = config

    async def standings(
        self, *, budget: str | None, subject: str | None, limit: int, after: tuple[str, str, str] | None = None
    ) -> list[Standing]:
        """Return the budgets' standings, those of `budget` or `subject` only where given, at most `limit`.

        Those behind `after` (budget, subject, measure). Raises `LookupError` when there is no such budget any more.
        """
        found: list[Standing] = []
        windows = list(self._windows(time.time()).items())
        behind = ("", "")
        if after is not None:
            names = [name for name, _ in windows]
            if after[0] not in names:
                raise LookupError(after[0])
            windows, behind = windows[names.index(after[0]) :], after[1:]
        for name, window in windows:
            if budget in {None, name}:
                found += await self._standing(name, window, subject, limit, behind)
            if len(found) >= limit:
                break
            behind = ("", "")
        return found[:limit]

    async def _standing(
        self, name: str, window: Window, subject: str | None, limit: int, behind: tuple[str, str]
    ) -> list[Standing]:
        """Return one budget's standings by subject and measure, those behind the pair `behind`."""
        configured = next((one for one in self._config.budgets if one.name == name), None)
        # of one with one counter all is read, so that what was never charged can be told
        single = configured is not None and configured.single
        place, most = (("", ""), _MEASURES_MAX) if single else (behind, limit)
        records = await self._rows.read_budget(
            name, window.since / _MICROSECONDS, subject=subject, limit=most, after=place
        )
        merged = list(self._merged(name, records, window, subject))
        if not single:
            return merged
        merged.sort(key=lambda one: one.measure)
        return [one for one in merged if (one.subject, one.measure) > behind]

    def _windows(self, now: float) -> dict[str, Window]:
        windows = {budget.name: window_of(budget)(now) for budget in self._config.budgets}
        windows |= {limit_name(limit): sliding(limit.seconds)(now) for limit in self._limits()}
        if self._config.loop_guard.same_call_an_hour is not None:
            windows[LOOP_GUARD] = sliding(_HOUR_SECONDS)(now)
        return windows

    def _merged(
        self, name: str, records: list[BudgetRecord], window: Window, subject: str | None
    ) -> Iterator[Standing]:
        """Yield what was charged, and of a budget with one counter also what never was."""
        configured = next((budget for budget in self._config.budgets if budget.name == name), None)
        bounds = {} if configured is None else dict(bounds_of(configured))
        for record in records:
            # today's bound, not that of the last charge
            yield _standing(record, bounds.get(record.measure, record.most), window)
        if configured is None or not configured.single or subject not in {None, configured.subject}:
            return
        charged = {record.measure for record in records}
        for measure, most in bounds.items():
            if measure not in charged:
                untouched = BudgetRecord(
                    budget=name, measure=measure, subject=configured.subject, most=most, spent=0, reserved=0,
                    since=window.since / _MICROSECONDS,
                )  # fmt: skip
                yield _standing(untouched, most, window)


def _standing(record: BudgetRecord, most: int, window: Window) -> Standing:
    unit = NANODOLLARS if record.measure == "usd" else 1
    return Standing(
        budget=record.budget, subject=record.subject, measure=record.measure, most=most / unit,
        spent=record.spent / unit, reserved=record.reserved / unit,
        since=window.since / _MICROSECONDS if window.since else record.since,
        until=None if window.until is None else window.until / _MICROSECONDS,
    )  # fmt: skip
