"""`/api/v1/approvals`: what waits for a person, shown to those who may decide it, and their votes."""

import json
import time
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import Field, JsonValue, StringConstraints

from durable.approvals import VoteForbidden
from durable.journal import ApprovalClosed
from durable.records import ApprovalRecord, Vote
from gateway.admin.door import PRINCIPAL
from gateway.admin.form import Form, Identifier, Reason
from gateway.admin.parts import ROWS_MAX, AdminParts
from gateway.admin.permit import Permit
from gateway.admin.problem import Problem
from policy.decision import Decision, Principal
from policy.resources import resource_name

_Id = Annotated[str, Path(max_length=128)]
State = Literal["pending", "approved", "used", "denied", "expired", "lapsed"]
#: Approvals that one listing looks at, those of other groups too.
SCANNED_MAX = 20_000
#: Who decides on the owner's socket.
_OWNER = "user:-/owner"


class ApprovalQuery(Form):
    """Which approvals a listing shows; left out means any."""

    limit: int = Field(50, ge=1, le=ROWS_MAX)
    state: State | None = None
    run: str | None = Field(None, max_length=128)
    before: Identifier | None = Field(None, description="only those asked before this one: the last of the page before")


class VoteView(Form):
    """One person's decision."""

    voter: str
    approves: bool
    reason: str
    time: float


class Approval(Form):
    """One request for approval. Times are seconds since the epoch; `demands` name groups with their domain."""

    id: str
    state: State
    agent: str
    domain: str
    user: str | None
    run: str | None
    run_attempt: int
    resource: str
    action: str
    demands: list[str]
    requesters: list[str]
    rule: str
    policy: str
    votes: list[VoteView]
    asked: float
    expires: float
    decided: float | None


class ShownApproval(Approval):
    """An approval with what it is about: redacted arguments, and how much of each kind was taken out."""

    arguments: JsonValue
    withheld: dict[str, int]
    effect: str | None = Field(description="effect class of the call: what is at stake when it is made")
    restored: bool = Field(description="whether a policy line lets approvers see some of the originals, put back here")


class Approves(Form):
    """A yes, with or without words."""

    reason: Reason = ""


class Denies(Form):
    """A no, with the reason."""

    reason: Annotated[Reason, StringConstraints(min_length=1)]


async def asking(request: Request) -> tuple[AdminParts, Principal]:
    """Return who asks, and of what; each approval is decided about by itself. Raises `Problem`."""
    principal = request.scope["state"][PRINCIPAL]
    if not isinstance(principal, Principal):
        raise Problem(401, "unauthenticated", "expected a credential")
    return request.app.state.parts, principal


_Asking = Annotated[tuple[AdminParts, Principal], Depends(asking)]


def routes() -> APIRouter:
    """Return the routes; each approval is decided about on `admin/approvals/<group>`, action `approve`."""
    router = APIRouter(prefix="/api/v1/approvals", tags=["approvals"])
    router.add_api_route("", listed, methods=["GET"], summary="List approvals this person may decide, newest first")
    router.add_api_route("/{approval_id}", shown, methods=["GET"], summary="Show what an approval is about")
    router.add_api_route("/{approval_id}/approve", _approve, methods=["POST"], summary="Approve a call")
    router.add_api_route("/{approval_id}/deny", _deny, methods=["POST"], summary="Deny a call")
    return router


async def listed(asking: _Asking, wanted: Annotated[ApprovalQuery, Query()]) -> list[Approval]:
    """Return the approvals this person may decide, newest first."""
    parts, principal = asking
    found: list[Approval] = []
    place, looked = wanted.before, 0
    # those of other groups are not theirs to see, however many lie between
    while len(found) < wanted.limit and looked < SCANNED_MAX:
        try:
            records = await parts.approvals.list_approvals(
                limit=ROWS_MAX, state=wanted.state, run=wanted.run, before=place
            )
        except LookupError:
            raise Problem(422, "invalid", f"`before`: there is no approval `{place}` any more; begin anew") from None
        found += [_view(one) for one in records if _groups(parts, principal, one)]
        looked += len(records)
        if len(records) < ROWS_MAX:
            break
        place = records[-1].id
    return found[: wanted.limit]


