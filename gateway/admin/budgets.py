"""`/api/v1/budgets`: what is spent, reserved and left of budgets, in the window that holds now."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from gateway.admin.form import Form
from gateway.admin.parts import ROWS_MAX
from gateway.admin.permit import Permit, permit

_Reader = Annotated[Permit, Depends(permit("admin/budgets", "read"))]


class BudgetQuery(Form):
    """Which budgets a listing shows; left out means any. `budget` and `subject` are whole names."""

    limit: int = Field(200, ge=1, le=ROWS_MAX)
    budget: str | None = Field(None, max_length=512)
    subject: str | None = Field(None, max_length=1024)


class BudgetView(Form):
    """One measure of a budget for one subject: calls, tokens or US dollars. Times are seconds since the epoch."""

    budget: str
    subject: str = Field(description="whose it is: `agent:acme/billing`, `run:run_1`, or a resource pattern")
    measure: str = Field(description="`requests`, `model_calls`, `tool_calls`, `tokens` or `usd`")
    most: float
    spent: float
    reserved: float = Field(description="of calls under way or in doubt")
    remaining: float
    since: float
    until: float | None = Field(description="when the window ends, or the first of a sliding one counts no more")


def routes() -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/api/v1/budgets", tags=["budgets"])
    router.add_api_route("", _list, methods=["GET"], summary="List what is left of budgets")
    return router


async def standings(allowed: Permit) -> list[BudgetView]:
    """Return how all budgets stand."""
    return await _list(allowed, BudgetQuery())  # pyright: ignore[reportCallIssue] - every field has a default


async def _list(allowed: _Reader, wanted: Annotated[BudgetQuery, Query()]) -> list[BudgetView]:
    found = await allowed.parts.budgets.standings(budget=wanted.budget, subject=wanted.subject, limit=wanted.limit)
    return [
        BudgetView(
            budget=one.budget, subject=one.subject, measure=one.measure, most=one.most, spent=one.spent,
            reserved=one.reserved, remaining=one.remaining, since=one.since, until=one.until,
        )
        for one in found
    ]  # fmt: skip
