"""Calls in doubt: begun again, held, resolved late, fenced, or settled by an operator."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from durable.journal import NotInDoubt, TooEarly
from durable.records import CallFilter
from durable.step import Began, InDoubt, Replay, Settlement
from tests.contracts.place import audited, journal_in
from tests.durable.steps import ask, begun, intent, next_attempt, outcome, step

if TYPE_CHECKING:
    from durable.store import Store
    from tests.contracts.place import Place

pytestmark = pytest.mark.anyio


async def doubted(journal: Store) -> Began:
    began = await begun(journal, intent(step(key="order-7")))
    await journal.doubt(began, "timed out", [{"event": "in_doubt"}])
    return began


@pytest.mark.requirement("DUR-08")
@pytest.mark.parametrize("effect", ["safe", "keyed"])
async def test_a_repeatable_call_in_doubt_is_begun_again_under_the_same_upstream_key(place: Place, effect: str) -> None:
    async with journal_in(place) as journal:
        sample = replace(step(run=await next_attempt(journal)), effect=effect)
        first = await begun(journal, intent(sample))
        await journal.doubt(first, "timed out", [])
        second = await begun(journal, intent(sample))
        assert second == replace(first, attempt=2, again=True)


@pytest.mark.requirement("DUR-08")
async def test_a_once_call_in_doubt_is_held(place: Place) -> None:
    async with journal_in(place) as journal:
        began = await doubted(journal)
        held = InDoubt(began.id, "timed out")
        assert await journal.begin(intent(step(key="order-7"))) == held
        assert await journal.look_up(step(key="order-7")) == held


@pytest.mark.requirement("DUR-08")
async def test_what_an_older_epoch_left_in_flight_is_in_doubt_and_audited(place: Place) -> None:
    async with journal_in(place) as journal:
        left = await begun(journal, intent(step(key="order-7")))
    async with journal_in(place) as journal:
        (call,) = await journal.list_calls(CallFilter(state="doubt"))
        assert (call.id, call.reason) == (left.id, "the gateway ended between intent and outcome")
    assert [one["call"] for one in await audited(place) if one["event"] == "in_doubt"] == [left.id]


@pytest.mark.requirement("DUR-08")
async def test_a_late_outcome_resolves_the_doubt(place: Place) -> None:
    async with journal_in(place) as journal:
        began = await doubted(journal)
        assert await journal.settle(began, Settlement(outcome=outcome("late")))
        found = await journal.begin(intent(step(key="order-7")))
        assert isinstance(found, Replay)
        assert found.outcome == outcome("late")


@pytest.mark.requirement("DUR-08")
async def test_the_late_outcome_of_a_call_begun_again_is_fenced_and_audited(place: Place) -> None:
    async with journal_in(place) as journal:
        keyed = step(key="order-7", effect="safe")
        first = await begun(journal, intent(keyed))
        await journal.doubt(first, "timed out", [])
        second = await begun(journal, intent(keyed))
        late = Settlement(outcome=outcome("late"), audit=({"event": "outcome", "of": "first"},))
        assert not await journal.settle(first, late)
        assert await journal.settle(second, Settlement(outcome=outcome("second")))
        assert not await journal.settle(second, late)
        assert await journal.read_outcome(first.id) == outcome("second")
    assert [one.get("fenced") for one in await audited(place) if one["event"] == "outcome"] == [True, True]


@pytest.mark.requirement("DUR-08")
async def test_a_fenced_doubt_or_release_changes_nothing(place: Place) -> None:
    async with journal_in(place) as journal:
        began = await begun(journal, intent(step(key="order-7")))
        assert await journal.settle(began, Settlement(outcome=outcome()))
        await journal.doubt(began, "late", [{"event": "late"}])
        await journal.release(began, "late", [{"event": "late"}])
        assert await ask(journal, step(key="order-7")) == ("replayed", 0)
    assert [one.get("fenced") for one in await audited(place) if one["event"] == "late"] == [True, True]


@pytest.mark.requirement("DUR-09")
async def test_an_operator_says_it_happened_and_that_is_the_outcome(place: Place) -> None:
    async with journal_in(place) as journal:
        began = await doubted(journal)
        assert await journal.resolve(began.id, "happened", outcome("seen"), [{"event": "resolved"}]) == "done"
        found = await journal.look_up(step(key="order-7"))
        assert isinstance(found, Replay)
        assert found.outcome == outcome("seen")
        assert not await journal.settle(began, Settlement(outcome=outcome("late")))
    assert [one["event"] for one in await audited(place)][-1] == "resolved"


@pytest.mark.requirement("DUR-09")
async def test_an_operator_lets_it_be_executed_once(place: Place) -> None:
    async with journal_in(place) as journal:
        first = await doubted(journal)
        assert await journal.resolve(first.id, "execute", None, []) == "doubt"
        (listed,) = await journal.list_calls(CallFilter(state="doubt"))
        assert listed.reason == "an operator lets it be executed"
        second = await begun(journal, intent(step(key="order-7")))
        assert second == replace(first, attempt=2, again=True)
        await journal.doubt(second, "timed out again", [])
        assert await journal.begin(intent(step(key="order-7"))) == InDoubt(first.id, "timed out again")


@pytest.mark.requirement("DUR-09")
async def test_a_call_that_may_be_on_its_way_is_not_let_be_executed(place: Place) -> None:
    async with journal_in(place) as journal:
        began = await begun(journal, replace(intent(step(key="order-7")), seconds_max=3600.0))
        await journal.doubt(began, "timed out", [])
        with pytest.raises(TooEarly, match="may still be on its way"):
            await journal.resolve(began.id, "execute", None, [])
        assert await journal.resolve(began.id, "fail", None, []) == "failed"


@pytest.mark.requirement("DUR-09")
async def test_only_what_is_in_doubt_can_be_settled(place: Place) -> None:
    async with journal_in(place) as journal:
        began = await doubted(journal)
        with pytest.raises(ValueError, match="expected `happened` with an outcome"):
            await journal.resolve(began.id, "happened", None, [])
        with pytest.raises(LookupError):
            await journal.resolve("call_nowhere", "fail", None, [])
        await journal.resolve(began.id, "fail", None, [])
        with pytest.raises(NotInDoubt, match="is `failed`"):
            await journal.resolve(began.id, "execute", None, [{"event": "refused"}])
        assert not await journal.settle(began, Settlement(outcome=outcome("late")))
    assert "refused" not in [one["event"] for one in await audited(place)]
