"""Which step a request is: keys, cursors, twins and retries."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from durable.step import Began, InFlight, KeyReused, Owner, Replay, RunClosed, RunRef, Settlement, Superseded
from tests.contracts.place import journal_in
from tests.durable.steps import MODEL, OWNER, ask, begun, intent, next_attempt, outcome, step

if TYPE_CHECKING:
    from durable.step import Step
    from tests.contracts.place import Place

pytestmark = pytest.mark.anyio


@pytest.mark.requirement("DUR-01")
async def test_a_key_gets_its_first_outcome_again_and_nothing_else(place: Place) -> None:
    async with journal_in(place) as journal:
        keyed = step(key="order-7")
        assert await ask(journal, keyed) == ("executed", 0)
        assert await ask(journal, keyed) == ("replayed", 0)
        found = await journal.look_up(keyed)
        assert isinstance(found, Replay)
        assert (found.outcome, found.digests) == (outcome(), "policy-1")


@pytest.mark.requirement("DUR-01")
@pytest.mark.parametrize(
    "other", [step("another request", key="order-7"), step(key="order-7", resource="mcp/payments/tool/refund")]
)
async def test_a_key_on_another_request_or_resource_is_refused(place: Place, other: Step) -> None:
    async with journal_in(place) as journal:
        began = await begun(journal, intent(step(key="order-7")))
        assert await journal.look_up(other) == KeyReused(began.id)
        assert await journal.begin(intent(other)) == KeyReused(began.id)


@pytest.mark.requirement("DUR-01")
@pytest.mark.parametrize(
    "other", [Owner("vendors", "billing"), Owner("acme", "sales"), Owner("acme", "billing", "ann")]
)
async def test_nobody_gets_the_outcome_of_another_owners_key(place: Place, other: Owner) -> None:
    async with journal_in(place) as journal:
        assert await ask(journal, step(key="order-7")) == ("executed", 0)
        assert await ask(journal, step(key="order-7", owner=other)) == ("executed", 0)


@pytest.mark.requirement("DUR-01")
async def test_a_key_belongs_to_its_run(place: Place) -> None:
    async with journal_in(place) as journal:
        for run in (await next_attempt(journal), await next_attempt(journal), None):
            assert await ask(journal, step(key="order-7", run=run)) == ("executed", 0)


@pytest.mark.requirement("DUR-01")
async def test_without_run_and_key_every_request_is_a_step_of_its_own(place: Place) -> None:
    async with journal_in(place) as journal:
        assert [await ask(journal, step()) for _ in range(3)] == [("executed", 1)] * 3


@pytest.mark.requirement("DUR-02")
async def test_many_who_ask_at_once_with_one_key_share_one_execution(place: Place) -> None:
    async with journal_in(place) as journal:
        wanted = intent(step(key="order-7"))
        known = await asyncio.gather(*(journal.begin(wanted) for _ in range(50)))
        (began,) = [one for one in known if isinstance(one, Began)]
        assert [one for one in known if one != began] == [InFlight(began.id)] * 49

        async def waited() -> object:
            with pytest.raises(LookupError):
                await journal.wait(began.id, 60.0)
            return await journal.begin(wanted)

        waiting = [asyncio.create_task(waited()) for _ in range(5)]
        assert await journal.settle(began, Settlement(outcome=outcome("42")))
        for found in await asyncio.gather(*waiting):
            assert isinstance(found, Replay)
            assert found.outcome == outcome("42")


@pytest.mark.requirement("DUR-02")
async def test_waiting_ends_when_its_time_is_up(place: Place) -> None:
    async with journal_in(place) as journal:
        began = await begun(journal, intent(step(key="order-7")))
        assert await journal.wait(began.id, 0.01) == InFlight(began.id)


@pytest.mark.requirement("DUR-03")
@pytest.mark.parametrize("effect", ["safe", "keyed"])
async def test_the_next_attempt_replays_in_order_and_then_goes_on(place: Place, effect: str) -> None:
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        sample = replace(step(run=run, effect="safe", kind="model", resource=MODEL), effect=effect)
        assert [await ask(journal, sample) for _ in range(3)] == [("executed", 1), ("executed", 2), ("executed", 3)]
        again = replace(sample, run=await next_attempt(journal, run.id))
        came_to = [await ask(journal, again) for _ in range(4)]
        assert came_to == [("replayed", 1), ("replayed", 2), ("replayed", 3), ("executed", 4)]
    async with journal_in(place) as journal:
        again = replace(sample, run=await next_attempt(journal, run.id))
        assert [await ask(journal, again) for _ in range(2)] == [("replayed", 1), ("replayed", 2)]


@pytest.mark.requirement("DUR-03")
async def test_parallel_twins_get_an_outcome_each_after_a_restart(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        sample = step(run=run, effect="safe")
        twins = [await begun(journal, intent(sample)) for _ in range(2)]
        assert [twin.occurrence for twin in twins] == [1, 2]
        for twin in twins:
            assert await journal.settle(twin, Settlement(outcome=outcome(f"{twin.occurrence}")))
        again = replace(sample, run=await next_attempt(journal, run.id))
        # neither has been delivered when the other one asks
        known = [await journal.look_up(again) for _ in range(2)]
        assert [one.outcome.body for one in known if isinstance(one, Replay)] == [b"1", b"2"]


@pytest.mark.requirement("DUR-04")
async def test_beside_a_client_that_waits_an_equal_request_is_a_twin(place: Place) -> None:
    async with journal_in(place) as journal:
        sample = step(run=await next_attempt(journal), effect="safe")
        first = await begun(journal, intent(sample))
        second = await begun(journal, intent(sample))
        assert (first.occurrence, second.occurrence) == (1, 2)
        assert first.upstream_key != second.upstream_key


@pytest.mark.requirement("DUR-04")
async def test_a_retry_finds_the_execution_its_client_left(place: Place) -> None:
    async with journal_in(place) as journal:
        sample = step(run=await next_attempt(journal), effect="safe")
        first = await begun(journal, intent(sample))
        journal.delivered(first.id, complete=False)
        assert await journal.begin(intent(sample)) == InFlight(first.id)
        assert await journal.settle(first, Settlement(outcome=outcome()))
        assert await ask(journal, sample, delivered=False) == ("replayed", 1)
        assert await ask(journal, sample) == ("replayed", 1)
        assert await ask(journal, sample) == ("executed", 2)


@pytest.mark.requirement("DUR-04")
async def test_a_declared_retry_is_the_same_request_whatever_was_delivered(place: Place) -> None:
    async with journal_in(place) as journal:
        sample = step(run=await next_attempt(journal), effect="safe")
        retry = replace(sample, declared_retry=True)
        first = await begun(journal, intent(sample))
        assert await journal.begin(intent(retry)) == InFlight(first.id)
        assert await journal.settle(first, Settlement(outcome=outcome()))
        journal.delivered(first.id, complete=True)
        assert await ask(journal, retry) == ("replayed", 1)


@pytest.mark.requirement("DUR-04")
async def test_after_a_restart_of_the_gateway_an_unknown_delivery_is_none(place: Place) -> None:
    async with journal_in(place) as journal:
        sample = step(run=await next_attempt(journal), effect="safe")
        assert await ask(journal, sample) == ("executed", 1)
    async with journal_in(place) as journal:
        assert await ask(journal, sample) == ("replayed", 1)
        assert await ask(journal, sample) == ("executed", 2)


@pytest.mark.requirement("DUR-07")
async def test_a_call_of_an_older_attempt_is_fenced_also_past_its_look_up(place: Place) -> None:
    async with journal_in(place) as journal:
        old = await next_attempt(journal)
        assert await journal.look_up(step(run=old)) is None
        new = await next_attempt(journal, old.id)
        assert await journal.begin(intent(step(run=old))) == Superseded(new.attempt)
        assert await journal.look_up(step(run=old)) == Superseded(new.attempt)
        assert await journal.look_up(step(run=RunRef(old.id, 7))) == Superseded(new.attempt)


@pytest.mark.requirement("DUR-07")
@pytest.mark.parametrize("state", ["finished", "failed", "cancelled"])
async def test_a_closed_run_takes_no_call(place: Place, state: str) -> None:
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        assert await journal.close_run(run.id, run.attempt, state, None)
        assert await journal.begin(intent(step(run=run))) == RunClosed(state)
        assert await journal.look_up(step(run=run, key="k")) == RunClosed(state)


@pytest.mark.requirement("DUR-07")
async def test_another_owners_run_and_an_unknown_one_look_the_same(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        theirs = step(run=run, owner=Owner("acme", "sales"))
        nowhere = step(run=RunRef("run_nowhere", 1), owner=OWNER)
        assert await journal.begin(intent(theirs)) == await journal.begin(intent(nowhere)) == RunClosed("not there")
        assert await journal.look_up(theirs) == await journal.look_up(nowhere) == RunClosed("not there")


@pytest.mark.requirement("DUR-16")
async def test_an_intent_whose_caller_goes_away_is_released(place: Place) -> None:
    async with journal_in(place) as journal:
        wanted = intent(step(key="order-7"))
        await journal.run_keys(OWNER, None)
        asking = asyncio.create_task(journal.begin(wanted))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        # each of these waits for the writer, which the release passes too
        known = [await journal.begin(wanted) for _ in range(3)]
        assert [one.attempt for one in known if isinstance(one, Began)] == [2]


@pytest.mark.requirement("DUR-16")
async def test_an_outcome_is_written_although_the_one_who_tells_it_is_cancelled(place: Place) -> None:
    async with journal_in(place) as journal:
        keyed = step(key="order-7")
        began = await begun(journal, intent(keyed))
        waiting = asyncio.create_task(journal.wait(began.id, 60.0))
        telling = asyncio.create_task(journal.settle(began, Settlement(outcome=outcome())))
        await asyncio.sleep(0)
        telling.cancel()
        with pytest.raises(LookupError):
            await waiting
        assert await ask(journal, keyed) == ("replayed", 0)
