"""Runs: attempts numbered by the journal alone, ended once, kept from other owners."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from durable.audit_rows import AuditFilter
from durable.journal import RunOver
from durable.step import Owner, RunRef
from tests.contracts.place import journal_in
from tests.durable.steps import OWNER, ask, begun, intent, next_attempt, step

if TYPE_CHECKING:
    from tests.contracts.place import Place

pytestmark = pytest.mark.anyio
OTHER = Owner("acme", "sales")


@pytest.mark.requirement("DUR-10")
async def test_attempts_count_from_one_without_gap_or_double(place: Place) -> None:
    async with journal_in(place) as journal:
        first = await next_attempt(journal)
        opened = await asyncio.gather(*(journal.open_run(OWNER, first.id, {"n": n}) for n in range(20)))
        assert sorted(record.attempt for record in opened) == list(range(2, 22))
        found = await journal.read_run(first.id)
        assert found is not None
        assert (found.attempt, found.state) == (21, "running")


@pytest.mark.requirement("DUR-10")
async def test_a_run_keeps_its_id_its_details_and_its_counts_over_a_restart(place: Place) -> None:
    async with journal_in(place) as journal:
        record = await journal.open_run(OWNER, "run_mine", {"issuer": "key:1"})
        assert (record.id, record.attempt, record.details) == ("run_mine", 1, {"issuer": "key:1"})
        assert await ask(journal, step(run=RunRef("run_mine", 1), key="a")) == ("executed", 0)
        assert await ask(journal, step(run=RunRef("run_mine", 1), key="a")) == ("replayed", 0)
    async with journal_in(place) as journal:
        found = await journal.read_run("run_mine")
        assert found is not None
        assert (found.calls, found.replays, found.attempt) == (1, 1, 1)


@pytest.mark.requirement("DUR-10")
async def test_a_bare_run_is_made_when_first_named_and_found_again(place: Place) -> None:
    async with journal_in(place) as journal:
        made = await journal.touch_run(OWNER, "run_bare", {})
        assert (made.attempt, await journal.touch_run(OWNER, "run_bare", {})) == (1, made)


@pytest.mark.requirement("DUR-07", "DUR-10")
async def test_a_run_of_another_owner_cannot_be_opened(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        for other in (OTHER, Owner("vendors", "billing"), Owner("acme", "billing", "ann")):
            with pytest.raises(LookupError):
                await journal.open_run(other, run.id, {})
            with pytest.raises(LookupError):
                await journal.touch_run(other, run.id, {})
        found = await journal.read_run(run.id)
        assert found is not None
        assert found.attempt == 1


@pytest.mark.requirement("DUR-10")
async def test_a_run_ends_once_and_by_its_newest_attempt(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        new = await next_attempt(journal, run.id)
        assert not await journal.close_run(run.id, run.attempt, "finished", b"old")
        assert await journal.close_run(run.id, new.attempt, "finished", b'{"paid":true}')
        assert not await journal.close_run(run.id, new.attempt, "cancelled", None)
        found = await journal.read_run(run.id)
        assert found is not None
        assert (found.state, found.result) == ("finished", b'{"paid":true}')
        with pytest.raises(RunOver, match="is finished; start a new run"):
            await journal.open_run(OWNER, run.id, {})


@pytest.mark.requirement("DUR-10")
async def test_idle_runs_are_finished_and_busy_ones_are_not(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        assert await journal.close_idle_runs(3600.0) == 0
        assert await journal.close_idle_runs(0.0) == 1
        found = await journal.read_run(run.id)
        assert found is not None
        assert found.state == "finished"


@pytest.mark.requirement("DUR-10")
async def test_listings_show_the_newest_first_and_only_what_was_asked_for(place: Place) -> None:
    async with journal_in(place) as journal:
        first, second = await next_attempt(journal), await next_attempt(journal)
        theirs = await next_attempt(journal, owner=OTHER)
        await begun(journal, intent(step(run=first, key="later")))
        listed = await journal.list_runs(limit=10, agent="billing", state=None)
        assert [run.id for run in listed] == [second.id, first.id]  # opened later, whatever was used since
        assert [run.id for run in await journal.list_runs(limit=1, agent="sales", state="running")] == [theirs.id]
        assert await journal.list_runs(limit=10, agent=None, state="failed") == []


@pytest.mark.requirement("DUR-10")
async def test_runs_are_listed_page_by_page_without_a_gap(place: Place) -> None:
    async with journal_in(place) as journal:
        made = [(await next_attempt(journal)).id for _ in range(7)]
        found: list[str] = []
        while page := await journal.list_runs(limit=3, agent=None, state=None, before=found[-1] if found else None):
            found += [run.id for run in page]
        assert found == made[::-1]
        with pytest.raises(LookupError):
            await journal.list_runs(limit=3, agent=None, state=None, before="run_none")


@pytest.mark.requirement("DUR-10")
async def test_the_audit_is_read_page_by_page_in_the_order_it_was_written(place: Place) -> None:
    async with journal_in(place) as journal:
        await journal.write_audit([{"event": "note", "run": f"run {number}"} for number in range(7)])
        found: list[int] = []
        place_in_it = 0
        while (page := await journal.audit_page(place_in_it, 3))[0]:
            found += [link.number for link in page[0]]
            place_in_it = page[1]
        assert found == list(range(1, len(found) + 1))
        assert len(found) >= 8
        wanted = await journal.search_audit(AuditFilter(run="run 3"))
        assert [record["run"] for record in wanted.records] == ["run 3"]
