"""Approvals on both stores: bound to what is asked, decided by others, used once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from durable.journal import ApprovalClosed
from durable.records import ApprovalRecord, Vote
from durable.step import ApprovalLost, Began, Settlement
from tests.contracts.place import audited, journal_in
from tests.durable.steps import intent, next_attempt, outcome, step

if TYPE_CHECKING:
    from durable.step import Step
    from durable.store import Store
    from tests.contracts.place import Place

pytestmark = pytest.mark.anyio
SHOWN = b'{"amount":2000}'
WANTED = ApprovalRecord(
    id="", state="", domain="acme", agent="billing", user="-", run=None, run_attempt=0, resource="", action="",
    demands=("acme/finance",), requesters=("agent:acme/billing", "user:acme/ann"), arguments=b"a" * 32, policy="p1",
    rule="line-7", votes=(), asked=0.0, expires=4e9, decided=None,
)  # fmt: skip


def vote(voter: str, *, approves: bool = True, groups: tuple[str, ...] = ("acme/finance",)) -> Vote:
    return Vote(voter=voter, groups=groups, approves=approves, reason="looked at it", time=time.time())


async def asked(journal: Store, of: Step, **changes: object) -> ApprovalRecord:
    return await journal.ask_approval(of, replace(WANTED, **changes), SHOWN, ({"event": "approval_asked"},))


@pytest.mark.requirement("DUR-30")
async def test_asking_again_joins_the_same_approval_and_what_is_shown_is_sealed(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        first = await asked(journal, step(run=run))
        again = await next_attempt(journal, run.id)
        second = await asked(journal, step(run=again))
        assert (second.id, second.run_attempt, second.state) == (first.id, 2, "pending")
        assert await journal.read_shown(first.id) == SHOWN
        assert (record := await journal.read_run(run.id)) is not None
        assert (record.state, record.waiting) == ("waiting", "approval")
        assert [one.id for one in await journal.list_approvals(limit=9, state="pending", run=run.id)] == [first.id]
    assert [record["event"] for record in await audited(place)].count("approval_asked") == 1


@pytest.mark.requirement("DUR-30")
@pytest.mark.parametrize("change", [{"arguments": b"b" * 32}, {"policy": "p2"}])
async def test_other_arguments_or_another_policy_need_an_approval_of_their_own(
    place: Place, change: dict[str, object]
) -> None:
    async with journal_in(place) as journal:
        of = step(key="order-7")
        first = await asked(journal, of)
        await journal.vote(first.id, vote("user:acme/cfo"), ())
        second = await asked(journal, of, **change)
        assert second.id != first.id
        assert (old := await journal.read_approval(first.id)) is not None
        assert (old.state, second.state) == ("lapsed", "pending")
        assert isinstance(await journal.begin(replace(intent(of), approval=first.id)), ApprovalLost)


@pytest.mark.requirement("DUR-31")
async def test_an_approved_call_is_begun_once_and_again_where_it_was_not_executed(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        of = step(run=run)
        approval = await asked(journal, of)
        wanted = replace(intent(of), approval=approval.id)
        assert isinstance(await journal.begin(wanted), ApprovalLost)
        await journal.vote(approval.id, vote("user:acme/cfo"), ())
        assert (record := await journal.read_run(run.id)) is not None
        assert (record.state, record.waiting) == ("running", None)
        # for this step alone
        assert isinstance(
            await journal.begin(replace(intent(step("other", run=run)), approval=approval.id)), ApprovalLost
        )
        began = await journal.begin(wanted)
        assert isinstance(began, Began)
        await journal.release(began, "not sent", ())
        began = await journal.begin(wanted)
        assert isinstance(began, Began)
        await journal.settle(began, Settlement(outcome=outcome()))
        assert (used := await journal.read_approval(approval.id)) is not None
        assert used.state == "used"
        fresh = await asked(journal, of)
        assert fresh.id != approval.id


@pytest.mark.requirement("DUR-32")
async def test_nobody_who_asked_decides_nobody_votes_twice_and_only_the_group_counts(place: Place) -> None:
    async with journal_in(place) as journal:
        approval = await asked(journal, step(key="order-7"))
        for voter in ("agent:acme/billing", "user:acme/billing", "agent:acme/ann", "user:acme/ann"):
            with pytest.raises(ApprovalClosed, match="asked for"):
                await journal.vote(approval.id, vote(voter), ())
        with pytest.raises(ApprovalClosed, match="only `acme/finance`"):
            await journal.vote(approval.id, vote("user:acme/eve", groups=("acme/sales",)), ())
        with pytest.raises(LookupError):
            await journal.vote("apr_none", vote("user:acme/cfo"), ())
        decided = await journal.vote(approval.id, vote("user:acme/cfo", approves=False), ({"event": "vote"},))
        assert decided.state == "denied"
        with pytest.raises(ApprovalClosed, match="is denied"):
            await journal.vote(approval.id, vote("user:acme/ceo"), ())
        assert (await asked(journal, step(key="order-7"))).id == approval.id
    assert [record["event"] for record in await audited(place)].count("vote") == 1


@pytest.mark.requirement("DUR-32")
async def test_four_eyes_need_two_voters_and_every_group_has_its_say(place: Place) -> None:
    async with journal_in(place) as journal:
        demands = ("acme/finance,four-eyes", "vendors/legal")
        approval = await asked(journal, step(key="order-7"), demands=demands)
        assert (await journal.vote(approval.id, vote("user:acme/cfo"), ())).state == "pending"
        with pytest.raises(ApprovalClosed, match="voted already"):
            await journal.vote(approval.id, vote("agent:acme/cfo"), ())
        assert (await journal.vote(approval.id, vote("user:acme/ceo"), ())).state == "pending"
        legal = vote("user:vendors/law", groups=("vendors/legal",))
        assert (await journal.vote(approval.id, legal, ())).state == "approved"


@pytest.mark.requirement("DUR-33")
async def test_who_waits_is_woken_by_the_decision_and_nobody_waits_for_ever(place: Place) -> None:
    async with journal_in(place) as journal:
        approval = await asked(journal, step(key="order-7"))
        assert (await journal.wait_approval(approval.id, 0.05)).state == "pending"
        waiting = asyncio.create_task(journal.wait_approval(approval.id, 30.0))
        await journal.vote(approval.id, vote("user:acme/cfo"), ())
        async with asyncio.timeout(60):
            assert (await waiting).state == "approved"


@pytest.mark.requirement("DUR-33")
async def test_past_its_time_or_its_run_an_approval_is_over(place: Place) -> None:
    async with journal_in(place) as journal:
        late = await asked(journal, step(key="order-7"), expires=time.time() - 1)
        run = await next_attempt(journal)
        orphan = await asked(journal, step(run=run))
        await journal.close_run(run.id, 1, "cancelled", None)
        for approval in (late, orphan):
            with pytest.raises(ApprovalClosed):
                await journal.vote(approval.id, vote("user:acme/cfo"), ())
        kept = await asked(journal, step(key="order-8"))
        assert await journal.expire_approvals() == 2
        states = {one.id: one.state for one in await journal.list_approvals(limit=9, state=None, run=None)}
        assert states == {late.id: "expired", orphan.id: "lapsed", kept.id: "pending"}
