"""Lists that grow, on both stores: paged to their end without a gap, whatever comes meanwhile."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from durable.definitions import Sighting
from durable.step import Charge
from tests.contracts.place import journal_in
from tests.contracts.test_approvals import asked
from tests.durable.steps import begun, intent, step

if TYPE_CHECKING:
    from tests.contracts.place import Place

pytestmark = pytest.mark.anyio
FAR = 4_000_000_000_000_000


@pytest.mark.requirement("CON-20")
async def test_approvals_are_paged_from_the_newest_on(place: Place) -> None:
    async with journal_in(place) as journal:
        made = [(await asked(journal, step(key=f"order-{number}"))).id for number in range(5)]
        found: list[str] = []
        before: str | None = None
        while page := await journal.list_approvals(limit=2, state=None, run=None, before=before):
            found += [one.id for one in page]
            before = found[-1]
            await asked(journal, step(key=f"while paging {len(found)}"))
        assert sorted(found) == sorted(made)
        with pytest.raises(LookupError):
            await journal.list_approvals(limit=2, state=None, run=None, before="apr_gone")


@pytest.mark.requirement("CON-20")
async def test_definitions_are_paged_by_server_kind_and_name(place: Place) -> None:
    async with journal_in(place) as journal:
        for server in ("b", "a"):
            await journal.note_definitions(server, [
                Sighting(
                    kind="tool", name=name, hash="a" * 64, content=b"{}", at_first="accepted", findings=(), audit={}
                )
                for name in ("two", "one/with/slashes", "three")
            ])  # fmt: skip
        found: list[tuple[str, str, str]] = []
        after = ("", "", "")
        while page := await journal.list_definitions(server=None, state=None, limit=2, after=after):
            found += [(one.server, one.kind, one.name) for one in page]
            after = found[-1]
        names = ("one/with/slashes", "three", "two")
        assert found == [(server, "tool", name) for server in ("a", "b") for name in names]


@pytest.mark.requirement("CON-20")
async def test_budgets_are_paged_by_subject_and_each_is_the_sum_of_all_its_buckets(place: Place) -> None:
    async with journal_in(place) as journal:
        for subject in ("agent:acme/b", "agent:acme/a", "agent:acme/c"):
            for bucket in (1, 2, 3):
                one = Charge(
                    counter=subject, budget="daily", measure="calls", subject=subject, unit="calls", amount=2,
                    most=100 + bucket, bucket=bucket, since=1, until=None, kept_until=FAR,
                )  # fmt: skip
                await begun(journal, replace(intent(step(f"{subject} {bucket}")), charges=(one,)))
        found: list[tuple[str, int, int, float]] = []
        after = ("", "")
        while page := await journal.read_budget("daily", 1e-6, subject=None, limit=2, after=after):
            found += [(one.subject, one.reserved, one.most, one.since) for one in page]
            after = (page[-1].subject, page[-1].measure)
        assert found == [(f"agent:acme/{name}", 6, 103, 1e-6) for name in ("a", "b", "c")]
