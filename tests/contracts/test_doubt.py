"""Calls in doubt: begun again, held, resolved late, fenced, or settled by an operator."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from durable.journal import Claimed, NotInDoubt, TooEarly
from durable.records import CallFilter
from durable.step import Began, InDoubt, Proof, Replay, Settlement, VaultEntry
from tests.contracts.place import audited, journal_in
from tests.durable.steps import CHARGE, USE, ask, begun, intent, next_attempt, outcome, step

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


@pytest.mark.requirement("IND-04")
async def test_a_keyed_call_whose_key_the_upstream_may_have_forgotten_is_held(place: Place) -> None:
    async with journal_in(place) as journal:
        known = replace(step(key="order-7", effect="keyed"), key_seconds=3600.0)
        first = await begun(journal, intent(known))
        await journal.doubt(first, "timed out", [])
        forgotten = replace(known, key_seconds=0.0)
        assert await journal.look_up(forgotten) == InDoubt(first.id, "timed out")
        assert await journal.begin(intent(forgotten)) == InDoubt(first.id, "timed out")
        second = await begun(journal, intent(known))
        assert second == replace(first, attempt=2, again=True)
        await journal.doubt(second, "timed out", [])
        await journal.resolve(first.id, "execute", None, [])
        assert (await begun(journal, intent(forgotten))).upstream_key == first.upstream_key


@pytest.mark.requirement("IND-07")
async def test_what_may_be_executed_again_is_listed_apart(place: Place) -> None:
    async with journal_in(place) as journal:
        began = await doubted(journal)
        assert [one.id for one in await journal.list_calls(CallFilter(state="doubt", granted=False))] == [began.id]
        assert await journal.list_calls(CallFilter(granted=True)) == []
        assert [one.id for one in await journal.open_doubts([CHARGE, "mcp/other"], 5)] == [began.id]
        await journal.resolve(began.id, "execute", None, [], Proof(by="verify"))
        assert await journal.list_calls(CallFilter(state="doubt", granted=False)) == []
        (granted,) = await journal.list_calls(CallFilter(granted=True))
        assert (granted.id, granted.granted, granted.reason) == (began.id, True, "verify lets it be executed")
        assert await journal.open_doubts([CHARGE], 5) == []
        again = await begun(journal, intent(step(key="order-7")))
        assert await journal.settle(again, Settlement(outcome=outcome()))
        assert await journal.list_calls(CallFilter(granted=True)) == []


@pytest.mark.requirement("IND-08")
async def test_an_outcome_that_is_given_brings_its_originals_and_the_tool_calls_it_asks_for(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        asked = step("asks", run=run, kind="model", effect="once")
        began = await begun(journal, intent(asked))
        await journal.doubt(began, "timed out", [])
        entry = VaultEntry(scope=f"run/{run.id}", token="PERSON_A", entity="PERSON", original="Ada")
        proof = Proof(uses={USE: 2}, vault=(entry,))
        assert await journal.resolve(began.id, "happened", outcome("seen"), [], proof) == "done"
        assert await journal.originals(entry.scope, ["PERSON_A"]) == {"PERSON_A": entry}
        assert await ask(journal, asked) == ("replayed", 1)
        assert await ask(journal, step(run=run), use=USE) == ("executed", 1)
        assert await ask(journal, step(run=run), use=USE) == ("executed", 2)
        assert await ask(journal, step(run=run), use=USE) == ("replayed", 2)


@pytest.mark.requirement("IND-06")
async def test_one_record_of_the_upstream_proves_one_call(place: Place) -> None:
    async with journal_in(place) as journal:
        first, other = await doubted(journal), await begun(journal, intent(step(key="order-8")))
        await journal.doubt(other, "timed out", [])
        assert await journal.resolve(first.id, "happened", outcome(), [], Proof(claim="record-1")) == "done"
        with pytest.raises(Claimed, match=first.id):
            await journal.resolve(other.id, "happened", outcome(), [{"event": "lost"}], Proof(claim="record-1"))
        assert [one.id for one in await journal.open_doubts([CHARGE], 5)] == [other.id]
    assert "lost" not in [one["event"] for one in await audited(place)]


@pytest.mark.requirement("IND-06")
async def test_the_key_a_call_was_sent_with_can_be_told_afterwards(place: Place) -> None:
    async with journal_in(place) as journal:
        alone = await doubted(journal)
        in_run = await begun(journal, intent(step(run=await next_attempt(journal))))
        assert await journal.sent_key(alone.id) == alone.upstream_key
        assert await journal.sent_key(in_run.id) == in_run.upstream_key
        assert await journal.sent_key("call_nowhere") is None
