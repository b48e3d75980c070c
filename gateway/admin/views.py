"""The admin API's JSON: what operators are shown and what they send (OpenAPI is made of these)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from gateway.admin.parts import REASON_CHARACTERS_MAX, ROWS_MAX
from gateway.identity.names import NAME_CHARACTERS_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable.records import CallRecord, RunRecord

CallState = Literal["in_flight", "done", "in_doubt", "failed", "not_executed", "held"]
RunState = Literal["ready", "running", "waiting", "finished", "failed", "cancelled"]

_SHOWN: dict[str, CallState] = {
    "intent": "in_flight", "done": "done", "doubt": "in_doubt", "failed": "failed", "released": "not_executed",
    "held": "held",
}  # fmt: skip
#: The journal's word for each state, by the word operators use.
STORED = {shown: stored for stored, shown in _SHOWN.items()}

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,128}$")]
# one line of text: what it says is shown in terminals and kept in the audit
_ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
Reason = Annotated[str, StringConstraints(max_length=REASON_CHARACTERS_MAX, pattern=_ONE_LINE)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Acceptance(_Form):
    """Why a store that was rolled back is accepted as it is."""

    reason: Annotated[Reason, StringConstraints(min_length=1)]


class Accepted(_Form):
    """Whether anything was held for a rollback, and is not any more."""

    accepted: bool


class Call(_Form):
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


class Run(_Form):
    """One run. `attempt` is the newest, `calls` and `replays` are totals."""

    id: str
    agent: str
    domain: str
    user: str | None
    state: str
    attempt: int
    created: float
    updated: float
    calls: int
    replays: int
    result: JsonValue


class Timeline(Run):
    """A run with its calls in order; `calls_left_off` counts older ones that are not shown."""

    timeline: list[Call]
    calls_left_off: int


class CallQuery(_Form):
    """Which calls a listing shows; left out means any."""

    limit: int = Field(50, ge=1, le=ROWS_MAX)
    state: CallState | None = None
    run: Identifier | None = None
    agent: str | None = Field(None, max_length=256)
    resource: str | None = Field(None, max_length=2048)


class RunQuery(_Form):
    """Which runs a listing shows; left out means any."""

    limit: int = Field(50, ge=1, le=ROWS_MAX)
    state: RunState | None = None
    agent: str | None = Field(None, max_length=256)


class Resolution(_Form):
    """An operator's decision on a call in doubt.

    `happened` needs `outcome`: the `result` of an MCP tool call, the answer's body of a model call.
    `execute` lets the agent's next request make the call again. `fail` needs a `reason`.
    """

    verdict: Literal["happened", "execute", "fail"]
    outcome: JsonValue = None
    reason: Reason = ""


class Resolved(_Form):
    """What became of a call in doubt."""

    id: str
    state: CallState


class RunRequest(_Form):
    """A run to open in the name of an agent; with `id`, its next attempt."""

    agent: str = Field(max_length=NAME_CHARACTERS_MAX)
    domain: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,128}$")]
    id: Identifier | None = None


class NewAttempt(_Form):
    """A run's newest attempt; `token` is a secret."""

    id: str
    token: str
    attempt: int
    openai_base_url: str
    anthropic_base_url: str
    mcp_url: str


class RunEnd(_Form):
    """How a run ended."""

    state: Literal["finished", "failed", "cancelled"]
    attempt: int = Field(ge=0)
    result: JsonValue = None


class RunClosed(_Form):
    """What became of a run."""

    id: str
    state: str


class Health(_Form):
    """That the process answers, and nothing else."""

    status: Literal["ok"] = "ok"


class ProblemDetails(_Form):
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
        resource=record.resource, action=record.action, effect=record.effect, state=_SHOWN[record.state],
        reason=record.reason, attempt=record.attempt, replays=record.replays, intent_time=record.intent_time,
        outcome_time=record.outcome_time, milliseconds=record.milliseconds, status=record.status,
        meta={name: _simple(value) for name, value in record.meta.items()},
    )  # fmt: skip


def run_view(record: RunRecord) -> Run:
    """Return a run as operators see it."""
    return Run(
        id=record.id, agent=record.agent, domain=record.domain, user=_named(record.user), state=record.state,
        attempt=record.attempt, created=record.created, updated=record.updated, calls=record.calls,
        replays=record.replays, result=_result(record.result),
    )  # fmt: skip


def timeline_view(record: RunRecord, calls: Sequence[CallRecord]) -> Timeline:
    """Return a run with its calls in the order they were begun."""
    shown = [call_view(call) for call in sorted(calls, key=lambda call: (call.step, call.intent_time, call.id))]
    run = run_view(record).model_dump()
    return Timeline(**run, timeline=shown, calls_left_off=max(0, record.calls - len(shown)))


def state_view(stored: str) -> CallState:
    """Return the operators' word for a journal state."""
    return _SHOWN[stored]


def _named(user: str) -> str | None:
    return None if user == "-" else user


def _result(result: bytes | None) -> JsonValue:
    if result is None:
        return None
    try:
        value: JsonValue = json.loads(result)
    except ValueError:
        return result.decode(errors="replace")
    return value


def _simple(value: object) -> JsonValue:
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return json.loads(json.dumps(value, default=str))
