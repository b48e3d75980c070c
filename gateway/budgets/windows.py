"""The window that holds a moment: a calendar's, which begins anew, or one that slides.

All times are microseconds since the epoch but for `now`, which is seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable

_SECOND: Final = 1_000_000
_DAY: Final = 86_400 * _SECOND
#: A sliding window is counted in this many parts: what it forgets, it forgets a sixtieth too late at most.
BUCKETS: Final = 60
#: How long windows that are over are still kept, to be looked at.
_KEPT: Final = 40 * _DAY


@dataclass(frozen=True, slots=True)
class Window:
    """Where a call counts (`bucket`), and what counts with it: all from `since` on.

    `until` is when the first of it counts no more, `None` for a window without an end. Nobody asks for
    it after `kept_until`.
    """

    bucket: int
    since: int
    until: int | None
    kept_until: int


def calendar(period: str, zone: str) -> Callable[[float], Window]:
    """Return what tells the window of a moment: the minute, hour, day, week (from Monday) or month of `zone`."""
    place: tzinfo = UTC if zone == "UTC" else ZoneInfo(zone)
    known = Window(0, 0, 0, 0)

    def window(now: float) -> Window:
        nonlocal known
        if not known.bucket <= now * _SECOND < (known.until or 0):
            begin, end = _span(period, datetime.fromtimestamp(now, place))
            known = Window(begin, begin, end, end + _KEPT)
        return known

    return window


def sliding(seconds: int) -> Callable[[float], Window]:
    """Return what tells the window of a moment: the `seconds` before it, in whole buckets."""
    length = max(1, -(-seconds // BUCKETS)) * _SECOND

    def window(now: float) -> Window:
        moment = int(now * _SECOND)
        bucket = moment // length * length
        # the oldest bucket counts whole while any of it is within: never too little
        since = (moment - seconds * _SECOND) // length * length
        return Window(bucket, since, since + length + seconds * _SECOND, bucket + length + seconds * _SECOND + _DAY)

    return window


def endless(now: float) -> Window:
    """Return the window of a run: all of it, kept for as long as it goes on."""
    today = int(now * _SECOND) // _DAY * _DAY
    return Window(0, 0, None, today + _KEPT)


def _span(period: str, local: datetime) -> tuple[int, int]:
    """Return when the period that holds `local` begins and ends."""
    if period in {"1m", "1h"}:
        # counted from the moment itself: an hour that clocks repeat is two
        seconds = 60 if period == "1m" else 3600
        passed = (local.minute * 60 if period == "1h" else 0) + local.second
        begin = (int(local.timestamp()) - passed) * _SECOND
        return begin, begin + seconds * _SECOND
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if period == "1d":
        first, after = midnight, midnight + timedelta(days=1)
    elif period == "1w":
        first = midnight - timedelta(days=local.weekday())
        after = first + timedelta(days=7)
    else:
        first = midnight.replace(day=1)
        after = (first + timedelta(days=32)).replace(day=1)
    return round(first.timestamp()) * _SECOND, round(after.timestamp()) * _SECOND
