"""`/api/v1/budgets`: what is spent, reserved and left of budgets, in the window that holds now."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from gateway.admin.form import Form
from gateway.admin.parts import ROWS_MAX
from gateway.admin.permit import Permit, permit
from gateway.admin.problem import Problem

_Reader = Annotated[Permit, Depends(permit("admin/budgets", "read"))]


class BudgetQuery(Form):
    """Which budgets a listing shows; left out means any. `budget` and `subject` are whole names."""

    limit: int = Field(200, ge=1, le=ROWS_MAX)
    budget: str | None = Field(None, max_length=512)
    subject: str | None = Field(None, max_length=1024)
    after: str | None = Field(
        None,
        max_length=2048,
        description="go on behind this one: `budget,subject,measure`, the last of the page before",
    )


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
    router.add_api_route("", listed, methods=["GET"], summary="List what is left of budgets")
    return router


async def listed(allowed: _Reader, wanted: Annotated[BudgetQuery, Query()]) -> list[BudgetView]:
    """Return how budgets stand. Raises `Problem`."""
    after: tuple[str, str, str] | None = None
    if wanted.after is not None:
        # no name holds a comma: it has a meaning in policy lines
        budget, _, rest = wanted.after.partition(",")
        subject, _, measure = rest.rpartition(",")
        after = budget, subject, measure
    try:
        found = await allowed.parts.budgets.standings(
            budget=wanted.budget, subject=wanted.subject, limit=wanted.limit, after=after
        )
    except LookupError:
        raise Problem(
            422, "invalid", f"`after`: there is no such budget as `{wanted.after}` any more; begin anew"
        ) from None
    return [
        BudgetView(
            budget=one.budget, subject=one.subject, measure=one.measure, most=one.most, spent=one.spent,
            reserved=one.reserved, remaining=one.remaining, since=one.since, until=one.until,
        )
        for one in found
    ]  # fmt: skip
