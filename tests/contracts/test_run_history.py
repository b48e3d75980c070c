"""What a run has done, as later decisions see it: on both stores, after restarts, in forks."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from durable.records import RunRecord
from durable.step import Owner, RunRef, Settlement
from gateway.history import Histories
from tests.contracts.place import journal_in
from tests.durable.steps import OWNER, begun, intent, outcome, step

if TYPE_CHECKING:
    from durable.store import Store
    from policy.history import History
    from tests.contracts.place import Place

pytestmark = pytest.mark.anyio
READ, SEND = "mcp/web/tool/read", "mcp/mail/tool/send"
DAY = 86_400.0
OTHER = Owner("acme", "helper")


async def opened(journal: Store) -> RunRef:
    record = await journal.open_run(OWNER, None, {})
    return RunRef(record.id, record.attempt)


async def call(
    journal: Store, run: RunRef | None, name: str, resource: str, *labels: str, seen: int | None = None
) -> str:
    began = await begun(journal, replace(intent(step(name, run=run, resource=resource)), labels=labels, seen=seen))
    assert await journal.settle(began, Settlement(outcome=outcome()))
    return began.id


async def history(journal: Store, run: RunRef, name: str = "next", resource: str = SEND, ttl: float = 0.0) -> History:
    return (await Histories(journal, label_seconds=ttl).recall(step(name, run=run, resource=resource), 1.0)).history


@pytest.mark.requirement("HIST-01")
async def test_a_run_remembers_calls_and_labels_and_a_restarted_gateway_the_same(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await opened(journal)
        assert (await history(journal, run)).begun == 0
        await call(journal, run, "read", READ, "untrusted")
        await call(journal, run, "read again", READ)
        await begun(journal, intent(step("asked", run=run, resource="mcp/web/tool/slow")))
        known = Histories(journal, label_seconds=0.0)
        before = (await known.recall(step("next", run=run), 1.0)).history
        again = (await known.recall(step("next", run=run), 1.0)).history
        assert before == again
        assert before.after("mcp/web/**")
        assert before.count("mcp/web/tool/*") == 3
        assert not before.after("mcp/web/tool/slow")
        assert not before.never_after("mcp/web/tool/slow")
        assert not before.never_after("untrusted")
        assert before.never_after(SEND)
    async with journal_in(place) as journal:
        assert (await history(journal, run)).labels == {"untrusted"}


@pytest.mark.requirement("HIST-02")
async def test_a_step_that_is_answered_again_has_the_history_it_had(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await opened(journal)
        await call(journal, run, "send", SEND)
        await call(journal, run, "read", READ, "untrusted")
        reopened = await journal.open_run(OWNER, run.id, {})
        second = RunRef(reopened.id, reopened.attempt)
        sent = await history(journal, second, "send")
        assert (sent.begun, sent.labels) == (0, frozenset())
        read = await history(journal, second, "read", READ)
        assert read.after(SEND)
        assert not read.labels
        new = await history(journal, second, "send more")
        assert new.labels == {"untrusted"}


@pytest.mark.requirement("HIST-02")
async def test_calls_made_side_by_side_stay_side_by_side_when_they_are_answered_again(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await opened(journal)
        recalled = await Histories(journal, label_seconds=0.0).recall(step("send", run=run, resource=SEND), 1.0)
        await call(journal, run, "read", READ, "untrusted")
        # decided before the other one was begun, written after it
        await call(journal, run, "send", SEND, seen=recalled.seen)
        reopened = await journal.open_run(OWNER, run.id, {})
        again = await history(journal, RunRef(reopened.id, reopened.attempt), "send")
        assert not again.labels


@pytest.mark.requirement("HIST-03")
async def test_what_was_never_sent_is_no_history(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await opened(journal)
        began = await begun(journal, replace(intent(step("read", run=run, resource=READ)), labels=("untrusted",)))
        await journal.release(began, "connecting failed", ())
        found = await history(journal, run)
        assert (found.begun, found.labels) == (0, frozenset())
        again = await begun(journal, replace(intent(step("read", run=run, resource=READ)), labels=("untrusted",)))
        await journal.doubt(again, "cut", ())
        assert (await history(journal, run)).labels == {"untrusted"}


@pytest.mark.requirement("HIST-04")
async def test_a_fork_has_the_history_of_what_it_holds(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await opened(journal)
        await call(journal, run, "read", READ, "untrusted")
        await call(journal, run, "read more", READ, "secret")
        fork = await journal.fork_run(run.id, 1, {}, (), repeat_effects=False)
        assert (await history(journal, RunRef(fork.id, 1))).labels == {"untrusted"}


@pytest.mark.requirement("HIST-05")
async def test_labels_stay_on_the_agent_for_their_time_whatever_run_it_opens(place: Place) -> None:
    async with journal_in(place) as journal:
        await call(journal, await opened(journal), "read", READ, "untrusted")
        later = await opened(journal)
        assert (await history(journal, later, ttl=DAY)).labels == {"untrusted"}
        assert (await history(journal, later, ttl=0.0)).labels == frozenset()


@pytest.mark.requirement("HIST-08")
async def test_labels_of_one_user_are_not_anothers_but_an_agent_by_itself_has_those_of_all(place: Place) -> None:
    async with journal_in(place) as journal:
        histories = Histories(journal, label_seconds=DAY)
        ann, bob, via = (replace(OWNER, user=name) for name in ("ann", "bob", "ann|broker"))
        for owner, label in ((ann, "of-ann"), (bob, "of-bob")):
            began = await begun(journal, replace(intent(step("read", owner=owner, resource=READ)), labels=(label,)))
            assert await journal.settle(began, Settlement(outcome=outcome()))
        assert await histories.labels_of(ann) == await histories.labels_of(via) == {"of-ann"}
        assert await histories.labels_of(OWNER) == {"of-ann", "of-bob"}
        assert await histories.labels_of(replace(OWNER, domain="partner")) == frozenset()
        began = await begun(journal, replace(intent(step("read", resource=READ)), labels=("alone",)))
        assert await journal.settle(began, Settlement(outcome=outcome()))
        assert await histories.labels_of(bob) == {"of-bob", "alone"}


def wanted(name: str) -> RunRecord:
    return RunRecord(
        id=name, domain=OTHER.domain, agent=OTHER.agent, user="-", state="ready", attempt=0, created=0.0, updated=0.0,
        details={"input": "one"}, target="helper", deadline=None, attempts_max=3,
    )  # fmt: skip


@pytest.mark.requirement("HIST-07")
async def test_a_run_opened_by_a_labelled_agent_begins_with_its_labels_and_gives_its_own_back(place: Place) -> None:
    async with journal_in(place) as journal:
        opener = await opened(journal)
        await call(journal, opener, "read", READ, "untrusted")
        histories = Histories(journal, label_seconds=0.0)
        standing = await histories.labels_of(OWNER)
        assert standing == {"untrusted"}
        clean = await journal.open_run(OTHER, None, {})
        await journal.open_managed(OTHER, wanted("run_child"), b"1", [], carried=standing)
        await journal.claim_due_run()
    async with journal_in(place) as journal:  # after a restart, and without a time to stick
        child, histories = RunRef("run_child", 1), Histories(journal, label_seconds=0.0)
        asked = replace(step("send", run=child, resource=SEND), owner=OTHER)
        assert (await histories.recall(asked, 1.0)).history.labels == {"untrusted"}
        began = await begun(journal, replace(intent(asked), labels=("secret",)))
        assert await journal.settle(began, Settlement(outcome=outcome()))
        assert await histories.labels_in(OTHER, child.id) == {"untrusted", "secret"}
        before = replace(step("next", run=RunRef(clean.id, 1)), owner=OTHER)
        assert (await histories.recall(before, 1.0)).history.labels == {"untrusted"}  # it was open when they came
        # what comes back counts for the run that is open, from then on, and not for what it did before
        await histories.carry(OWNER, child.id, ["secret", "untrusted"], [{"event": "labels_carried"}])
        assert (await histories.recall(step("next", run=opener), 1.0)).history.labels == {"untrusted", "secret"}
        again = await journal.open_run(OWNER, opener.id, {})
        read = step("read", run=RunRef(again.id, again.attempt), resource=READ)
        assert not (await histories.recall(read, 1.0)).history.labels
        fork = await journal.fork_run(child.id, 1, {}, (), repeat_effects=False)
        forked = replace(step("next", run=RunRef(fork.id, 1)), owner=OTHER)
        assert (await histories.recall(forked, 1.0)).history.labels == {"untrusted", "secret"}


@pytest.mark.requirement("HIST-10")
async def test_a_label_that_came_to_a_run_is_kept_while_that_is_open_whatever_the_retention(place: Place) -> None:
    async with journal_in(place) as journal:
        run, histories = await opened(journal), Histories(journal, label_seconds=0.0)
        await histories.carry(OWNER, "run_child", ["secret"], [{"event": "labels_carried"}])
        later = Owner(OWNER.domain, OWNER.agent, "ann")
        assert await histories.labels_of(later) == {"secret"}
        assert await journal.purge({"tombstones": 0.0}, rows_max=9) == 0
        assert (await histories.recall(step("next", run=run), 1.0)).history.labels == {"secret"}
        await journal.close_run(run.id, 1, "finished", None)
        assert await journal.purge({"tombstones": 0.0}, rows_max=9) == 1
        assert await histories.labels_of(later) == frozenset()


@pytest.mark.requirement("HIST-10")
async def test_a_result_is_forgotten_before_the_labels_it_is_given_with(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await opened(journal)
        for number in range(3):
            await call(journal, run, f"read {number}", READ, "untrusted")
        await journal.close_run(run.id, 1, "finished", b"what was read")
        parts = 0
        while await journal.purge({"finished": 0.0}, rows_max=1):
            found = await journal.read_run(run.id)
            assert found is None or found.result is None
            parts += 1
        assert parts > 1


@pytest.mark.requirement("HIST-06")
async def test_a_run_that_is_too_long_has_no_history_and_conditions_err(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await opened(journal)
        for number in range(3):
            await call(journal, run, f"read {number}", READ)
        short = Histories(journal, label_seconds=0.0, calls_max=2)
        assert not (await short.recall(step("next", run=run), 1.0)).history.known


@pytest.mark.requirement("HIST-09")
async def test_a_keyed_call_without_a_run_is_decided_on_its_own_time_when_it_is_answered(place: Place) -> None:
    async with journal_in(place) as journal:
        histories = Histories(journal, label_seconds=0.0)
        keyed = step("send", key="k-1", resource=SEND)
        assert await histories.moment(keyed, 5.0) == 5.0
        began = await begun(journal, intent(keyed))
        assert await journal.settle(began, Settlement(outcome=outcome()))
        assert abs(await histories.moment(keyed, 5.0) - time.time()) < 60
        doubted = step("send", key="k-2", resource=SEND)
        await journal.doubt(await begun(journal, intent(doubted)), "cut", ())
        assert await histories.moment(doubted, 5.0) == 5.0  # it may be executed yet: today's time counts
