"""Divergence: a later attempt asks for what the journal does not hold while it holds something else unasked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from durable.records import CallFilter
from durable.step import Began, Diverges, Held
from tests.contracts.place import journal_in
from tests.durable.steps import MODEL, USE, ask, begun, intent, next_attempt, step

if TYPE_CHECKING:
    from durable.step import RunRef, Step
    from durable.store import Store
    from tests.contracts.place import Place

pytestmark = pytest.mark.anyio
OTHER_USE = b"o" * 32


def think(name: str, run: RunRef) -> Step:
    return step(name, run=run, kind="model", effect="safe", resource=MODEL)


async def restarted(journal: Store, *names: str) -> RunRef:
    """A run whose first attempt has charged each of `names`, at its second attempt."""
    run = await next_attempt(journal)
    for name in names:
        await ask(journal, step(name, run=run))
    return await next_attempt(journal, run.id)


@pytest.mark.requirement("RUN-08")
async def test_a_new_step_names_the_first_entry_of_its_resource_not_asked_for(place: Place) -> None:
    async with journal_in(place) as journal:
        second = await restarted(journal, "a", "b", "c")
        assert await ask(journal, step("a", run=second)) == ("replayed", 1)
        began = await begun(journal, intent(step("x", run=second)))
        assert began.diverges is not None
        assert began.diverges.step == 2
        listed = await journal.list_calls(CallFilter(run=second.id, by_step=True))
        assert listed[-1].diverges == began.diverges.call_id == listed[1].id
        # the next one is told from the next entry, and past the last there is nothing to differ from
        again = await begun(journal, intent(step("y", run=second)))
        assert again.diverges is not None
        assert again.diverges.step == 3
        assert (await begun(journal, intent(step("z", run=second)))).diverges is None


@pytest.mark.requirement("RUN-08")
async def test_a_first_attempt_another_resource_an_explicit_key_and_going_on_after_all_are_no_divergence(
    place: Place,
) -> None:
    async with journal_in(place) as journal:
        second = await restarted(journal, "a")
        assert (await begun(journal, intent(step("k", run=second, key="k")))).diverges is None
        assert (await begun(journal, intent(step("l", run=second, resource="mcp/mail/tool/send")))).diverges is None
        assert await ask(journal, step("a", run=second)) == ("replayed", 1)
        assert (await begun(journal, intent(step("b", run=second)))).diverges is None


@pytest.mark.requirement("RUN-08")
async def test_parallel_calls_in_another_order_are_no_divergence_where_both_are_known(place: Place) -> None:
    async with journal_in(place) as journal:
        second = await restarted(journal, "a", "b")
        assert [await ask(journal, step(name, run=second)) for name in ("b", "a")] == [("replayed", 1)] * 2


@pytest.mark.requirement("RUN-10")
async def test_a_call_the_replayed_model_answer_asks_for_is_no_divergence_though_its_twin_is_unasked(
    place: Place,
) -> None:
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        await ask(journal, think("m", run), uses={USE: 1, OTHER_USE: 1})
        await ask(journal, step("a", run=run), use=USE)  # and the gateway is gone before `b`
        second = await next_attempt(journal, run.id)
        assert await ask(journal, think("m", second)) == ("replayed", 1)
        assert (await begun(journal, intent(step("b", run=second), use=OTHER_USE))).diverges is None
        assert await ask(journal, step("a", run=second), use=USE) == ("replayed", 1)


@pytest.mark.requirement("RUN-09")
async def test_a_held_divergence_is_sent_only_after_an_operator_has_said_so(place: Place) -> None:
    async with journal_in(place) as journal:
        second = await restarted(journal, "a")
        asked = intent(replace(step("x", run=second), on_divergence="hold"))
        known = await journal.begin(asked)
        assert isinstance(known, Held)
        assert (known.reason, known.diverges and known.diverges.step) == (
            "it differs from what this run asked at its step 1",
            1,
        )
        assert await journal.begin(asked) == replace(known, diverges=None)
        await journal.resolve(known.id, "execute", None, [])
        assert isinstance(await journal.begin(asked), Began)


@pytest.mark.requirement("RUN-09")
async def test_where_a_divergence_fails_the_run_nothing_is_begun(place: Place) -> None:
    async with journal_in(place) as journal:
        second = await restarted(journal, "a")
        known = await journal.begin(intent(replace(step("x", run=second), on_divergence="fail")))
        assert isinstance(known, Diverges)
        assert len(await journal.list_calls(CallFilter(run=second.id))) == 1


def resumed(name: str, run: RunRef) -> Step:
    return replace(step(name, run=run), resume="suffix")


@pytest.mark.requirement("RUN-11")
async def test_a_resumed_agent_gets_the_call_its_checkpoint_left_and_not_an_earlier_equal_one(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        await ask(journal, think("m1", run), uses={USE: 1})
        assert await ask(journal, step(run=run), use=USE) == ("executed", 1)
        await ask(journal, think("m2", run), shown={USE: 1}, uses={USE: 1})
        assert await ask(journal, step(run=run), use=USE) == ("executed", 2)
        second = await next_attempt(journal, run.id)
        # only the pending call and what comes after it are asked again
        assert await ask(journal, resumed("charge", second), use=USE) == ("replayed", 2)
        m3 = replace(think("m3", second), resume="suffix")
        assert (await begun(journal, intent(m3, shown={USE: 2}))).diverges is None


@pytest.mark.requirement("RUN-11")
async def test_a_call_the_last_model_answer_asks_for_once_more_is_made_by_the_resumed_agent(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        await ask(journal, think("m1", run), uses={USE: 1})
        await ask(journal, step(run=run), use=USE)
        await ask(journal, think("m2", run), shown={USE: 1}, uses={USE: 1})  # killed before the second charge
        second = await next_attempt(journal, run.id)
        assert await ask(journal, resumed("charge", second), use=USE) == ("executed", 2)
        assert await ask(journal, resumed("charge", second), use=USE) == ("replayed", 2)


@pytest.mark.requirement("RUN-11")
async def test_a_checkpoint_older_than_the_request_that_shows_a_result_executes_nothing_again(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        await ask(journal, think("m1", run), uses={USE: 1})
        await ask(journal, step(run=run), use=USE)
        second = await next_attempt(journal, run.id)
        # its own session makes it ask the model in other words, and the model answers the same
        await ask(journal, replace(think("m1 again", second), resume="suffix"), uses={USE: 1})
        assert await ask(journal, resumed("charge", second), use=USE) == ("replayed", 1)
        await ask(journal, replace(think("m2", second), resume="suffix"), shown={USE: 1})
        third = await next_attempt(journal, run.id)
        assert await ask(journal, resumed("charge", third), use=USE) == ("replayed", 1)


@pytest.mark.requirement("RUN-11")
async def test_an_agent_that_may_resume_but_begins_anew_is_fast_forwarded_as_any_other(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        attempt, steps = run, list[tuple[str, int]]()
        for _ in range(2):
            attempt = await next_attempt(journal, run.id)
            steps = [
                await ask(journal, replace(think("m1", attempt), resume="suffix"), uses={USE: 1}),
                await ask(journal, resumed("charge", attempt), use=USE),
                await ask(journal, replace(think("m2", attempt), resume="suffix"), shown={USE: 1}),
            ]
        assert steps == [("replayed", 1)] * 3
