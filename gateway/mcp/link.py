"""What the gateway knows and holds of one configured server while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.call import NotSent
from gateway.mcp.downshift import Downshift
from gateway.mcp.eras import Eras
from gateway.mcp.parameters import Parameters
from gateway.mcp.renewals import Renewals
from gateway.mcp.stdio import StdioUpstream
from gateway.mcp.uplift import Uplift

if TYPE_CHECKING:
    from gateway.call import Upstream, UpstreamRequest, UpstreamResponse
    from gateway.config import McpServer
    from gateway.mcp.turn import Turn


class Link:
    """One server: where it is, which of its sessions were opened again, which requests are under way."""

    def __init__(self, config: McpServer, upstream: Upstream) -> None:
        self.name = config.name
        self.config = config
        self.over_http = config.over_http
        self._upstream = upstream

        async def send(request: UpstreamRequest, seconds_max: float) -> UpstreamResponse:
            return await self.send(request, seconds_max=seconds_max)

        era = "legacy" if config.transport == "sse" else config.era
        processes = upstream if isinstance(upstream, StdioUpstream) else None
        self.eras = Eras(
            era, send, over_http=self.over_http, deaths=lambda: 0 if processes is None else processes.deaths
        )
        self.renewals = Renewals(send)
        self.uplift = Uplift(send)
        self.downshift = Downshift()
        self.parameters = Parameters()
        self.under_way = UnderWay()

    async def send(self, request: UpstreamRequest, *, seconds_max: float) -> UpstreamResponse:
        """Send a request as it is. Raises `NotSent`, `Sent`."""
        try:
            return await self._upstream.send(request, seconds_max=seconds_max)
        except NotSent:
            self.eras.forget()
            raise

    async def aclose(self) -> None:
        """End what waits and what is held."""
        await self.uplift.aclose()


class UnderWay:
    """Requests of the older era that wait for their response, by whose they are."""

    def __init__(self) -> None:
        self._turns: dict[tuple[str, str], dict[object, Turn]] = {}

    def add(self, turn: Turn) -> None:
        """Keep a request until `remove`."""
        if turn.message is not None:
            self._turns.setdefault(_whose(turn), {})[turn.message.id] = turn

    def remove(self, turn: Turn) -> None:
        """Let go of a request that is over."""
        whose = _whose(turn)
        known = self._turns.get(whose, {})
        if turn.message is not None and known.get(turn.message.id) is turn:
            del known[turn.message.id]
        if not known:
            self._turns.pop(whose, None)

    def find(self, turn: Turn, ident: object) -> Turn | None:
        """Return the request with this id in the session of `turn`."""
        if not isinstance(ident, str | int):
            return None
        return self._turns.get(_whose(turn), {}).get(ident)


def _whose(turn: Turn) -> tuple[str, str]:
    return turn.place, "" if turn.session is None else turn.session.upstream_id or turn.session.nonce
