"""`/api/v1/blocks`: the kill switch. What is set counts here once it is answered, on all instances within a second."""

import contextlib
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import Field, StringConstraints

from durable.blocks import BlockRecord
from durable.journal import JournalError
from gateway.admin.form import Form, Reason
from gateway.admin.paging import page
from gateway.admin.parts import ROWS_MAX, AdminParts
from gateway.admin.permit import Permit, permit
from gateway.admin.problem import Problem
from gateway.blocking import FORMS, SUBJECT_CHARACTERS_MAX, UnusableSubject, subject_of
from gateway.config.problems import nearest
from policy.resources import resource_name

_Reader = Annotated[Permit, Depends(permit("admin/blocks", "read"))]
_Changer = Annotated[Permit, Depends(permit("admin/blocks", "change"))]


class Block(Form):
    """A block. `since` is in seconds since the epoch."""

    subject: str
    reason: str
    blocker: str
    since: float


class BlockQuery(Form):
    """Which blocks a listing shows."""

    limit: int = Field(200, ge=1, le=ROWS_MAX)
    after: str | None = Field(None, max_length=SUBJECT_CHARACTERS_MAX, description="go on behind this subject")


class Wanted(Form):
    """What is to be blocked, or lifted, and why."""

    subject: str = Field(max_length=SUBJECT_CHARACTERS_MAX, description=FORMS)
    reason: Annotated[Reason, StringConstraints(min_length=1)]
    unknown: bool = Field(default=False, description="also what the configuration does not name")


def routes() -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/api/v1/blocks", tags=["blocks"])
    router.add_api_route("", listed, methods=["GET"], summary="List what is blocked, the newest first")
    router.add_api_route("", _block, methods=["POST"], summary="Block somebody or something")
    router.add_api_route("/lift", _lift, methods=["POST"], summary="Lift a block")
    return router


async def listed(allowed: _Reader, wanted: Annotated[BlockQuery, Query()]) -> list[Block]:
    """Return what is blocked, the newest first. Raises `Problem`."""
    # gateways hold them all in memory too
    found = await allowed.parts.blocks.list_blocks()
    return [_view(one) for one in page(found, lambda one: one.subject, wanted.after, wanted.limit)]


async def _block(allowed: _Changer, wanted: Wanted) -> Block:
    subject = _subject(wanted)
    if not wanted.unknown:
        await _demand_known(allowed.parts, subject)
    audit = [allowed.record("block", await _audited(allowed.parts, subject), wanted.reason)]
    found = await allowed.parts.blocks.block(subject, reason=wanted.reason, blocker=allowed.principal.name, audit=audit)
    await _heed(allowed.parts)
    return _view(found)


async def _lift(allowed: _Changer, wanted: Wanted) -> Block:
    subject = _subject(wanted)
    audit = [allowed.record("unblock", await _audited(allowed.parts, subject), wanted.reason)]
    try:
        found = await allowed.parts.blocks.lift_block(subject, audit=audit)
    except LookupError:
        raise Problem(404, "not_found", f"`{subject}` is not blocked") from None
    await _heed(allowed.parts)
    return _view(found)


async def _heed(parts: AdminParts) -> None:
    with contextlib.suppress(JournalError):  # it stands in the store, and is heard of as on the other instances
        await parts.look_at_blocks()


def _subject(wanted: Wanted) -> str:
    try:
        return subject_of(wanted.subject)
    except UnusableSubject as error:
        raise Problem(422, "unusable_subject", str(error)) from None


async def _audited(parts: AdminParts, subject: str) -> str:
    """Return a subject as the audit names it: a person by what can be forgotten."""
    kind, _, named = subject.partition(":")
    domain, _, name = named.partition("/")
    return f"user:{domain}/{await parts.blocks.person(domain, name)}" if kind == "user" else subject


async def _demand_known(parts: AdminParts, subject: str) -> None:
    """Refuse what nothing is known of: a misspelt block would protect from nothing."""
    config = parts.named
    kind = next(
        one for one in ("agent:", "user:", "domain:", "run:", "mcp/", "model/", "agent/") if subject.startswith(one)
    )
    name = subject.removeprefix(kind).partition("/")[0]
    if kind == "run:":
        if await parts.runs.read_run(subject.removeprefix(kind)) is None:
            raise _unknown(subject, "there is no such run")
        return
    configured = {"mcp/": config.mcp_servers, "model/": config.models, "agent/": config.agents}.get(kind)
    known = {"default", *config.trust_domains} if configured is None else {resource_name(one) for one in configured}
    if name not in known:
        raise _unknown(subject, f"the configuration does not name `{name}`{nearest(name, known)}")


def _unknown(subject: str, why: str) -> Problem:
    return Problem(404, "unknown_subject", f"`{subject}`: {why}; say `unknown` to block it nonetheless")


def _view(record: BlockRecord) -> Block:
    return Block(subject=record.subject, reason=record.reason, blocker=record.blocker, since=record.since)
