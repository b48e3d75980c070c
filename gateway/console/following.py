"""Pages that follow: a stream that says when something has changed, and no more than that."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final

from durable.journal import JournalUnavailable
from gateway.admin.problem import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from gateway.admin.insight import Insight

#: How often is looked whether something has changed.
EVERY_SECONDS: Final = 2.0
#: A stream ends, and the browser asks anew.
STREAM_SECONDS_MAX: Final = 300.0
#: Pages that follow at once; each costs a look at who it is every time.
STREAMS_MAX: Final = 100


class Following:
    """The streams of one process. However many follow, the store is asked once in `EVERY_SECONDS`."""

    def __init__(self, insight: Insight) -> None:
        self._insight = insight
        self._open = 0
        self._said = ""
        self._looked = float("-inf")
        self._looking = asyncio.Lock()

    async def stream(self, still: Callable[[], Awaitable[object]]) -> AsyncGenerator[str]:
        """Yield events until somebody may see nothing any more, as `still` then says by raising `Problem`."""
        if self._open >= STREAMS_MAX:
            return
        self._open += 1
        try:
            clock = asyncio.get_running_loop().time
            last, until = "", clock() + STREAM_SECONDS_MAX
            yield "retry: 2000\n\n"
            while clock() < until:
                try:
                    await still()
                    now = await self._now()
                except (Problem, JournalUnavailable):
                    return
                # what changed is not said: whoever may see it asks for the page again
                yield "event: changed\ndata: 1\n\n" if last not in {"", now} else ": still here\n\n"
                last = now
                await asyncio.sleep(EVERY_SECONDS)
        finally:
            self._open -= 1

    async def _now(self) -> str:
        """Return what is different when something has changed. Raises `JournalUnavailable`."""
        clock = asyncio.get_running_loop().time
        async with self._looking:
            if clock() - self._looked >= EVERY_SECONDS / 2:
                totals, insight = await self._insight.audit.totals(), self._insight
                calls = insight.metrics.total("oncegate_calls_total")
                self._said = json.dumps([calls, totals.in_flight, totals.in_doubt, totals.held, totals.approvals,
                                         insight.policies.current.digest])  # fmt: skip
                self._looked = clock()
        return self._said
