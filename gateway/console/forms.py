"""How the console writes times, money and amounts."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final, cast

from gateway.metrics import Minute

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Bodies are shown up to here; the whole is the admin API's to give.
SHOWN_CHARACTERS_MAX: Final = 100_000
#: What a chart shows.
MINUTES_SHOWN: Final = 60
_CENT: Final = 0.01
_SECOND: Final = 1000.0
_MINUTE: Final = 60.0


def when(seconds: float) -> str:
    """Return a time in UTC, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(seconds))


def usd(amount: float) -> str:
    """Return US dollars, with as many digits as small amounts need."""
    return f"${amount:,.2f}" if amount >= _CENT or amount == 0 else f"${amount:.6f}"


def amount(value: float) -> str:
    """Return a number without needless digits."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.6f}".rstrip("0")


def span(milliseconds: float | None) -> str:
    """Return a duration in the unit in which people say it."""
    if milliseconds is None:
        return "-"
    if milliseconds < _SECOND:
        return f"{milliseconds:.1f} ms"
    seconds = milliseconds / _SECOND
    return f"{seconds:.1f} s" if seconds < _MINUTE else f"{int(seconds // _MINUTE)} min {seconds % _MINUTE:02.0f} s"


def counts(found: object) -> str:
    """Return counts by name as people read them: `CARD 2, EMAIL 1`."""
    if not isinstance(found, dict):
        return ""
    named = cast("dict[str, object]", found)
    return ", ".join(f"{name} {number}" for name, number in named.items())


def tree(value: object) -> str:
    """Return JSON as people read it, bounded."""
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=str)
    if len(text) <= SHOWN_CHARACTERS_MAX:
        return text
    return text[:SHOWN_CHARACTERS_MAX] + f"\n… {len(text) - SHOWN_CHARACTERS_MAX} characters are left off here"


def calls_chart(minutes: Iterable[Minute], now: float) -> str:
    """Return calls, denials and replays a minute up to `now`, as the chart takes them."""
    kept = _hour(minutes, now)
    data = [[one.minute * 60 for one in kept], [one.calls for one in kept], [one.denied for one in kept],
            [one.replayed for one in kept]]  # fmt: skip
    return json.dumps({"labels": ["calls", "denied", "replayed"], "data": data})


def added_chart(minutes: Iterable[Minute], now: float) -> str:
    """Return milliseconds added a call, by minute up to `now`."""
    kept = _hour(minutes, now)
    added = [round(1000 * one.added / one.calls, 3) if one.calls else 0 for one in kept]
    return json.dumps({"labels": ["ms"], "data": [[one.minute * 60 for one in kept], added]})


def _hour(minutes: Iterable[Minute], now: float) -> list[Minute]:
    """Return the newest minutes, those without a call too."""
    known, last = {one.minute: one for one in minutes}, int(now // 60)
    return [known.get(number) or Minute(number) for number in range(last - MINUTES_SHOWN + 1, last + 1)]
