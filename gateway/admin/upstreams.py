"""`/api/v1/upstreams`: the state of each upstream's breaker and places, of this process."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from gateway.admin.form import Form
from gateway.admin.parts import ROWS_MAX
from gateway.admin.permit import Permit, permit

_Reader = Annotated[Permit, Depends(permit("admin/upstreams", "read"))]


class UpstreamState(Form):
    """One upstream with a breaker or a bulkhead; `null` where that part is not configured."""

    upstream: str = Field(description="`model/<name>` or `mcp/<server>`")
    breaker: Literal["closed", "open", "half_open"] | None
    requests: int = Field(description="within the breaker's window")
    failures: int = Field(description="within the breaker's window")
    consecutive_failures: int
    opened: int = Field(description="how often the breaker has opened since the process began")
    in_flight: int | None
    in_flight_max: int | None
    waiting: int = Field(description="calls that wait for a place")
    refused: int = Field(description="calls that got no place since the process began")


class UpstreamQuery(Form):
    """How many are shown."""

    limit: int = Field(50, ge=1, le=ROWS_MAX)


def routes() -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/api/v1/upstreams", tags=["upstreams"])
    router.add_api_route("", _list, methods=["GET"], summary="List upstreams with a breaker or a bulkhead, by name")
    return router


async def _list(allowed: _Reader, wanted: Annotated[UpstreamQuery, Query()]) -> list[UpstreamState]:
    return [
        UpstreamState(
            upstream=one.upstream, breaker=one.breaker, requests=one.requests, failures=one.failures,
            consecutive_failures=one.consecutive_failures, opened=one.opened, in_flight=one.in_flight,
            in_flight_max=one.in_flight_max, waiting=one.waiting, refused=one.refused,
        )
        for one in allowed.parts.upstreams()[: wanted.limit]
    ]  # fmt: skip
