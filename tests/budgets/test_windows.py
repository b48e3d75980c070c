"""Windows as a calendar and a clock have them, also where clocks are turned."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.budgets.windows import BUCKETS, calendar, endless, sliding

SECOND = 1_000_000
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "America/Havana", "Pacific/Apia", "Africa/Cairo")
PERIODS = ("1m", "1h", "1d", "1w", "1mo")


def at(text: str, zone: str, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


@pytest.mark.requirement("BUD-10")
@pytest.mark.parametrize(
    ("period", "zone", "moment", "begin", "end"),
    [
        ("1d", "Europe/Berlin", "2026-03-29T12:00", "2026-03-29T00:00", "2026-03-30T00:00"),  # 23 hours
        ("1d", "Europe/Berlin", "2026-10-25T02:30", "2026-10-25T00:00", "2026-10-26T00:00"),  # 25 hours
        ("1d", "America/Havana", "2026-03-08T12:00", "2026-03-08T01:00", "2026-03-09T00:00"),  # no midnight
        ("1w", "UTC", "2026-11-22T23:59:59", "2026-11-16T00:00", "2026-11-23T00:00"),  # a Sunday
        ("1w", "America/New_York", "2026-11-23T00:00", "2026-11-23T00:00", "2026-11-30T00:00"),  # a Monday
        ("1mo", "Asia/Kathmandu", "2028-02-29T23:59", "2028-02-01T00:00", "2028-03-01T00:00"),
        ("1mo", "UTC", "2026-12-31T23:59:59.999", "2026-12-01T00:00", "2027-01-01T00:00"),
        ("1h", "Asia/Kathmandu", "2026-11-21T10:59:59", "2026-11-21T10:00", "2026-11-21T11:00"),
        ("1m", "UTC", "2026-11-21T10:59:59", "2026-11-21T10:59", "2026-11-21T11:00"),
    ],
)
def test_a_calendar_window_is_the_one_people_mean(period: str, zone: str, moment: str, begin: str, end: str) -> None:
    window = calendar(period, zone)(at(moment, zone))
    assert (window.bucket, window.since, window.until) == (
        round(at(begin, zone) * SECOND), round(at(begin, zone) * SECOND), round(at(end, zone) * SECOND),
    )  # fmt: skip


@pytest.mark.requirement("BUD-10")
def test_an_hour_that_clocks_repeat_is_two_windows() -> None:
    window = calendar("1h", "Europe/Berlin")
    first, second = (window(at("2026-10-25T02:30", "Europe/Berlin", fold)) for fold in (0, 1))
    assert second.bucket - first.bucket == 3600 * SECOND
    assert first.until == second.bucket


@pytest.mark.requirement("BUD-10")
@given(
    period=st.sampled_from(PERIODS),
    zone=st.sampled_from(ZONES),
    moment=st.datetimes(datetime(2000, 1, 1), datetime(2036, 12, 31)).map(lambda one: one.replace(tzinfo=UTC)),  # noqa: DTZ001 - made aware right after
    after=st.timedeltas(timedelta(0), timedelta(days=40)),
)
def test_calendar_windows_follow_one_another_without_gap_or_overlap(
    period: str, zone: str, moment: datetime, after: timedelta
) -> None:
    window = calendar(period, zone)
    now = moment.timestamp()
    here = window(now)
    assert here.bucket <= now * SECOND < (here.until or 0)
    assert calendar(period, zone)(here.bucket / SECOND) == here
    following = calendar(period, zone)((here.until or 0) / SECOND)
    assert following.bucket == here.until
    # what one remembers of the last window never misleads it about another
    later = now + after.total_seconds()
    assert window(later) == calendar(period, zone)(later)


@pytest.mark.requirement("BUD-06")
@given(
    seconds=st.integers(1, 40 * 86400),
    began=st.floats(1e9, 2e9),
    passed=st.floats(0, 2),
)
def test_a_sliding_window_forgets_nothing_too_early_and_all_a_sixtieth_late(
    seconds: int, began: float, passed: float
) -> None:
    window = sliding(seconds)
    then, now = window(began), window(began + passed * seconds)
    bucket = max(1, -(-seconds // BUCKETS))
    if passed <= 1:
        assert then.bucket >= now.since
    if passed * seconds > seconds + bucket:
        assert then.bucket < now.since
    assert then.kept_until > (began + seconds) * SECOND
    assert now.until is not None
    assert now.until > (began + passed * seconds) * SECOND


@pytest.mark.requirement("BUD-10")
def test_a_run_has_one_window_from_its_first_call_on() -> None:
    early, late = endless(1e9), endless(1.001e9)
    assert (early.bucket, early.since, early.until) == (late.bucket, late.since, late.until) == (0, 0, None)
    assert late.kept_until > early.kept_until
