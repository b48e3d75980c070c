"""The store's part for budgets: `durable.journal.Budgets`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable import budgets
from durable.parts import Part
from durable.stamp import MICROSECONDS

if TYPE_CHECKING:
    from durable.records import BudgetRecord


class BudgetBook(Part):
    """Budgets as operators read them; calls are charged with their intents."""

    async def read_budget(
        self, name: str, since: float, *, subject: str | None, limit: int, after: tuple[str, str] = ("", "")
    ) -> list[BudgetRecord]:
        """Return what is taken of a budget in its window since `since` (seconds since the epoch).

        By subject and measure, those behind the pair `after`.
        """
        window = name, round(since * MICROSECONDS)
        return await self._survey(lambda tx: budgets.read(tx, window, subject, limit, after))
