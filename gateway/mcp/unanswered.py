"""Questions of servers of the older era whose answer was blocked: they end at once, and not when their time is over.

The server gets a JSON-RPC error in the gateway's name, never an answer: `decline` and `cancel` would be a word of the
person, who has said something else (MCP 2025-11-25, elicitation). It says no more than placeholders do.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gateway.call import NotSent, Sent
from gateway.mcp.leg import Leg
from gateway.mcp.talk import whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.call import UpstreamRequest
    from gateway.mcp.link import Link
    from gateway.mcp.turn import Turn

_log = logging.getLogger("oncegate.unanswered")

#: How long a server may take to hear that it gets no answer.
SECONDS_MAX: Final = 15.0


class Unanswered:
    """Tells servers, beside the refusals that agents get; `aclose` ends it."""

    def __init__(self) -> None:
        self._telling: set[asyncio.Task[None]] = set()

    def end(self, link: Link, turn: Turn, error: dict[str, object], request: Callable[[], UpstreamRequest]) -> None:
        """Have the question end that the message of `turn` answers; `request` makes what says the error to a server."""
        telling = asyncio.create_task(self._end(link, turn, error, request))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def aclose(self) -> None:
        """Tell nobody any more."""
        for telling in self._telling:
            telling.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)

    async def _end(
        self, link: Link, turn: Turn, error: dict[str, object], request: Callable[[], UpstreamRequest]
    ) -> None:
        message = turn.message
        try:
            async with asyncio.timeout(SECONDS_MAX):
                if message is None or message.kind != "response":
                    await link.uplift.refused(turn, error)
                elif turn.session is not None:  # without one no server can have asked
                    await whole(await Leg(link, turn).send(await _proven(request()), seconds_max=SECONDS_MAX))
        except (NotSent, Sent, TimeoutError) as failed:
            _log.warning("`%s` was not told that its question gets no answer: %s", link.name, failed or "no answer")


async def _proven(request: UpstreamRequest) -> UpstreamRequest:
    if request.authorize is None:
        return request
    return replace(request, headers=(*request.headers, *await request.authorize()), authorize=None)
