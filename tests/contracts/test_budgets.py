"""Budgets on both stores: reserved with the intent, settled with the outcome, kept in doubt."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from durable.step import Began, Charge, Guard, Looping, OverBudget, Settlement, Spent
from tests.contracts.place import journal_in
from tests.durable.steps import MODEL, ask, begun, intent, next_attempt, outcome, step

if TYPE_CHECKING:
    from durable.step import Intent, Step, Unit
    from durable.store import Store
    from tests.contracts.place import Place

pytestmark = pytest.mark.anyio
ROOM = 10
FAR = 4_000_000_000_000_000


def charge(
    amount: int = 1, *, most: int = ROOM, unit: Unit = "calls", name: str = "acme", bucket: int = 5, since: int = 5,
    kept_until: int = FAR,
) -> Charge:  # fmt: skip
    return Charge(
        counter=f"{unit} {name}", budget=name, measure=unit, subject="agent:acme/billing", unit=unit, amount=amount,
        most=most, bucket=bucket, since=since, until=None, kept_until=kept_until,
    )  # fmt: skip


def charged(of: Step, *charges: Charge) -> Intent:
    return replace(intent(of), charges=charges or (charge(),))


async def taken(journal: Store, name: str = "acme") -> dict[str, tuple[int, int]]:
    """Return, by what is counted, what is spent and what is reserved."""
    found = await journal.read_budget(name, 0.0, subject=None, limit=100)
    return {one.measure: (one.spent, one.reserved) for one in found}


@pytest.mark.requirement("BUD-01")
async def test_a_hundred_at_once_against_a_budget_for_ten_let_exactly_ten_through(place: Place) -> None:
    async with journal_in(place) as journal:
        runs = [await next_attempt(journal) for _ in range(4)]
        asked = await asyncio.gather(*(
            journal.begin(charged(
                step(f"call-{number}", run=runs[number % 4] if number % 2 else None),
                *(charge(name=name, most=ROOM if name == "acme" else 1000) for name in ("b", "acme", "a")),
            ))
            for number in range(100)
        ))  # fmt: skip
        assert sum(isinstance(one, Began) for one in asked) == ROOM
        over = [one for one in asked if isinstance(one, OverBudget)]
        assert [(one.charge.budget, one.used) for one in over] == [("acme", ROOM)] * 90
        assert await taken(journal) == {"calls": (0, ROOM)}
        assert await taken(journal, "a") == {"calls": (0, ROOM)}


@pytest.mark.requirement("BUD-02")
async def test_an_outcome_puts_what_was_taken_in_the_place_of_what_was_reserved(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        charges = (
            charge(), charge(500, unit="tokens", most=1000), charge(9_000, unit="nanodollars", most=12_000),
        )  # fmt: skip
        first = await begun(journal, charged(step(run=run, kind="model", resource=MODEL), *charges))
        assert await taken(journal) == {"calls": (0, 1), "tokens": (0, 500), "nanodollars": (0, 9_000)}
        spent = Spent(tokens=70, nanodollars=1_234)
        assert await journal.settle(first, Settlement(outcome=outcome(), spent=spent))
        assert await taken(journal) == {"calls": (1, 0), "tokens": (70, 0), "nanodollars": (1_234, 0)}
        second = await begun(journal, charged(step("other", run=run), *charges))
        assert await journal.settle(second, Settlement(outcome=outcome()))  # nobody said what it took
        assert await taken(journal) == {"calls": (2, 0), "tokens": (570, 0), "nanodollars": (10_234, 0)}
        refused = await journal.begin(charged(step("third", run=run), *charges))
        assert isinstance(refused, OverBudget)
        assert (refused.charge.measure, refused.used) == ("tokens", 570)
        assert await taken(journal) == {"calls": (2, 0), "tokens": (570, 0), "nanodollars": (10_234, 0)}


@pytest.mark.requirement("BUD-02")
async def test_a_replay_takes_nothing(place: Place) -> None:
    async with journal_in(place) as journal:
        of = step(run=await next_attempt(journal))
        assert await journal.settle(await begun(journal, charged(of)), Settlement(outcome=outcome()))
        full = replace(intent(of), charges=(charge(most=1),))
        assert (await ask(journal, of))[0] == "replayed"
        assert type(await journal.begin(full)).__name__ == "Replay"
        assert await taken(journal) == {"calls": (1, 0)}


@pytest.mark.requirement("BUD-03")
async def test_what_was_not_executed_gives_back_and_what_is_in_doubt_keeps(place: Place) -> None:
    async with journal_in(place) as journal:
        released, lost = charged(step("released", key="a")), charged(step("lost", key="b"))
        await journal.release(await begun(journal, released), "connection refused", ())
        assert await taken(journal) == {"calls": (0, 0)}
        again = await begun(journal, released)
        assert await taken(journal) == {"calls": (0, 1)}
        await journal.settle(again, Settlement(outcome=outcome()))
        doubtful = await begun(journal, lost)
        await journal.doubt(doubtful, "no answer", ())
        assert await taken(journal) == {"calls": (1, 1)}
        # a late outcome resolves the doubt, and the reservation with it
        assert await journal.settle(doubtful, Settlement(outcome=outcome()))
        assert await taken(journal) == {"calls": (2, 0)}


@pytest.mark.requirement("BUD-03")
@pytest.mark.parametrize("verdict", ["happened", "fail"])
async def test_what_an_operator_settles_counts_as_spent(place: Place, verdict: str) -> None:
    async with journal_in(place) as journal:
        began = await begun(journal, charged(step(key="k"), charge(), charge(500, unit="tokens", most=1000)))
        await journal.doubt(began, "no answer", ())
        await journal.resolve(began.id, verdict, outcome() if verdict == "happened" else None, ())
        assert await taken(journal) == {"calls": (1, 0), "tokens": (500, 0)}


@pytest.mark.requirement("BUD-04")
async def test_a_call_executed_again_counts_once_also_when_its_budget_is_full(place: Place) -> None:
    tight = (charge(most=1), charge(400, unit="tokens", most=900))
    async with journal_in(place) as journal:
        of = charged(step(key="k"), *tight)
        began = await begun(journal, of)
        await journal.doubt(began, "no answer", ())
        await journal.resolve(began.id, "execute", None, ())
        again = await begun(journal, of)
        assert await taken(journal) == {"calls": (0, 1), "tokens": (0, 400)}
        assert await journal.settle(again, Settlement(outcome=outcome(), spent=Spent(tokens=10)))
        assert await taken(journal) == {"calls": (1, 0), "tokens": (10, 0)}


@pytest.mark.requirement("BUD-04")
async def test_a_repeatable_call_in_doubt_may_have_cost_twice(place: Place) -> None:
    tight = (charge(most=1), charge(400, unit="tokens", most=900))
    async with journal_in(place) as journal:
        of = charged(step(key="k", effect="safe", kind="model", resource=MODEL), *tight)
        await journal.doubt(await begun(journal, of), "no answer", ())
        again = await begun(journal, of)
        assert await taken(journal) == {"calls": (0, 1), "tokens": (400, 400)}
        assert await journal.settle(again, Settlement(outcome=outcome(), spent=Spent(tokens=10)))
        assert await taken(journal) == {"calls": (1, 0), "tokens": (410, 0)}


@pytest.mark.requirement("BUD-05")
async def test_reservations_outlast_the_gateway_that_made_them(place: Place) -> None:
    async with journal_in(place) as journal:
        began = await begun(journal, charged(step(key="k"), charge(ROOM)))
    async with journal_in(place) as journal:
        assert await taken(journal) == {"calls": (0, ROOM)}
        assert isinstance(await journal.begin(charged(step("other"))), OverBudget)
        assert (record := await journal.read_call(began.id)) is not None
        assert record.state == "doubt"
        await journal.resolve(began.id, "fail", None, ())
        assert await taken(journal) == {"calls": (ROOM, 0)}


@pytest.mark.requirement("BUD-06")
async def test_a_sliding_window_is_the_sum_of_its_buckets(place: Place) -> None:
    async with journal_in(place) as journal:
        for bucket in (1, 2, 3):
            await begun(journal, charged(step(f"call-{bucket}"), charge(3, bucket=bucket, since=1)))
        assert isinstance(await journal.begin(charged(step("more"), charge(2, bucket=3, since=1))), OverBudget)
        await begun(journal, charged(step("later"), charge(2, bucket=4, since=2)))
        sums = await journal.read_budget("acme", 2e-6, subject=None, limit=9)
        assert [(one.spent, one.reserved, one.subject) for one in sums] == [(0, 8, "agent:acme/billing")]


@pytest.mark.requirement("BUD-12")
async def test_a_full_window_says_when_it_has_room_again_and_one_that_never_has_says_so(place: Place) -> None:
    async with journal_in(place) as journal:

        async def room_at(amount: int, *, until: int | None = 11) -> int | None:
            # a bucket counts for ten after its begin
            wanted = replace(charge(amount, bucket=5, since=1), until=until)
            told = await journal.begin(charged(step("one more"), wanted))
            assert isinstance(told, OverBudget)
            return told.until

        for bucket, amount in ((1, 3), (2, 3), (4, 4)):
            await begun(journal, charged(step(f"call-{bucket}"), charge(amount, bucket=bucket, since=1)))
        assert [await room_at(amount) for amount in (1, 3, 4, 6, 7, 10)] == [11, 11, 12, 12, 14, 14]
        assert await room_at(11) is None
        assert await room_at(1, until=None) is None


@pytest.mark.requirement("BUD-07")
async def test_windows_that_are_over_are_deleted_but_for_what_is_reserved(place: Place) -> None:
    async with journal_in(place) as journal:
        settled = await begun(journal, charged(step("a"), charge(name="over", kept_until=7)))
        await journal.settle(settled, Settlement(outcome=outcome()))
        await begun(journal, charged(step("b"), charge(name="reserved", kept_until=7), charge(name="kept")))
        assert await journal.purge({}, rows_max=100) == 1
        assert await journal.purge({}, rows_max=100) == 0
        assert [await taken(journal, name) for name in ("over", "reserved", "kept")] == [
            {}, {"calls": (0, 1)}, {"calls": (0, 1)},
        ]  # fmt: skip


@pytest.mark.requirement("BUD-08")
async def test_the_same_call_over_and_over_in_a_run_is_stopped_and_its_replays_are_not(place: Place) -> None:
    guard = Guard(same_call_max=3, run_calls_max=5)
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        same = step("poll", run=run, effect="safe")
        for _ in range(3):
            began = await begun(journal, replace(intent(same), guard=guard))
            await journal.settle(began, Settlement(outcome=outcome()))
            journal.delivered(began.id, complete=True)
        assert await journal.begin(replace(intent(same), guard=guard)) == Looping("same_call", 3)
        for name in ("fourth", "fifth"):
            await begun(journal, replace(intent(step(name, run=run)), guard=guard))
        assert await journal.begin(replace(intent(step("sixth", run=run)), guard=guard)) == Looping("run_calls", 5)
        # a restarted agent is answered from the journal, up to where it was
        anew = await next_attempt(journal, run.id)
        again = step("poll", run=anew, effect="safe")
        assert [(await ask(journal, again))[0] for _ in range(3)] == ["replayed"] * 3


@pytest.mark.requirement("BUD-08")
async def test_many_calls_of_a_run_at_once_stop_at_its_bound(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        of = [replace(intent(step(f"call-{at}", run=run)), guard=Guard(run_calls_max=7)) for at in range(30)]
        asked = await asyncio.gather(*(journal.begin(one) for one in of))
        assert sum(isinstance(one, Began) for one in asked) == 7
        late = replace(intent(step("late", run=run)), guard=Guard(run_seconds_max=0.0))
        assert await journal.begin(late) == Looping("run_seconds", 0.0)
