"""Budgets as they are paged: a page may end in the middle of one with several measures."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from durable.sqlite import open_sqlite
from durable.step import Charge
from gateway.budgets.ledger import Ledger
from gateway.config import load
from tests.durable.steps import KEYRING, begun, intent, step

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio
CONFIG = """version: 1
development: true
models: {up: {provider: openai_compatible, url: "http://127.0.0.1:9/v1", price: {input: 1.0, output: 2.0}}}
budgets:
  - {subject: "agent:default/billing", per: 1d, requests: 9, tokens: 90, tool_calls: 5}
"""


def charge(measure: str, amount: int) -> Charge:
    return Charge(
        counter=measure, budget="agent:default/billing@1d", measure=measure, subject="agent:default/billing",
        unit="calls" if measure == "requests" else "tokens", amount=amount, most=100, bucket=round(time.time() * 1e6),
        since=1, until=None, kept_until=4_000_000_000_000_000,
    )  # fmt: skip


@pytest.mark.requirement("BUD-15")
async def test_a_budget_whose_measures_stand_on_several_pages_says_what_is_spent_of_each(tmp_path: Path) -> None:
    (tmp_path / "oncegate.yaml").write_text(CONFIG, encoding="utf-8")
    journal = await open_sqlite(tmp_path / "journal.db", keyring=KEYRING)
    try:
        charged = (charge("requests", 1), charge("tokens", 70))
        await begun(journal, replace(intent(step("one")), charges=charged))
        ledger = Ledger(load(tmp_path / "oncegate.yaml"), journal, lambda: iter(()))
        found: list[tuple[str, float]] = []
        after: tuple[str, str, str] | None = None
        while page := await ledger.standings(budget=None, subject=None, limit=1, after=after):
            found += [(one.measure, one.reserved) for one in page]
            after = page[-1].budget, page[-1].subject, page[-1].measure
        assert found == [("requests", 1), ("tokens", 70), ("tool_calls", 0)]
    finally:
        await journal.aclose()