async def shown(asking: _Asking, approval_id: _Id) -> ShownApproval:
    """Return what an approval is about. Raises `Problem`."""
    parts, principal = asking
    record = await _theirs(parts, principal, approval_id)
    said = cast("dict[str, JsonValue]", json.loads(await parts.approvals.read_shown(approval_id) or b"{}"))
    entities = frozenset(cast("list[str]", said.get("restore", [])))
    arguments = said.get("arguments")
    restored = bool(entities) and principal.method != "socket"
    if restored:
        arguments = cast("JsonValue", await parts.unveil(cast("str", said.get("scope", "")), arguments, entities))
        granted = _permit(parts, principal, record)
        await parts.write_audit([granted.record("show_originals", approval_id)])
    return ShownApproval(
        **_view(record).model_dump(), arguments=arguments, withheld=cast("dict[str, int]", said.get("withheld", {})),
        restored=restored, effect=cast("str | None", said.get("effect")),
    )  # fmt: skip


async def _approve(asking: _Asking, approval_id: _Id, said: Approves) -> Approval:
    return await _vote(asking, approval_id, said.reason, approves=True)


async def _deny(asking: _Asking, approval_id: _Id, said: Denies) -> Approval:
    return await _vote(asking, approval_id, said.reason, approves=False)


async def _vote(asking: tuple[AdminParts, Principal], approval_id: str, reason: str, *, approves: bool) -> Approval:
    parts, principal = asking
    record = await _theirs(parts, principal, approval_id)
    granted = _permit(parts, principal, record)
    vote = Vote(
        voter=_voter(principal), groups=tuple(sorted(_groups(parts, principal, record))), approves=approves,
        reason=reason, time=time.time(),
    )  # fmt: skip
    audit = [granted.record("approve" if approves else "deny", approval_id, reason)]
    try:
        return _view(await parts.approvals.vote(approval_id, vote, audit))
    except LookupError:
        raise _unknown(approval_id) from None
    except ApprovalClosed as closed:
        await parts.write_audit([granted.record("vote_refused", approval_id, str(closed))])
        status = 403 if isinstance(closed, VoteForbidden) else 409
        raise Problem(status, "not_decided", str(closed)) from None


async def _theirs(parts: AdminParts, principal: Principal, approval_id: str) -> ApprovalRecord:
    record = await parts.approvals.read_approval(approval_id)
    if record is None or not _groups(parts, principal, record):
        raise _unknown(approval_id)  # what is not theirs does not exist for them
    return record


def _groups(parts: AdminParts, principal: Principal, record: ApprovalRecord) -> dict[str, Decision | None]:
    """Return the demanded groups this person belongs to, by policy, each with the line that says so."""
    found: dict[str, Decision | None] = {}
    for demand in record.demands:
        group = demand.partition(",")[0]
        domain, _, name = group.partition("/")
        if principal.method == "socket":
            found[group] = None
        elif domain == principal.domain:
            decision = parts.decide(principal, resource_name("admin", "approvals", name), "approve")
            if decision.allowed:
                found[group] = decision
    return found


def _permit(parts: AdminParts, principal: Principal, record: ApprovalRecord) -> Permit:
    group, decision = next(iter(_groups(parts, principal, record).items()))
    resource = resource_name("admin", "approvals", group.partition("/")[2])
    return Permit(parts=parts, principal=principal, resource=resource, action="approve", decision=decision)


def _voter(principal: Principal) -> str:
    if principal.method == "socket":
        return _OWNER
    if principal.user is not None:
        return f"user:{principal.domain}/{principal.user}"
    return principal.name


def _unknown(approval_id: str) -> Problem:
    return Problem(404, "not_found", f"there is no approval `{approval_id}` for you to decide")


def _view(record: ApprovalRecord) -> Approval:
    return Approval(
        id=record.id, state=cast("State", record.state), agent=record.agent, domain=record.domain,
        user=None if record.user == "-" else record.user, run=record.run, run_attempt=record.run_attempt,
        resource=record.resource, action=record.action, demands=list(record.demands),
        requesters=list(record.requesters), rule=record.rule, policy=record.policy,
        votes=[VoteView(voter=one.voter, approves=one.approves, reason=one.reason, time=one.time)
               for one in record.votes],
        asked=record.asked, expires=record.expires, decided=record.decided,
    )  # fmt: skip
