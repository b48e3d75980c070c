"""Breaker and places by themselves, on a clock of their own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import Breaker, Bulkhead, Resilience
from gateway.resilience.breaker import BreakerState
from gateway.resilience.bulkhead import Places
from gateway.resilience.gates import Gates, Shut
from policy.conditions import compile_trip

pytestmark = pytest.mark.anyio


@dataclass
class Clock:
    time: float = 1000.0

    def __call__(self) -> float:
        return self.time


def breaker(trip: str, clock: Clock, *, half_open: int = 1, window: float = 10.0) -> BreakerState:
    rule = Breaker(trip=compile_trip(trip), window_seconds=window, open_seconds=5.0, half_open=half_open)
    return BreakerState(rule, clock)


def answered(state: BreakerState, answers: str) -> None:
    """Let calls through that go well (`+`) or badly (`-`)."""
    for one in answers:
        assert state.wait_seconds() is None
        state.ended(state.changes, good=one == "+")


@pytest.mark.requirement("RES-07")
def test_failures_in_a_row_open_it_a_good_answer_between_them_does_not() -> None:
    state = breaker("consecutive_failures >= 3", Clock())
    answered(state, "--+--")
    assert state.state == "closed"
    answered(state, "-")
    assert (state.state, state.wait_seconds()) == ("open", 5.0)


@pytest.mark.requirement("RES-07")
def test_a_ratio_counts_within_the_window_only() -> None:
    clock = Clock()
    state = breaker("requests >= 4 && failure_ratio > 0.5", clock)
    answered(state, "---")
    clock.time += 11
    answered(state, "-++")
    assert state.counts() == (3, 1, 0)
    answered(state, "--")
    assert state.state == "open"


@pytest.mark.requirement("RES-07")
def test_half_open_lets_so_many_through_and_one_failure_opens_it_again() -> None:
    clock = Clock()
    state = breaker("failures >= 1", clock, half_open=2)
    answered(state, "-")
    clock.time += 5
    assert [state.wait_seconds() for _ in range(3)] == [None, None, 1.0]
    state.ended(state.changes, good=None)  # its client went away: the place is free again
    assert [state.wait_seconds(), state.wait_seconds()] == [None, 1.0]
    entered = state.changes
    state.ended(entered, good=True)
    state.ended(entered, good=True)
    assert state.state == "closed"
    answered(state, "-")
    clock.time += 5
    assert state.wait_seconds() is None
    state.ended(state.changes, good=False)
    assert (state.state, state.wait_seconds(), state.opened_times) == ("open", 5.0, 3)


@pytest.mark.requirement("RES-07")
def test_what_was_sent_before_the_state_changed_does_not_count() -> None:
    clock = Clock()
    state = breaker("failures >= 1", clock)
    late = state.changes
    answered(state, "-")
    state.ended(late, good=False)
    clock.time += 5
    assert state.wait_seconds() is None
    state.ended(late, good=True)
    assert state.state == "half_open"


@pytest.mark.requirement("RES-07")
@given(
    st.lists(st.tuples(st.sampled_from(["enter", "good", "bad", "nothing", "later"]), st.floats(0.1, 6.0)), max_size=80)
)
def test_an_open_breaker_lets_nothing_through_and_half_open_no_more_than_its_number(
    deeds: list[tuple[str, float]],
) -> None:
    clock = Clock()
    state = breaker("consecutive_failures >= 2", clock, half_open=2)
    inside: list[int] = []
    for deed, seconds in deeds:
        if deed == "later":
            clock.time += seconds
        elif deed == "enter":
            before = state.state
            wait = state.wait_seconds()
            if wait is None:
                inside.append(state.changes)
                assert before != "open" or state.state == "half_open"
            else:
                assert state.state != "closed"
                assert wait > 0
        elif inside:
            state.ended(inside.pop(0), good={"good": True, "bad": False, "nothing": None}[deed])
        assert state.state != "half_open" or inside.count(state.changes) <= 2


@pytest.mark.requirement("RES-08")
async def test_places_are_given_in_order_and_the_queue_has_an_end() -> None:
    places = Places(Bulkhead(in_flight_max=1, queue_max=2, queue_seconds_max=5.0))
    assert await places.take(5)
    order: list[int] = []

    async def wait(number: int) -> None:
        assert await places.take(5)
        order.append(number)

    first, second = asyncio.ensure_future(wait(1)), asyncio.ensure_future(wait(2))
    await asyncio.sleep(0)
    assert (places.taken, places.waiting) == (1, 2)
    assert not await places.take(5)
    places.leave()
    await first
    places.leave()
    await second
    assert order == [1, 2]
    places.leave()
    assert (places.taken, places.waiting, places.refused) == (0, 0, 1)


@pytest.mark.requirement("RES-08")
async def test_who_waits_too_long_or_goes_away_leaves_no_place_taken() -> None:
    places = Places(Bulkhead(in_flight_max=1, queue_max=5, queue_seconds_max=0.01))
    assert await places.take(5)
    assert not await places.take(5)
    gone = asyncio.ensure_future(places.take(5))
    await asyncio.sleep(0)
    places.leave()  # given to the one that is cancelled in the same moment
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert (places.taken, places.waiting) == (0, 0)
    assert await places.take(5)


@pytest.mark.requirement("RES-07", "RES-08")
async def test_a_gate_is_of_a_whole_upstream_and_gives_the_place_back_when_it_is_shut() -> None:
    clock = Clock()
    rule = Resilience(
        breaker=Breaker(trip=compile_trip("failures >= 1"), open_seconds=5.0), bulkhead=Bulkhead(in_flight_max=2)
    )
    gates = Gates({"mcp/bank/**": rule}, ["mcp/bank", "model/m"], clock)
    gate = gates.of("mcp/bank/tool/charge")
    assert gate is gates.of("mcp/bank")
    assert gate is not None
    assert gates.of("model/m") is None
    entered = await gate.enter(1)
    gate.leave(entered, good=gate.good(500))
    with pytest.raises(Shut) as caught:
        await gate.enter(1)
    assert (caught.value.refusal.status, caught.value.refusal.retry_after_seconds) == (503, 5)
    (view,) = gates.views()
    assert (view.upstream, view.breaker, view.in_flight, view.in_flight_max) == ("mcp/bank", "open", 0, 2)
    assert [gate.good(status) for status in (200, 404, 429, 500, 529)] == [True, True, True, False, False]
