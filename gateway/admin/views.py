"""The admin API's JSON: what operators are shown and what they send (OpenAPI is made of these)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, JsonValue, StringConstraints

from gateway.admin.form import Form, Identifier, Reason
from gateway.admin.parts import ROWS_MAX

if TYPE_CHECKING:
    from durable.records import CallRecord
    from durable.step import Outcome

CallState = Literal["in_flight", "done", "in_doubt", "granted", "failed", "not_executed", "held"]

_SHOWN: dict[str, CallState] = {
    "intent": "in_flight", "done": "done", "doubt": "in_doubt", "failed": "failed", "released": "not_executed",
    "held": "held",
}  # fmt: skip
#: The journal's word for each state, by the word operators use, and whether it may be executed when next asked.
STORED: dict[CallState, tuple[str | None, bool | None]] = {
    "in_flight": ("intent", None), "done": ("done", None), "in_doubt": ("doubt", False), "granted": (None, True),
    "failed": ("failed", None), "not_executed": ("released", None), "held": ("held", False),
}  # fmt: skip


class Acceptance(Form):
    """Why a store that was rolled back is accepted as it is."""

    reason: Annotated[Reason, StringConstraints(min_length=1)]


class Accepted(Form):
    """Whether anything was held for a rollback, and is not any more."""

    accepted: bool


class Call(Form):
    """One governed call. Times are seconds since the epoch, `milliseconds` is the upstream's share."""

    id: str
    key: str | None = Field(description="the explicit idempotency key, if the agent gave one")
    run: str | None
    run_attempt: int
    step: int = Field(description="position in the run, for people; never an identity")
    occurrence: int
    agent: str
    domain: str
    user: str | None
    resource: str
    action: str
    effect: str = Field(description="effect class: `safe`, `keyed` or `once`")
    state: CallState
    reason: str
    attempt: int = Field(description="how often it was begun")
    replays: int = Field(description="how often its outcome was given again")
    intent_time: float
    outcome_time: float | None
    milliseconds: float | None
    status: int | None
    meta: dict[str, JsonValue]


class CallShown(Call):
    """One call with what the agent asked and what it was given, both as the journal has them: redacted."""

    request: JsonValue = Field(description="the request with placeholders")
    outcome: JsonValue = Field(description="the outcome with placeholders; frames of a stream as one text")
    may_execute_from: float | None = Field(description="when the call in doubt can be on its way no more")


class CallQuery(Form):
    """Which calls a listing shows; left out means any."""

    limit: int = Field(50, ge=1, le=ROWS_MAX)
    state: CallState | None = None
    run: Identifier | None = None
    agent: str | None = Field(None, max_length=256)
    resource: str | None = Field(None, max_length=2048)
    before: str | None = Field(
        None,
        pattern=r"^call_[0-9a-f]{1,64}$",
        description="only calls older than this one: the last of the page before",
    )


class Resolution(Form):
    """An operator's decision on a call in doubt.

    `happened` needs `outcome`: the `result` of an MCP tool call, the answer's body of a model call.
    `execute` lets the agent's next request make the call again. `fail` needs a `reason`.
    """

    verdict: Literal["happened", "execute", "fail"]
    outcome: JsonValue = None
    reason: Reason = ""


class Resolved(Form):
    """What became of a call in doubt."""

    id: str
    state: CallState


class Health(Form):
    """That the process answers, and nothing else."""

    status: Literal["ok"] = "ok"


class ProblemDetails(Form):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str
    detail: str


def call_view(record: CallRecord) -> Call:
    """Return a journal row as operators see it."""
    return Call(
        id=record.id, key=record.key, run=record.run, run_attempt=record.run_attempt, step=record.step,
        occurrence=record.occurrence, agent=record.agent, domain=record.domain, user=_named(record.user),
        resource=record.resource, action=record.action, effect=record.effect,
        state=state_view(record.state, granted=record.granted),
        reason=record.reason, attempt=record.attempt, replays=record.replays, intent_time=record.intent_time,
        outcome_time=record.outcome_time, milliseconds=record.milliseconds, status=record.status,
        meta={name: _simple(value) for name, value in record.meta.items()},
    )  # fmt: skip


def call_shown(record: CallRecord, request: bytes | None, outcome: Outcome | None) -> CallShown:
    """Return a journal row with its bodies as operators see it."""
    waits = record.state == "doubt" and not record.granted
    return CallShown(
        **dict(call_view(record)),
        request=None if request is None else json.loads(request),
        outcome=None if outcome is None else _said(outcome),
        may_execute_from=record.sent_time + record.seconds_max if waits else None,
    )


def state_view(stored: str, *, granted: bool) -> CallState:
    """Return the operators' word for a journal state."""
    return "granted" if granted and stored in {"doubt", "held"} else _SHOWN[stored]


def _said(outcome: Outcome) -> JsonValue:
    try:
        return json.loads(outcome.body)
    except ValueError:  # frames, or an error page
        return outcome.body.decode("utf-8", "replace")


def _named(user: str) -> str | None:
    return None if user == "-" else user


def _simple(value: object) -> JsonValue:
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return json.loads(json.dumps(value, default=str))
