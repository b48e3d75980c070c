"""The admin API's JSON of runs: rows, timelines, and what is asked of one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Literal, cast

from pydantic import Field, JsonValue, StringConstraints

from gateway.admin.form import Form, Identifier, Reason
from gateway.admin.parts import ROWS_MAX
from gateway.admin.views import Call, call_view
from gateway.identity.names import NAME_CHARACTERS_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable.records import CallRecord, RunRecord

RunState = Literal["ready", "running", "waiting", "finished", "failed", "cancelled"]
#: How a step came to its outcome.
How = Literal["executed", "shared", "in_flight", "in_doubt", "held", "failed", "not_executed"]

_HOW: dict[str, How] = {
    "intent": "in_flight", "done": "executed", "doubt": "in_doubt", "failed": "failed", "released": "not_executed",
    "held": "held",
}  # fmt: skip
_MODEL_NAME = Annotated[str, StringConstraints(min_length=1, max_length=256)]
_MODELS_MAX = 100
#: Steps and attempts: what any store counts to.
COUNT_MAX = 2**31 - 1


class Run(Form):
    """One run. `attempt` is the newest, `calls` and `replays` are totals; times are seconds since the epoch."""

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
    kind: str = Field("open", description="`open`, `header` (named by a bare `Oncegate-Run`) or `managed`")
    reason: str = Field("", description="why it is in its state")
    waiting: str | None = Field(None, description="what it waits for: `approval`, `message` or `timer`")
    due: float | None = Field(None, description="when a managed run is started next")
    deadline: float | None = None
    attempts_max: int | None = None
    labels: list[str] = Field(default_factory=list)
    parent: str | None = Field(None, description="the run it was forked from, at `fork_step`")
    fork_step: int | None = None
    models: dict[str, str] = Field(default_factory=dict, description="a fork's other models")
    policies: str | None = Field(None, description="the policy set that decides a fork, where not the one in force")


class Difference(Form):
    """Where a call differs from one the run made before: that call, its step, and a path into the request."""

    call: str
    step: int | None
    path: str


class TimelineCall(Call):
    """One step of a run's timeline."""

    how: How = Field(description="`shared` is an outcome of the run this one was forked from")
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    decided_by: str = Field(description="the policy line that allowed it")
    parent_call: str | None
    differs: Difference | None


class Timeline(Run):
    """A run with its calls in order; `calls_left_off` counts older ones that are not shown."""

    timeline: list[TimelineCall]
    calls_left_off: int
    input_tokens: int = Field(description="of the calls shown that were executed in this run")
    output_tokens: int
    cost_usd: float
    saved_usd: float = Field(description="what answers given again from the journal would have cost anew")


class RunQuery(Form):
    """Which runs a listing shows; left out means any."""

    limit: int = Field(50, ge=1, le=ROWS_MAX)
    state: RunState | None = None
    agent: str | None = Field(None, max_length=256)
    before: Identifier | None = Field(None, description="only runs begun before this one: the last of the page before")


class RunRequest(Form):
    """A run to open in the name of an agent; with `id`, its next attempt."""

    agent: str = Field(max_length=NAME_CHARACTERS_MAX)
    domain: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,128}$")]
    id: Identifier | None = None


class NewAttempt(Form):
    """A run's newest attempt; `token` is a secret."""

    id: str
    token: str
    attempt: int
    openai_base_url: str
    anthropic_base_url: str
    mcp_url: str


class RunEnd(Form):
    """How a run ended."""

    state: Literal["finished", "failed", "cancelled"]
    attempt: int = Field(ge=0, le=COUNT_MAX)
    result: JsonValue = None


class RunClosed(Form):
    """What became of a run."""

    id: str
    state: str


class RunDecision(Form):
    """Why a run is cancelled, or opened again."""

    reason: Reason = ""


class ForkRequest(Form):
    """A run to be made of another one's journal up to `step`.

    `models` names, by the model the agent asks for, the one that is asked instead; `policies` one of the
    configured `policy_sets`, which decides the fork's calls instead of the set in force. With `repeat_effects`
    later `once` calls of the other run are not held.
    """

    step: int = Field(ge=0, le=COUNT_MAX)
    models: dict[_MODEL_NAME, _MODEL_NAME] = Field(default_factory=dict, max_length=_MODELS_MAX)
    policies: str | None = Field(None, max_length=64)
    repeat_effects: bool = False
    reason: Reason = ""


def run_view(record: RunRecord) -> Run:
    """Return a run as operators see it."""
    return Run(
        id=record.id, agent=record.agent, domain=record.domain, user=None if record.user == "-" else record.user,
        state=record.state, attempt=record.attempt, created=record.created, updated=record.updated,
        calls=record.calls, replays=record.replays, result=_result(record.result), kind=record.kind,
        reason=record.reason, waiting=record.waiting, due=record.due, deadline=record.deadline,
        attempts_max=record.attempts_max, labels=list(record.labels), parent=record.parent,
        fork_step=record.fork_step, models=cast("dict[str, str]", record.details.get("models") or {}),
        policies=cast("str | None", record.details.get("policies")),
    )  # fmt: skip


def timeline_view(record: RunRecord, calls: Sequence[CallRecord]) -> Timeline:
    """Return a run with its calls in the order they were begun."""
    ordered = sorted(calls, key=lambda call: (call.step, call.intent_time, call.id))
    steps = {call.forked_from or call.id: call.step for call in ordered} | {call.id: call.step for call in ordered}
    shown = [_timeline_call(call, steps) for call in ordered]
    own = [one for one in shown if one.how == "executed"]
    return Timeline(
        **run_view(record).model_dump(), timeline=shown,
        # a fork counts what its parent did later among its steps, though only what is held of that is there
        calls_left_off=max(0, record.calls - len(shown)) if record.parent is None else 0,
        input_tokens=sum(one.input_tokens or 0 for one in own),
        output_tokens=sum(one.output_tokens or 0 for one in own),
        cost_usd=round(sum(one.cost_usd or 0.0 for one in own), 9),
        saved_usd=round(sum((one.cost_usd or 0.0) * one.replays for one in shown), 9),
    )  # fmt: skip


def _timeline_call(record: CallRecord, steps: dict[str, int]) -> TimelineCall:
    usage = cast("dict[str, object]", record.meta.get("usage") or {})
    cost = record.meta.get("cost_usd")
    how = _HOW[record.state]
    return TimelineCall(
        **call_view(record).model_dump(include=set(Call.model_fields)),
        how="shared" if record.forked_from is not None and how == "executed" else how,
        input_tokens=_count(usage.get("input_tokens")), output_tokens=_count(usage.get("output_tokens")),
        cost_usd=float(cost) if isinstance(cost, int | float) else None, decided_by=record.rule,
        parent_call=record.forked_from, differs=_difference(record.diverges, steps),
    )  # fmt: skip


def _difference(diverges: str | None, steps: dict[str, int]) -> Difference | None:
    if diverges is None:
        return None
    call_id, _, path = diverges.partition(" ")
    return Difference(call=call_id, step=steps.get(call_id), path=path or "$")


def _count(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _result(result: bytes | None) -> JsonValue:
    if result is None:
        return None
    try:
        value: JsonValue = json.loads(result)
    except ValueError:
        return result.decode(errors="replace")
    return value
