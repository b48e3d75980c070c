"""Forks: the parent's journal up to a step, what it did later held, everything else live."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from durable.journal import RunOver
from durable.records import CallFilter
from durable.step import Began, Held, Replay, RunRef, Settlement, VaultEntry
from tests.contracts.place import journal_in
from tests.contracts.test_run_managed import opened, wanted
from tests.durable.steps import MODEL, USE, ask, begun, intent, next_attempt, outcome, step

if TYPE_CHECKING:
    from durable.store import Store
    from tests.contracts.place import Place

pytestmark = pytest.mark.anyio


async def parent_of_three(journal: Store) -> RunRef:
    """A run whose model asks for a charge, which is made, and then for another one."""
    run = await next_attempt(journal)
    await ask(journal, step("think", run=run, kind="model", effect="safe", resource=MODEL), uses={USE: 1})
    await ask(journal, step("charge 1", run=run), use=USE)
    await ask(journal, step("charge 2", run=run))
    return run


async def forked(journal: Store, run: RunRef, at: int, *, repeat_effects: bool = False) -> RunRef:
    record = await journal.fork_run(run.id, at, {"models": {"a": "b"}}, [{"event": "x"}], repeat_effects=repeat_effects)
    return RunRef(record.id, record.attempt)


@pytest.mark.requirement("RUN-06")
async def test_a_fork_replays_up_to_its_step_and_is_opened_like_any_run(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await parent_of_three(journal)
        fork = await forked(journal, run, 2)
        record = await journal.read_run(fork.id)
        assert record is not None
        assert (record.parent, record.fork_step, record.state, record.calls) == (run.id, 2, "ready", 3)
        first = await next_attempt(journal, fork.id)
        assert first.attempt == 2  # attempt 1 is what it shares with its parent
        think = step("think", run=first, kind="model", effect="safe", resource=MODEL)
        assert await ask(journal, think) == ("replayed", 1)
        assert await ask(journal, step("charge 1", run=first), use=USE) == ("replayed", 1)
        assert await ask(journal, step("charge 3", run=first)) == ("executed", 1)
        kept = await journal.read_run(fork.id)
        assert kept is not None
        assert kept.details["models"] == {"a": "b"}
        # the parent goes on as it was
        assert await ask(journal, step("charge 2", run=run)) == ("replayed", 1)


@pytest.mark.requirement("RUN-06")
async def test_what_a_fork_replays_is_what_the_parent_was_given_and_can_be_restored(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        began = await begun(journal, intent(step(run=run)))
        entry = VaultEntry(scope=f"run/{run.id}", token="[PERSON_1]", entity="PERSON", original="Ada")
        await journal.settle(began, Settlement(outcome=outcome("paid by [PERSON_1]"), vault=(entry,)))
        first = await next_attempt(journal, (await forked(journal, run, 1)).id)
        known = await journal.look_up(step(run=first))
        assert isinstance(known, Replay)
        assert known.outcome.body == b"paid by [PERSON_1]"
        found = await journal.originals(f"run/{first.id}", ["[PERSON_1]"])
        assert found["[PERSON_1]"].original == "Ada"
        (copied,) = await journal.list_calls(CallFilter(run=first.id))
        assert copied.forked_from == began.id
        assert await journal.read_request(copied.id) == b'{"amount":100}'


@pytest.mark.requirement("RUN-07")
async def test_a_later_once_call_of_the_parent_is_held_until_an_operator_decides(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await parent_of_three(journal)
        first = await next_attempt(journal, (await forked(journal, run, 1)).id)
        known = await journal.begin(intent(step("charge 1", run=first), use=USE))
        assert isinstance(known, Held)
        assert "has made this call, at its step 2" in known.reason
        assert await journal.resolve(known.id, "execute", None, []) in {"held", "released"}
        assert isinstance(await journal.begin(intent(step("charge 1", run=first), use=USE)), Began)


@pytest.mark.requirement("RUN-07")
async def test_effects_that_are_to_be_repeated_are_not_held(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await parent_of_three(journal)
        first = await next_attempt(journal, (await forked(journal, run, 1, repeat_effects=True)).id)
        assert await ask(journal, step("charge 1", run=first), use=USE) == ("executed", 1)


@pytest.mark.requirement("RUN-07")
async def test_what_is_in_doubt_in_the_parent_is_held_in_the_fork_whatever_is_repeated(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        await journal.doubt(await begun(journal, intent(step("charge", run=run))), "cut", [])
        first = await next_attempt(journal, (await forked(journal, run, 1, repeat_effects=True)).id)
        known = await journal.begin(intent(step("charge", run=first)))
        assert isinstance(known, Held)
        assert "is not known" in known.reason


@pytest.mark.requirement("RUN-06")
async def test_a_fork_of_a_managed_run_is_due_at_once_with_its_input(place: Place) -> None:
    async with journal_in(place) as journal:
        await opened(journal, wanted("run_a", attempts=3), b'{"n":7}')
        await journal.claim_due_run()
        fork = await forked(journal, RunRef("run_a", 1), 0)
        due = await journal.claim_due_run()
        assert due is not None
        assert (due.record.id, due.record.attempt, due.record.attempts_max, due.input) == (fork.id, 2, 4, b'{"n":7}')


@pytest.mark.requirement("RUN-06")
async def test_a_fork_needs_a_run_and_a_step_it_has(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await parent_of_three(journal)
        with pytest.raises(ValueError, match="has 3 steps, none is 4"):
            await forked(journal, run, 4)
        with pytest.raises(LookupError):
            await forked(journal, RunRef("run_none", 1), 1)
        assert await journal.close_run(run.id, run.attempt, "finished", None)
        fork = await forked(journal, run, 3)  # what is over can be forked
        assert (await next_attempt(journal, fork.id)).attempt == 2
        with pytest.raises(RunOver):
            await next_attempt(journal, run.id)
