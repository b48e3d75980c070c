"""`/api/v1/agents`: who has called since this process began."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from gateway.admin.audit import insight_of
from gateway.admin.form import Form
from gateway.admin.paging import page
from gateway.admin.parts import ROWS_MAX
from gateway.admin.permit import Permit, permit
from gateway.metrics import AgentSeen

_Reader = Annotated[Permit, Depends(permit("admin/budgets", "read"))]


class AgentView(Form):
    """One agent that called this instance; `last` is seconds since the epoch."""

    name: str = Field(description="`domain/agent`")
    calls: int
    denied: int
    last: float


class AgentQuery(Form):
    """Which agents a listing shows."""

    limit: int = Field(50, ge=1, le=ROWS_MAX)
    after: str | None = Field(None, max_length=1024, description="go on behind this one, a `name`")


def routes() -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/api/v1/agents", tags=["agents"])
    router.add_api_route("", listed, methods=["GET"], summary="List agents that called, by name")
    return router


async def listed(allowed: _Reader, wanted: Annotated[AgentQuery, Query()]) -> list[AgentView]:
    """Return agents by name. Raises `Problem`."""
    seen = sorted(insight_of(allowed).metrics.agents_seen(), key=name_of)
    return [
        AgentView(name=name_of(one), calls=one.calls, denied=one.denied, last=one.last)
        for one in page(seen, name_of, wanted.after, wanted.limit)
    ]


def name_of(one: AgentSeen) -> str:
    """Return `domain/agent`."""
    return f"{one.domain}/{one.agent}"
