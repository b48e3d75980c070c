"""`/api/v1/tools`: what MCP servers define, what changed, and the decision on exactly what was looked at."""

import json
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Depends, Query
from pydantic import Field, JsonValue, StringConstraints

from durable.definitions import DefinitionMoved, DefinitionRecord, Ruling
from gateway.admin.form import Form, Line, Reason
from gateway.admin.parts import ROWS_MAX
from gateway.admin.permit import Permit, permit
from gateway.admin.problem import Problem
from gateway.definitions.changes import changes_of

_Reader = Annotated[Permit, Depends(permit("admin/tools", "read"))]
_Changer = Annotated[Permit, Depends(permit("admin/tools", "change"))]
State = Literal["accepted", "quarantined", "rejected"]
Kind = Literal["tool", "prompt", "template", "instructions"]
_Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class DefinitionQuery(Form):
    """Which definitions a listing shows; left out means any."""

    limit: int = Field(50, ge=1, le=ROWS_MAX)
    server: str | None = Field(None, max_length=64)
    state: State | None = None
    after: Line | None = Field(
        None, max_length=600, description="go on behind this one: `server/kind/name`, the last of the page before"
    )


class DefinitionName(Form):
    """One definition; `name` is `-` for a server's instructions."""

    server: Line = Field(max_length=64)
    kind: Kind = "tool"
    name: Line = Field(max_length=512)


class Definition(Form):
    """One definition as its server shows it now. Times are seconds since the epoch."""

    server: str
    kind: Kind
    name: str
    state: State
    hash: str
    findings: list[str] = Field(description="what the scanner found, each with its place in the definition")
    seen: float
    decided: float | None
    decider: str = Field(description="`-` where it was accepted at first sight")
    reason: str


class ChangeView(Form):
    """One changed place; `lines` are a unified diff."""

    place: str
    weight: Literal["risky", "benign"]
    why: str
    lines: list[str]


class ShownDefinition(Definition):
    """A definition whole, and what changed since the newest version that was accepted before."""

    definition: JsonValue
    accepted_before: str | None = Field(description="the hash of the version it is compared with")
    changes: list[ChangeView]


class Accepts(DefinitionName):
    """A yes to exactly the version of this hash."""

    hash: _Hash
    reason: Reason = ""


class Rejects(DefinitionName):
    """A no to exactly the version of this hash, with the reason."""

    hash: _Hash
    reason: Annotated[Reason, StringConstraints(min_length=1)]


def routes() -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/api/v1/tools", tags=["tools"])
    router.add_api_route("", listed, methods=["GET"], summary="List definitions by server, kind and name")
    router.add_api_route("/show", shown, methods=["GET"], summary="Show a definition and what changed in it")
    router.add_api_route("/accept", _accept, methods=["POST"], summary="Accept exactly the version shown")
    router.add_api_route("/reject", _reject, methods=["POST"], summary="Reject exactly the version shown")
    return router


async def listed(allowed: _Reader, wanted: Annotated[DefinitionQuery, Query()]) -> list[Definition]:
    """Return definitions by server, kind and name."""
    server, _, rest = (wanted.after or "").partition("/")
    kind, _, name = rest.partition("/")
    found = await allowed.parts.definitions.list_definitions(
        server=wanted.server, state=wanted.state, limit=wanted.limit, after=(server, kind, name)
    )
    return [_view(record) for record in found]


async def shown(allowed: _Reader, wanted: Annotated[DefinitionName, Query()]) -> ShownDefinition:
    """Return a definition and what changed in it. Raises `Problem`."""
    versions = await allowed.parts.definitions.read_versions((wanted.server, wanted.kind, wanted.name))
    if not versions:
        raise _unknown(wanted)
    current, *older = versions
    before = max((one for one in older if one.state == "accepted"), key=_since, default=None)
    tree = json.loads(current.content)
    changes = [] if before is None else changes_of(json.loads(before.content), tree)
    return ShownDefinition(
        **_view(current).model_dump(), definition=tree, accepted_before=None if before is None else before.hash,
        changes=[ChangeView(place=one.place, weight=one.weight, why=one.why, lines=one.lines) for one in changes],
    )  # fmt: skip


async def _accept(allowed: _Changer, wanted: Accepts) -> Definition:
    return await _decide(allowed, wanted, Ruling(
        hash=wanted.hash, state="accepted", decider=allowed.principal.name, reason=wanted.reason
    ))  # fmt: skip


async def _reject(allowed: _Changer, wanted: Rejects) -> Definition:
    return await _decide(allowed, wanted, Ruling(
        hash=wanted.hash, state="rejected", decider=allowed.principal.name, reason=wanted.reason
    ))  # fmt: skip


async def _decide(allowed: Permit, wanted: DefinitionName, ruling: Ruling) -> Definition:
    place = (wanted.server, wanted.kind, wanted.name)
    deed = "accept_definition" if ruling.state == "accepted" else "reject_definition"
    audit = [allowed.record(deed, "/".join(place), ruling.reason)]
    try:
        return _view(await allowed.parts.definitions.decide_definition(place, ruling, audit))
    except LookupError:
        raise _unknown(wanted) from None
    except DefinitionMoved as moved:
        raise Problem(409, "definition_moved", str(moved)) from None


def _unknown(wanted: DefinitionName) -> Problem:
    return Problem(404, "not_found", f"server `{wanted.server}` has shown no {wanted.kind} `{wanted.name}`")


def _since(record: DefinitionRecord) -> float:
    return record.seen if record.decided is None else record.decided


def _view(record: DefinitionRecord) -> Definition:
    return Definition(
        server=record.server, kind=cast("Kind", record.kind), name=record.name, state=record.state, hash=record.hash,
        findings=list(record.findings), seen=record.seen, decided=record.decided, decider=record.decider,
        reason=record.reason,
    )  # fmt: skip
