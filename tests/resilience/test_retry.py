"""The decision to send a call again: a table of cases, and what holds for all of them."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable.step import Effect
from gateway.config import Retry
from gateway.resilience.retry import Failed, next_wait, repeatable, retry_after_seconds

NOT_SENT = Failed(proof="not_executed", reason="no connection")
LIMITED = Failed(proof="not_executed", reason="429", status=429)
LOST = Failed(proof="unknown", reason="cut")
BROKEN = Failed(proof="unknown", reason="500", status=500)
BUSY = Failed(proof="unknown", reason="503", status=503, retry_after_seconds=1.0)


@pytest.mark.requirement("RES-01")
@pytest.mark.parametrize(
    ("failed", "effect", "journaled", "key_holds", "again"),
    [
        (NOT_SENT, "once", True, False, True),
        (LIMITED, "once", True, False, True),
        (LOST, "once", True, True, False),
        (BROKEN, "once", True, True, False),
        (BUSY, "once", True, True, False),
        (LOST, "keyed", True, True, True),
        (LOST, "keyed", True, False, False),
        (BUSY, "keyed", True, True, True),
        (NOT_SENT, "keyed", True, False, True),
        (LOST, "safe", True, False, True),
        (BROKEN, "safe", True, False, True),
        (LOST, "safe", False, False, False),
        (NOT_SENT, "safe", False, False, True),
    ],
)
def test_only_what_cannot_happen_twice_is_sent_again(
    *, failed: Failed, effect: Effect, journaled: bool, key_holds: bool, again: bool
) -> None:
    assert repeatable(failed, effect, journaled=journaled, key_holds=key_holds) is again


@pytest.mark.requirement("RES-02")
@pytest.mark.parametrize(
    ("failed", "tries", "wait"),
    [
        (LOST, 1, 0.5),
        (LOST, 2, 1.0),
        (LOST, 3, 2.0),
        (LOST, 4, 3.0),  # the longest interval
        (LOST, 5, None),  # tries in total
        (BUSY, 1, 1.0),  # the upstream asks for more than the first wait
        (BUSY, 3, 2.0),  # and for less than the third
        (Failed(proof="not_executed", reason="", status=429, retry_after_seconds=3.5), 1, None),
        (Failed(proof="unknown", reason="", status=418), 1, None),
        (Failed(proof="unknown", reason="", final=True), 1, None),
    ],
)
def test_waits_double_up_to_the_longest_and_heed_the_upstream(failed: Failed, tries: int, wait: float | None) -> None:
    rule = Retry(initial_seconds=0.5, interval_seconds_max=3.0, tries_max=5, jitter=0.0)
    assert next_wait(rule, failed, tries=tries, seconds_left=60.0, chance=1.0) == wait


@pytest.mark.requirement("RES-02")
def test_constant_waits_stay_the_same_and_none_outlasts_the_call() -> None:
    rule = Retry(policy="constant", initial_seconds=2.0, interval_seconds_max=3.0, tries_max=9, jitter=0.5)
    assert [next_wait(rule, LOST, tries=tries, seconds_left=60.0, chance=0.0) for tries in (1, 8)] == [2.0, 2.0]
    assert next_wait(rule, LOST, tries=1, seconds_left=60.0, chance=1.0) == 1.0
    assert next_wait(rule, LOST, tries=1, seconds_left=2.0, chance=0.0) is None


@pytest.mark.requirement("RES-02")
@pytest.mark.parametrize(
    ("name", "value", "seconds"),
    [
        (b"retry-after", b"7", 7.0),
        (b"retry-after", b"0", 0.0),
        (b"retry-after", b"Sat, 21 Nov 2026 12:00:30 GMT", 30.0),
        (b"retry-after", b"Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        (b"retry-after", b"soon", None),
        (b"retry-after", b"-1", None),
        (b"retry-after", b"nan", None),
        (b"retry-after", b"", None),
        (b"retry-after-ms", b"250", 0.25),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(name: bytes, value: bytes, seconds: float | None) -> None:
    noon = 1795262400.0  # 2026-11-21T12:00:00Z
    assert retry_after_seconds(429, ((name, value),), noon) == seconds
    assert retry_after_seconds(200, ((name, value),), noon) is None


failures = st.builds(
    Failed,
    proof=st.sampled_from(["not_executed", "unknown"]), reason=st.just(""),
    status=st.none() | st.integers(400, 599), retry_after_seconds=st.none() | st.floats(0, 1e9), final=st.booleans(),
)  # fmt: skip
rules = st.builds(
    Retry, policy=st.sampled_from(["constant", "exponential"]), initial_seconds=st.floats(0, 10),
    interval_seconds_max=st.floats(10, 3600), tries_max=st.integers(1, 20), jitter=st.floats(0, 1),
)  # fmt: skip


@pytest.mark.requirement("RES-01", "RES-02")
@given(
    rule=rules, failed=failures, tries=st.integers(1, 30), left=st.floats(0, 1e6), chance=st.floats(0, 1),
    effect=st.sampled_from(get_args(Effect)), journaled=st.booleans(), key_holds=st.booleans(),
)  # fmt: skip
def test_no_failure_breaks_the_laws(
    *, rule: Retry, failed: Failed, tries: int, left: float, chance: float, effect: Effect, journaled: bool,
    key_holds: bool,
) -> None:  # fmt: skip
    wait = next_wait(rule, failed, tries=tries, seconds_left=left, chance=chance)
    if wait is not None:
        assert 0 <= wait <= rule.interval_seconds_max
        assert wait < left
        assert wait >= (failed.retry_after_seconds or 0.0)
        assert tries < rule.tries_max
        assert failed.status is None or failed.status in rule.statuses
    if repeatable(failed, effect, journaled=journaled, key_holds=key_holds) and failed.proof == "unknown":
        assert journaled
        assert effect != "once"
        assert effect != "keyed" or key_holds
