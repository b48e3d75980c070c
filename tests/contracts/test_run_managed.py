"""Managed runs in the journal: one taker each time, bounded, given back, taken over from a gateway that ended."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from durable.journal import RunOver
from durable.records import RunRecord
from durable.step import Owner
from tests.contracts.place import journal_in
from tests.durable.steps import OWNER, next_attempt

if TYPE_CHECKING:
    from durable.store import Store
    from tests.contracts.place import Place

pytestmark = pytest.mark.anyio


def wanted(name: str, *, attempts: int = 3, deadline: float = 3600.0, digest: str = "one") -> RunRecord:
    return RunRecord(
        id=name, domain=OWNER.domain, agent=OWNER.agent, user="-", state="ready", attempt=0, created=0.0, updated=0.0,
        details={"input": digest, "attempts": attempts}, target="billing", deadline=time.time() + deadline,
        attempts_max=attempts, labels=("nightly",),
    )  # fmt: skip


async def opened(journal: Store, record: RunRecord, content: bytes = b'{"n":1}') -> RunRecord:
    return await journal.open_managed(OWNER, record, content, [{"event": "run"}])


@pytest.mark.requirement("RUN-01")
async def test_each_due_run_goes_to_one_of_many_takers_with_its_input(place: Place) -> None:
    async with journal_in(place) as journal:
        for number in range(10):
            await opened(journal, wanted(f"run_{number}"), b"%d" % number)
        taken = await asyncio.gather(*(journal.claim_due_run() for _ in range(30)))
        got = [one for one in taken if one is not None]
        assert sorted((one.record.id, one.input) for one in got) == [(f"run_{n}", b"%d" % n) for n in range(10)]
        assert {(one.record.state, one.record.attempt, one.record.labels) for one in got} == {
            ("running", 1, ("nightly",))
        }


@pytest.mark.requirement("RUN-01")
async def test_a_run_given_back_is_due_when_said_and_its_next_attempt_fences_the_one_before(place: Place) -> None:
    async with journal_in(place) as journal:
        await opened(journal, wanted("run_a"))
        first = await journal.claim_due_run()
        assert first is not None
        later = time.time() + 3600
        assert await journal.put_off_run("run_a", 1, later, "no answer", [])
        assert await journal.claim_due_run() is None
        found = await journal.read_run("run_a")
        assert found is not None
        assert (found.state, found.waiting, found.reason, found.due) == (
            "ready",
            "timer",
            "no answer",
            pytest.approx(later),
        )
        assert await journal.next_due() == pytest.approx(later)
        # only a run under way is given back, and only once
        assert not await journal.put_off_run("run_a", 1, time.time(), "again", [])


@pytest.mark.requirement("RUN-02")
async def test_a_run_without_attempts_left_fails_and_one_never_begun_keeps_them(place: Place) -> None:
    async with journal_in(place) as journal:
        await opened(journal, wanted("run_a", attempts=2))
        for number in (1, 2, 3):
            due = await journal.claim_due_run()
            assert due is not None
            assert due.record.attempt == number
            counted = number != 1  # the first never reached its agent
            assert await journal.put_off_run("run_a", number, time.time(), "no answer", [], counted=counted)
        assert await journal.claim_due_run() is None
        found = await journal.read_run("run_a")
        assert found is not None
        assert (found.state, found.reason, found.due) == ("failed", "no attempts are left: no answer", None)


@pytest.mark.requirement("RUN-02")
async def test_a_run_past_its_deadline_fails_instead_of_being_taken(place: Place) -> None:
    async with journal_in(place) as journal:
        await opened(journal, wanted("run_late", deadline=-1.0))
        await opened(journal, wanted("run_good"))
        taken = await journal.claim_due_run()
        assert taken is not None
        assert taken.record.id == "run_good"
        late = await journal.read_run("run_late")
        assert late is not None
        assert (late.state, late.reason) == ("failed", "its deadline has passed")


@pytest.mark.requirement("RUN-03")
async def test_what_a_gateway_held_when_it_ended_is_due_again_for_the_next(place: Place) -> None:
    async with journal_in(place) as journal:
        await opened(journal, wanted("run_a"))
        await journal.claim_due_run()
    async with journal_in(place) as journal:
        again = await journal.claim_due_run()
        assert again is not None
        assert (again.record.id, again.record.attempt, again.input) == ("run_a", 2, b'{"n":1}')
        # what the first gateway's attempt still says is fenced
        assert not await journal.close_run("run_a", 1, "finished", b"late")
        assert await journal.close_run("run_a", 2, "finished", b'"done"')


@pytest.mark.requirement("RUN-04")
async def test_the_same_id_is_one_run_for_one_owner_and_one_input(place: Place) -> None:
    async with journal_in(place) as journal:
        first, second = await asyncio.gather(*(opened(journal, wanted("run_a")) for _ in range(2)))
        assert first.id == second.id
        with pytest.raises(ValueError, match="another input"):
            await opened(journal, wanted("run_a", digest="two"))
        with pytest.raises(LookupError):
            await journal.open_managed(Owner("acme", "sales"), wanted("run_a"), b"1", [])
        with pytest.raises(RunOver, match="managed"):
            await journal.open_run(OWNER, "run_a", {})
        assert await journal.claim_due_run() is not None
        assert await journal.claim_due_run() is None


@pytest.mark.requirement("RUN-01")
async def test_waiting_for_a_due_run_ends_when_one_is_opened(place: Place) -> None:
    async with journal_in(place) as journal:
        waiting = asyncio.create_task(journal.wait_due(30.0))
        await asyncio.sleep(0)
        await opened(journal, wanted("run_a"))
        async with asyncio.timeout(60):
            await waiting


@pytest.mark.requirement("RUN-05")
async def test_an_open_run_is_cancelled_whatever_its_attempt_and_who_waits_for_it_hears(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        newest = await next_attempt(journal, run.id)
        over = asyncio.create_task(journal.wait_run_over(run.id, newest.attempt, 60.0))
        await asyncio.sleep(0)
        assert (await journal.cancel_run(run.id, "not needed", [])).state == "cancelled"
        assert await over
        with pytest.raises(RunOver, match="is cancelled already"):
            await journal.cancel_run(run.id, "again", [])
        with pytest.raises(LookupError):
            await journal.cancel_run("run_none", "x", [])


@pytest.mark.requirement("RUN-05")
async def test_an_ended_run_is_opened_again_unless_it_finished(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        with pytest.raises(RunOver, match="still open"):
            await journal.retry_run(run.id, [])
        await journal.cancel_run(run.id, "oops", [])
        again = await journal.retry_run(run.id, [])
        assert (again.state, again.attempt) == ("ready", 2)
        assert (await next_attempt(journal, run.id)).attempt == 3
        assert await journal.close_run(run.id, 3, "finished", None)
        with pytest.raises(RunOver, match="is finished"):
            await journal.retry_run(run.id, [])


@pytest.mark.requirement("RUN-05")
async def test_a_managed_run_opened_again_is_due_at_once_with_fresh_attempts(place: Place) -> None:
    async with journal_in(place) as journal:
        await opened(journal, wanted("run_a", attempts=1))
        await journal.claim_due_run()
        assert await journal.close_run("run_a", 1, "failed", None, reason="the agent answered 400")
        again = await journal.retry_run("run_a", [])
        assert (again.state, again.attempts_max) == ("ready", 3)
        due = await journal.claim_due_run()
        assert due is not None
        assert due.record.attempt == 3
