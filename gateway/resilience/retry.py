"""Whether, and after how long, a call is sent again: one pure decision over what is known of the last try.

| the last try | `once`, and what is not journaled | `keyed`, its key known upstream | `safe` |
|---|---|---|---|
| known not executed (never sent, 401, 429) | again | again | again |
| anything else (cut, late, 5xx, 503 even with `Retry-After`) | never | again, same key | again |

A 503 proves nothing: proxies in front of an upstream answer it after the upstream has died with the request
(Envoy's `upstream connect error or disconnect/reset before headers`). 429 is the limiter's own word (RFC 6585
section 4), and the journal takes it for not executed as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, Literal

from gateway.call import header

if TYPE_CHECKING:
    from durable.step import Effect
    from gateway.call import Headers, Refusal
    from gateway.config import Retry

#: Statuses below this are answers, not failures (RFC 9110 section 15).
_FAILURES_FROM: Final = 400
#: More than any wait that is kept; such a number is only compared.
_SECONDS_MAX: Final = 10.0**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """One try without an answer to keep.

    `proof` says what is known of the effect. `status` is the upstream's, `None` where none came. `refusal` is
    what the agent is told when it was not executed and nothing more is tried. With `final`, another try to the
    same upstream would end the same way; with `over`, any try would.
    """

    proof: Literal["not_executed", "unknown"]
    reason: str
    status: int | None = None
    retry_after_seconds: float | None = None
    refusal: Refusal | None = None
    final: bool = False
    over: bool = False


def repeatable(failed: Failed, effect: Effect, *, journaled: bool, key_holds: bool) -> bool:
    """Return whether sending the call once more cannot make its effect happen twice.

    `key_holds` tells whether the upstream surely knows the key of a `keyed` call by then. What is not journaled
    is never sent twice on a guess: nobody has said that it has no effect.
    """
    if failed.proof == "not_executed":
        return True
    if not journaled:
        return False
    return effect == "safe" or (effect == "keyed" and key_holds)


def next_wait(rule: Retry, failed: Failed, *, tries: int, seconds_left: float, chance: float) -> float | None:
    """Return how long to wait before the next try, in seconds, `None` when there is none.

    `tries` were made, `seconds_left` of the call's time are left, `chance` is a random number from 0 to 1.
    An upstream that asks for a longer wait than `max_interval` is not asked again.
    """
    if failed.final or failed.over or tries >= rule.tries_max:
        return None
    if failed.status is not None and failed.status not in rule.statuses:
        return None
    wait = rule.initial_seconds
    if rule.policy == "exponential":
        wait *= 2.0 ** (tries - 1)
    wait = min(wait, rule.interval_seconds_max) * (1.0 - rule.jitter * chance)
    if failed.retry_after_seconds is not None:
        if failed.retry_after_seconds > rule.interval_seconds_max:
            return None
        wait = max(wait, failed.retry_after_seconds)
    return wait if wait < seconds_left else None


def retry_after_seconds(status: int, headers: Headers, now: float) -> float | None:
    """Return how long an answer asks to be left alone (RFC 9110 section 10.2.3; OpenAI's `retry-after-ms`).

    `now` is in seconds since the epoch. `None` where it does not say, or not in a way that can be read.
    """
    if status < _FAILURES_FROM:
        return None
    exact = _number(header(headers, b"retry-after-ms"))
    if exact is not None:
        return exact / 1000.0
    said = header(headers, b"retry-after")
    if said is None:
        return None
    seconds = _number(said)
    if seconds is not None:
        return seconds
    try:
        when = parsedate_to_datetime(said.decode("latin-1"))
    except ValueError:
        return None
    # a date without a zone is in UTC: HTTP knows no other
    return max(0.0, (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp() - now)


def _number(text: bytes | None) -> float | None:
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return min(value, _SECONDS_MAX) if value >= 0 else None
