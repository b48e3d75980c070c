"""`/api/v1/messages`: what agents were sent through the gateway, how often it was tried, and what reached nobody.

What is delivered with retries today is the input of a managed run: a message is one, by its run's id. One that is
given up (its agent brought no answer in all its attempts, or before its deadline) is a dead letter, and is delivered
again at an operator's word.
"""

from typing import Annotated, Final, Literal, cast, get_args

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field

from durable.journal import RunOver
from durable.records import RunRecord
from gateway.admin.form import Form, Identifier
from gateway.admin.parts import ROWS_MAX
from gateway.admin.permit import Permit, permit
from gateway.admin.problem import Problem
from gateway.admin.run_views import RunDecision

MessageState = Literal["queued", "delivering", "waiting", "delivered", "dead_letter", "withdrawn"]
STATES: Final[tuple[MessageState, ...]] = get_args(MessageState)
_KIND: Final = "managed"
#: A message's state by its run's; `waiting` is for a person, not for the agent.
_STATES: Final[dict[str, MessageState]] = {
    "ready": "queued", "running": "delivering", "waiting": "waiting", "finished": "delivered", "failed": "dead_letter",
    "cancelled": "withdrawn",
}  # fmt: skip
_RUNS: Final = {state: run for run, state in _STATES.items()}

_Reader = Annotated[Permit, Depends(permit("admin/messages", "read"))]
_Changer = Annotated[Permit, Depends(permit("admin/messages", "change"))]
_Id = Annotated[str, Path(max_length=128)]


class Message(Form):
    """One message. Times are seconds since the epoch; what it says is in its run."""

    id: str = Field(description="the id of its run")
    state: MessageState
    recipient: str = Field(description="the agent it is for, `domain/name`")
    sender: str = Field(description="who sent it, `domain/name`")
    attempt: int = Field(description="how often its delivery was begun")
    attempts_max: int | None
    sent: float
    updated: float
    due: float | None = Field(description="when it is tried next")
    deadline: float | None
    reason: str = Field(description="why it is in its state")


class MessageQuery(Form):
    """Which messages a listing shows; left out means any."""

    limit: int = Field(50, ge=1, le=ROWS_MAX)
    state: MessageState | None = None
    agent: str | None = Field(None, max_length=256, description="the recipient's name")
    before: Identifier | None = Field(None, description="only messages sent before this one")


def routes() -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/api/v1/messages", tags=["messages"])
    router.add_api_route("", listed, methods=["GET"], summary="List messages to managed agents, newest first")
    router.add_api_route("/{message_id}/retry", _retry, methods=["POST"], summary="Deliver a dead letter again")
    return router


async def listed(allowed: _Reader, wanted: Annotated[MessageQuery, Query()]) -> list[Message]:
    """Return messages, newest first. Raises `Problem`."""
    state = None if wanted.state is None else _RUNS[wanted.state]
    try:
        found = await allowed.parts.runs.list_runs(
            limit=wanted.limit, agent=wanted.agent, state=state, before=wanted.before, kind=_KIND
        )
    except LookupError:
        raise Problem(422, "invalid", f"`before`: there is no message `{wanted.before}` any more; begin anew") from None
    return [_view(one) for one in found]


async def _retry(allowed: _Changer, message_id: _Id, why: RunDecision) -> Message:
    record = await allowed.parts.runs.read_run(message_id)
    if record is None or record.kind != _KIND:
        raise Problem(404, "not_found", f"there is no message `{message_id}`")
    try:
        audit = [allowed.record("retry_message", message_id, why.reason) | {"run": message_id}]
        return _view(await allowed.parts.runs.retry_run(message_id, audit))
    except RunOver as over:
        raise Problem(409, "not_retried", str(over)) from None


def _view(record: RunRecord) -> Message:
    opener = cast("dict[str, object]", record.details.get("opener") or {})
    return Message(
        id=record.id, state=_STATES[record.state], recipient=f"{record.domain}/{record.agent}",
        sender=f"{opener.get('domain', '-')}/{opener.get('agent', '-')}", attempt=record.attempt,
        attempts_max=record.attempts_max, sent=record.created, updated=record.updated, due=record.due,
        deadline=record.deadline, reason=record.reason,
    )  # fmt: skip
