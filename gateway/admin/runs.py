"""`/api/v1/runs`: the runs of the journal, one as a timeline, what operators do to one, the supervisor's door."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from durable.journal import RunOver
from durable.records import CallFilter
from gateway.admin.parts import ROWS_MAX, Listener
from gateway.admin.permit import Permit, permit
from gateway.admin.problem import Problem
from gateway.admin.run_views import (
    ForkRequest,
    NewAttempt,
    Run,
    RunClosed,
    RunDecision,
    RunEnd,
    RunQuery,
    RunRequest,
    Timeline,
    run_view,
    timeline_view,
)
from gateway.body import canonical
from gateway.call import Refusal
from gateway.identity.names import usable_name

_Reader = Annotated[Permit, Depends(permit("admin/runs", "read"))]
_Changer = Annotated[Permit, Depends(permit("admin/runs", "change"))]
_Id = Annotated[str, Path(max_length=128)]


def routes(listener: Listener) -> APIRouter:
    """Return the routes; opening and closing runs for agents is the owner's, on the socket."""
    router = APIRouter(prefix="/api/v1/runs", tags=["runs"])
    router.add_api_route("", listed, methods=["GET"], summary="List runs, newest first")
    router.add_api_route("/{run_id}", shown, methods=["GET"], summary="Show a run with its calls in order")
    router.add_api_route("/{run_id}/cancel", _cancel, methods=["POST"], summary="Cancel an open run")
    router.add_api_route("/{run_id}/retry", _retry, methods=["POST"], summary="Open a failed or cancelled run again")
    router.add_api_route("/{run_id}/fork", _fork, methods=["POST"], summary="Fork a run at a step", status_code=201)
    if listener == "socket":
        # elsewhere a run is opened with the agent's own credential, on the agents' listener
        router.add_api_route("", _open, methods=["POST"], summary="Open a run or its next attempt", status_code=201)
        router.add_api_route("/{run_id}/finish", _finish, methods=["POST"], summary="Close a run")
    return router


async def listed(allowed: _Reader, wanted: Annotated[RunQuery, Query()]) -> list[Run]:
    """Return runs, newest first. Raises `Problem`."""
    try:
        records = await allowed.parts.runs.list_runs(
            limit=wanted.limit, agent=wanted.agent, state=wanted.state, before=wanted.before
        )
    except LookupError:
        raise Problem(422, "invalid", f"`before`: there is no run `{wanted.before}` any more; begin anew") from None
    return [run_view(record) for record in records]


async def shown(allowed: _Reader, run_id: _Id) -> Timeline:
    """Return a run with its calls in order. Raises `Problem`."""
    record = await allowed.parts.runs.read_run(run_id)
    if record is None:
        raise _unknown(run_id)
    calls = await allowed.parts.operator.list_calls(CallFilter(run=run_id, limit=ROWS_MAX))
    return timeline_view(record, calls)


async def _cancel(allowed: _Changer, run_id: _Id, why: RunDecision) -> Run:
    audit = [allowed.record("cancel_run", run_id, why.reason)]
    who = "the owner" if allowed.decision is None else allowed.principal.name
    reason = f"cancelled by {who}" + (f": {why.reason}" if why.reason else "")
    try:
        return run_view(await allowed.parts.runs.cancel_run(run_id, reason, audit))
    except LookupError:
        raise _unknown(run_id) from None
    except RunOver as over:
        raise Problem(409, "run_closed", str(over)) from None


async def _retry(allowed: _Changer, run_id: _Id, why: RunDecision) -> Run:
    try:
        audit = [allowed.record("retry_run", run_id, why.reason)]
        return run_view(await allowed.parts.runs.retry_run(run_id, audit))
    except LookupError:
        raise _unknown(run_id) from None
    except RunOver as over:
        raise Problem(409, "not_retried", str(over)) from None


async def _fork(allowed: _Changer, run_id: _Id, wanted: ForkRequest) -> Run:
    for model in (*wanted.models, *wanted.models.values()):
        if model not in allowed.parts.models:
            raise Problem(422, "invalid", "`models`: expected names of configured models")
    if wanted.policies is not None and wanted.policies not in allowed.parts.policy_sets:
        raise Problem(422, "invalid", "`policies`: expected a name of `policy_sets` in the configuration")
    details: dict[str, object] = {"models": dict(wanted.models)} if wanted.models else {}
    if wanted.policies is not None:
        details["policies"] = wanted.policies
    audit = [allowed.record(f"fork_run:{wanted.step}", run_id, wanted.reason) | {"parent": run_id}]
    try:
        fork = await allowed.parts.runs.fork_run(
            run_id, wanted.step, details, audit, repeat_effects=wanted.repeat_effects
        )
    except LookupError:
        raise _unknown(run_id) from None
    except ValueError as error:
        raise Problem(422, "no_such_step", str(error)) from None
    return run_view(fork)


async def _open(allowed: _Changer, wanted: RunRequest) -> NewAttempt:
    if not usable_name(wanted.agent):
        raise Problem(422, "invalid", "`agent`: expected a name as credentials carry it")
    try:
        opened = await allowed.parts.open_run(wanted.agent, wanted.domain, wanted.id)
    except LookupError:
        raise Problem(404, "not_found", f"there is no run `{wanted.id}` of this agent") from None
    except RunOver as over:
        raise Problem(409, "run_closed", str(over)) from None
    except Refusal as refusal:
        raise Problem(refusal.status, refusal.code, refusal.message) from None
    await allowed.parts.write_audit([allowed.record(f"open_run:{opened.attempt}", opened.id)])
    return NewAttempt(
        id=opened.id,
        token=opened.token,
        attempt=opened.attempt,
        openai_base_url=opened.openai_base_url,
        anthropic_base_url=opened.anthropic_base_url,
        mcp_url=opened.mcp_url,
    )


async def _finish(allowed: _Changer, run_id: _Id, end: RunEnd) -> RunClosed:
    result = None if end.result is None else canonical(end.result)
    if not await allowed.parts.runs.close_run(run_id, end.attempt, end.state, result):
        raise Problem(409, "not_running", f"run `{run_id}` is not running attempt {end.attempt}")
    await allowed.parts.write_audit([allowed.record(f"close_run:{end.state}", run_id)])
    return RunClosed(id=run_id, state=end.state)


def _unknown(run_id: str) -> Problem:
    return Problem(404, "not_found", f"there is no run `{run_id}`")
