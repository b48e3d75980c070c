"""A breaker of one upstream: closed, open after too many failures, half open to try it.

Made and used in one event loop, so that nothing needs a lock. Results of calls that began before the state
last changed do not count: they tell of the time before.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Breaker

State = Literal["closed", "open", "half_open"]
#: The window is counted in parts; the oldest is forgotten as a whole.
_PARTS: Final = 10


@dataclass(slots=True)
class _Part:
    until: float
    requests: int = 0
    failures: int = 0


class BreakerState:
    """Counts what happened within the window and says whether a call may go; `now` is a clock in seconds."""

    def __init__(self, rule: Breaker, now: Callable[[], float]) -> None:
        self._rule = rule
        self._now = now
        self._parts: deque[_Part] = deque()
        self._consecutive = 0
        self._opened = 0.0
        self._probes = 0
        self._good_probes = 0
        self.state: State = "closed"
        #: how often the state has changed; what was let through before the last change does not count
        self.changes = 0
        self.opened_times = 0

    def wait_seconds(self) -> float | None:
        """Return for how long nothing is let through, `None` when this call is; then `ended` follows."""
        if self.state == "closed":
            return None
        if self.state == "open":
            left = self._opened + self._rule.open_seconds - self._now()
            if left > 0:
                return left
            self._become("half_open")
        if self._probes >= self._rule.half_open:
            return 1.0
        self._probes += 1
        return None

    def ended(self, changes: int, *, good: bool | None) -> None:
        """Take how a call let through at `changes` went; `good` is `None` where that tells nothing of the upstream."""
        if changes != self.changes:
            return
        if self.state == "half_open":
            self._probed(good=good)
        elif good is not None:
            self._counted(good=good)

    def counts(self) -> tuple[int, int, int]:
        """Return requests and failures within the window, and failures in a row."""
        self._forget()
        requests, failures = (sum(getattr(part, name) for part in self._parts) for name in ("requests", "failures"))
        return requests, failures, self._consecutive

    def _probed(self, *, good: bool | None) -> None:
        if good is None:
            self._probes -= 1
        elif not good:
            self._open()
        else:
            self._good_probes += 1
            if self._good_probes >= self._rule.half_open:
                self._become("closed")

    def _counted(self, *, good: bool) -> None:
        now = self._now()
        if not self._parts or self._parts[-1].until <= now:
            self._forget()
            self._parts.append(_Part(now + self._rule.window_seconds / _PARTS))
        part = self._parts[-1]
        part.requests += 1
        if good:
            self._consecutive = 0
            return
        part.failures += 1
        self._consecutive += 1
        requests, failures, consecutive = self.counts()
        if self._rule.trip.holds(requests=requests, failures=failures, consecutive_failures=consecutive):
            self._open()

    def _forget(self) -> None:
        oldest = self._now() - self._rule.window_seconds * (1 - 1 / _PARTS)
        while self._parts and self._parts[0].until <= oldest:
            self._parts.popleft()

    def _open(self) -> None:
        self._opened = self._now()
        self.opened_times += 1
        self._become("open")

    def _become(self, state: State) -> None:
        self.state = state
        self.changes += 1
        self._probes = self._good_probes = self._consecutive = 0
        self._parts.clear()
