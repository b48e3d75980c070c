"""When an equal `once` request is meant again: what model calls of this attempt have asked for and shown."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from durable.step import Began, Failed, InDoubt, InFlight, RunRef, Settlement
from tests.contracts.place import journal_in
from tests.durable.steps import MODEL, OWNER, USE, ask, begun, intent, next_attempt, outcome, step

if TYPE_CHECKING:
    from durable.store import Store
    from tests.contracts.place import Place

pytestmark = pytest.mark.anyio


async def model(
    journal: Store, run: RunRef, name: str, *, asked: int = 0, shown: int = 0, key: str | None = None
) -> tuple[str, int]:
    """Make a model call whose answer asks for the tool and whose request shows results of it."""
    sample = step(name, run=run, effect="safe", kind="model", resource=MODEL, key=key)
    return await ask(journal, sample, uses={USE: asked} if asked else {}, shown={USE: shown} if shown else {})


async def charge(journal: Store, run: RunRef) -> tuple[str, int]:
    return await ask(journal, step(run=run), use=USE)


@pytest.mark.requirement("DUR-05")
async def test_without_evidence_an_equal_request_gets_the_first_outcome(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        await model(journal, run, "turn 1", asked=1)
        assert [await charge(journal, run) for _ in range(3)] == [("executed", 1), ("replayed", 1), ("replayed", 1)]


@pytest.mark.requirement("DUR-05")
@pytest.mark.parametrize("key", [None, "turn-1"])
async def test_twins_a_model_asked_for_are_executed_each(place: Place, key: str | None) -> None:
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        await model(journal, run, "turn 1", asked=2, key=key)
        first = await begun(journal, intent(step(run=run), use=USE))
        second = await begun(journal, intent(step(run=run), use=USE))
        assert await journal.begin(intent(step(run=run), use=USE)) == InFlight(second.id)
        for began in (first, second):
            assert await journal.settle(began, Settlement(outcome=outcome()))
        assert await charge(journal, run) == ("replayed", 2)
        again = await next_attempt(journal, run.id)
        # the restarted agent asks the model first, and is answered from the journal
        assert await model(journal, again, "turn 1", asked=2, key=key) == ("replayed", int(key is None))
        assert [await charge(journal, again) for _ in range(3)] == [("replayed", 1), ("replayed", 2), ("replayed", 2)]


@pytest.mark.requirement("DUR-05")
async def test_a_model_that_was_shown_the_result_and_asks_again_means_it(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        await model(journal, run, "turn 1", asked=1)
        assert await charge(journal, run) == ("executed", 1)
        await model(journal, run, "turn 2", shown=1)
        assert await charge(journal, run) == ("executed", 2)
        assert await charge(journal, run) == ("replayed", 2)


@pytest.mark.requirement("DUR-05")
async def test_what_an_abandoned_attempt_was_told_is_no_evidence(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        await model(journal, run, "turn 1 at noon", asked=1)
        assert await charge(journal, run) == ("executed", 1)
        again = await next_attempt(journal, run.id)
        await model(journal, again, "turn 1 at one", asked=1)
        # asked for twice in the run, but by this attempt's model only once
        assert [await charge(journal, again) for _ in range(2)] == [("replayed", 1), ("replayed", 1)]


@pytest.mark.requirement("DUR-05")
async def test_a_declared_retry_is_never_meant_again(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        await model(journal, run, "turn 1", asked=2)
        began = await begun(journal, intent(step(run=run), use=USE))
        retry = replace(step(run=run), declared_retry=True)
        assert await journal.begin(intent(retry, use=USE)) == InFlight(began.id)


@pytest.mark.requirement("DUR-05")
async def test_without_model_traffic_the_declaration_decides(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        each = replace(step("each", run=run), repeat="each")
        assert [await ask(journal, each) for _ in range(2)] == [("executed", 1), ("executed", 2)]
        assert await ask(journal, replace(each, declared_retry=True)) == ("replayed", 2)
        assert [await ask(journal, step(run=run)) for _ in range(2)] == [("executed", 1), ("replayed", 1)]


@pytest.mark.requirement("DUR-05")
async def test_a_bare_run_gives_equal_requests_the_first_outcome(place: Place) -> None:
    async with journal_in(place) as journal:
        await journal.touch_run(OWNER, "run_bare", {})
        run = RunRef("run_bare", 0)
        await model(journal, run, "turn 1", asked=2, shown=2)
        assert [await charge(journal, run) for _ in range(2)] == [("executed", 1), ("replayed", 1)]


@pytest.mark.requirement("DUR-06")
async def test_evidence_does_not_pass_over_a_call_in_doubt_or_failed(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        await model(journal, run, "turn 1", asked=1)
        began = await begun(journal, intent(step(run=run), use=USE))
        await journal.doubt(began, "the connection broke after sending", [])
        # the model is told of the doubt, which looks like a result, and asks again
        await model(journal, run, "turn 2", asked=1, shown=1)
        assert await charge(journal, run) == ("InDoubt", 0)
        await journal.resolve(began.id, "fail", None, [])
        assert await charge(journal, run) == ("Failed", 0)


@pytest.mark.requirement("DUR-06")
@pytest.mark.parametrize("effect", ["safe", "keyed", "once"])
async def test_what_was_not_executed_is_asked_again_as_the_same_step(place: Place, effect: str) -> None:
    async with journal_in(place) as journal:
        sample = replace(step(run=await next_attempt(journal)), effect=effect)
        first = await begun(journal, intent(sample))
        await journal.release(first, "connection refused", [{"event": "released"}])
        second = await begun(journal, intent(sample))
        assert (second.id, second.occurrence, second.attempt) == (first.id, 1, 2)
        assert second.upstream_key == first.upstream_key
        assert not second.again


@pytest.mark.requirement("DUR-06", "DUR-08")
async def test_a_tool_declared_once_since_is_held_like_one(place: Place) -> None:
    async with journal_in(place) as journal:
        sample = step(key="order-7", effect="safe")
        began = await begun(journal, intent(sample))
        await journal.doubt(began, "timed out", [])
        assert await journal.begin(intent(replace(sample, effect="once"))) == InDoubt(began.id, "timed out")
        assert isinstance(await journal.begin(intent(sample)), Began)


@pytest.mark.requirement("DUR-09")
async def test_a_failed_step_says_who_failed_it(place: Place) -> None:
    async with journal_in(place) as journal:
        began = await begun(journal, intent(step(key="order-7")))
        await journal.doubt(began, "timed out", [])
        assert await journal.resolve(began.id, "fail", None, []) == "failed"
        assert await journal.look_up(step(key="order-7")) == Failed(began.id, "an operator settled it as failed")
