"""What stands before each upstream, a model or an MCP server: its breaker and its places, shared by all callers.

NotSent
└── Shut   the upstream is left alone, or full: nothing was sent
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway import refusals
from gateway.call import NotSent
from gateway.config import setting_for
from gateway.resilience.breaker import BreakerState
from gateway.resilience.bulkhead import Places
from policy.resources import resource_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from gateway.call import Refusal
    from gateway.config import Breaker, Bulkhead, Config, Resilience
    from gateway.resilience.breaker import State

#: `model/<name>`, `mcp/<server>`.
_PARTS: Final = 2


class Shut(NotSent):
    """Nothing was sent: the upstream is left alone, or has no place. `refusal` is what the agent is told."""

    def __init__(self, reason: str, refusal: Refusal) -> None:
        super().__init__(reason)
        self.refusal = refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class GateView:
    """One upstream's gate as operators and metrics see it; `None` where that part is not configured.

    `requests` and `failures` are those of the breaker's window, `opened` and `refused` totals of the process.
    """

    upstream: str
    breaker: State | None
    requests: int
    failures: int
    consecutive_failures: int
    opened: int
    in_flight: int | None
    in_flight_max: int | None
    waiting: int
    refused: int


class Gate:
    """The gate of one upstream."""

    def __init__(
        self, upstream: str, breaker: Breaker | None, bulkhead: Bulkhead | None, now: Callable[[], float]
    ) -> None:
        self._upstream = upstream
        self._bulkhead = bulkhead
        self._failing = frozenset[int]() if breaker is None else breaker.statuses
        self._breaker = None if breaker is None else BreakerState(breaker, now)
        self._places = None if bulkhead is None else Places(bulkhead)

    async def enter(self, seconds_max: float) -> int:
        """Let a call through, waiting for a place at most `seconds_max`; what it returns is given to `leave`.

        Raises `Shut`.
        """
        # the place first: a probe of the breaker must not wait in a queue
        if self._places is not None and not await self._places.take(seconds_max):
            raise Shut("the upstream has no place for another call", refusals.upstream_full())
        if self._breaker is None:
            return 0
        wait = self._breaker.wait_seconds()
        if wait is None:
            return self._breaker.changes
        if self._places is not None:
            self._places.leave()
        raise Shut("the upstream is left alone after failures", refusals.upstream_open(math.ceil(wait)))

    def leave(self, entered: int, *, good: bool | None) -> None:
        """Take back what `enter` gave; `good` is `None` where the end tells nothing of the upstream."""
        if self._places is not None:
            self._places.leave()
        if self._breaker is not None:
            self._breaker.ended(entered, good=good)

    def good(self, status: int) -> bool:
        """Return whether an answer with this status speaks for the upstream."""
        return status not in self._failing

    def view(self) -> GateView:
        """Return what is known of it now."""
        breaker, places = self._breaker, self._places
        requests, failures, consecutive = (0, 0, 0) if breaker is None else breaker.counts()
        return GateView(
            upstream=self._upstream, breaker=None if breaker is None else breaker.state, requests=requests,
            failures=failures, consecutive_failures=consecutive, opened=0 if breaker is None else breaker.opened_times,
            in_flight=None if places is None else places.taken,
            in_flight_max=None if self._bulkhead is None else self._bulkhead.in_flight_max,
            waiting=0 if places is None else places.waiting, refused=0 if places is None else places.refused,
        )  # fmt: skip


def upstreams_of(config: Config) -> list[str]:
    """Return the names of all configured upstreams, as resources begin with them."""
    models = [resource_name("model", name) for name in config.models]
    return models + [resource_name("mcp", name) for name in config.mcp_servers]


class Gates:
    """The gates of all configured upstreams, `model/<name>` and `mcp/<server>`."""

    def __init__(
        self, entries: Mapping[str, Resilience], upstreams: Iterable[str], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._gates: dict[str, Gate] = {}
        for upstream in upstreams:
            breaker = setting_for(entries, upstream, lambda entry: entry.breaker, whole=True)
            bulkhead = setting_for(entries, upstream, lambda entry: entry.bulkhead, whole=True)
            if breaker is not None or bulkhead is not None:
                self._gates[upstream] = Gate(upstream, breaker, bulkhead, now)

    def of(self, resource: str) -> Gate | None:
        """Return the gate of a resource's upstream, `None` where it has none."""
        if not self._gates:
            return None
        return self._gates.get("/".join(resource.split("/", _PARTS)[:_PARTS]))

    def views(self) -> list[GateView]:
        """Return what is known of each, by name."""
        return [self._gates[name].view() for name in sorted(self._gates)]
