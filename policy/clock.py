"""Clock and calendar in conditions: each function names its time zone, so that no server's own can decide."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Accessors of CEL that read a time without saying in which zone; the binding knows none with one.
ZONELESS: Final = frozenset({
    "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours", "getMilliseconds",
    "getMinutes", "getMonth", "getSeconds",
})  # fmt: skip


@lru_cache(maxsize=512)
def zone_of(name: str) -> tzinfo:
    """Return the time zone `name` of the IANA database. Raises `ValueError`."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"unknown time zone `{name}`; expected a name such as `Europe/Berlin`") from None


def _hour(when: datetime) -> int:
    return when.hour


def _minute(when: datetime) -> int:
    return when.minute


def _weekday(when: datetime) -> int:
    return when.isoweekday()


def _date(when: datetime) -> str:
    return when.date().isoformat()


def _clock(when: datetime) -> str:
    return f"{when.hour:02}:{when.minute:02}"


#: `weekday` is 1 on Mondays (ISO 8601), `date` is `2026-01-31`, `clock` is `09:05`: texts that compare as times do.
READINGS: Final[Mapping[str, Callable[[datetime], int | str]]] = {
    "hour": _hour, "minute": _minute, "weekday": _weekday, "date": _date, "clock": _clock,
}  # fmt: skip


def readings(seconds: float, names: frozenset[str]) -> dict[str, Callable[[str], int | str]]:
    """Return the functions `names` of `READINGS` for the moment `seconds` (since the epoch)."""

    def reading(read: Callable[[datetime], int | str]) -> Callable[[str], int | str]:
        return lambda zone: read(datetime.fromtimestamp(seconds, zone_of(zone)))

    return {name: reading(READINGS[name]) for name in names}
