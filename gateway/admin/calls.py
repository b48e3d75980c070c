"""`/api/v1/calls`: the journal's calls, and the decision on one that is in doubt."""

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Path, Query, Request

from durable.journal import NotInDoubt, TooEarly
from durable.records import CallFilter, CallRecord
from durable.step import Proof
from gateway.admin.door import TREE
from gateway.admin.permit import Permit, permit
from gateway.admin.problem import Problem
from gateway.admin.views import (
    STORED,
    Call,
    CallQuery,
    CallShown,
    Resolution,
    Resolved,
    call_shown,
    call_view,
    state_view,
)
from gateway.call import Refusal
from gateway.given import Given, Unusable
from redaction.finding import DetectionError

_Reader = Annotated[Permit, Depends(permit("admin/calls", "read"))]
_Changer = Annotated[Permit, Depends(permit("admin/calls", "change"))]
_Id = Annotated[str, Path(max_length=128)]


def routes() -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/api/v1/calls", tags=["calls"])
    router.add_api_route("", listed, methods=["GET"], summary="List calls, newest first")
    router.add_api_route("/{call_id}", shown, methods=["GET"], summary="Show a call")
    router.add_api_route("/{call_id}/resolve", _resolve, methods=["POST"], summary="Settle a call in doubt")
    return router


async def listed(allowed: _Reader, wanted: Annotated[CallQuery, Query()]) -> list[Call]:
    """Return calls, newest first."""
    # what may be executed again is in doubt, or held, no more
    state, granted = (None, None) if wanted.state is None else STORED[wanted.state]
    found = await allowed.parts.operator.list_calls(
        CallFilter(
            limit=wanted.limit,
            state=state,
            granted=granted,
            run=wanted.run,
            agent=wanted.agent,
            resource=wanted.resource,
            before=wanted.before,
        )
    )
    return [call_view(record) for record in found]


async def shown(allowed: _Reader, call_id: _Id) -> CallShown:
    """Return one call with its bodies. Raises `Problem`."""
    record, operator = await _existing(allowed, call_id), allowed.parts.operator
    return call_shown(record, await operator.read_request(call_id), await operator.read_outcome(call_id))


async def _resolve(allowed: _Changer, call_id: _Id, wanted: Resolution, request: Request) -> Resolved:
    record = await _existing(allowed, call_id)
    given = "outcome" in wanted.model_fields_set
    if given != (wanted.verdict == "happened"):
        raise Problem(422, "invalid", "expected an `outcome` with `happened`, and only there")
    if wanted.verdict == "fail" and not wanted.reason:
        raise Problem(422, "invalid", "expected a `reason` with `fail`")
    # numbers stay as the operator wrote them: the tree of the front door, not a second parser's
    tree = cast("dict[str, object]", request.scope["state"][TREE])
    found = await _given(allowed, record, tree["outcome"]) if given else None
    proof = Proof() if found is None else Proof(uses=found.uses, vault=found.vault)
    audit = [allowed.record(f"resolve:{wanted.verdict}", call_id, wanted.reason)]
    try:
        outcome = None if found is None else found.outcome
        state = await allowed.parts.operator.resolve(call_id, wanted.verdict, outcome, audit, proof)
    except LookupError:
        raise _unknown(call_id) from None
    except NotInDoubt:
        raise Problem(409, "not_in_doubt", f"call `{call_id}` is not in doubt, there is nothing to settle") from None
    except TooEarly as early:
        raise Problem(409, "too_early", str(early)) from None
    return Resolved(id=call_id, state=state_view(state, granted=wanted.verdict == "execute"))


async def _existing(allowed: Permit, call_id: str) -> CallRecord:
    record = await allowed.parts.operator.read_call(call_id)
    if record is None:
        raise _unknown(call_id)
    return record


def _unknown(call_id: str) -> Problem:
    return Problem(404, "not_found", f"there is no call `{call_id}`")


async def _given(allowed: Permit, record: CallRecord, tree: object) -> Given:
    try:
        return await allowed.parts.given(record, tree)
    except Unusable as error:
        raise Problem(422, "invalid", str(error)) from None
    except DetectionError:
        raise Problem(503, "unavailable", "the outcome could not be inspected for personal data; try again") from None
    except Refusal as refusal:
        raise Problem(refusal.status, refusal.code, refusal.message) from None
