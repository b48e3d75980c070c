"""`/api/v1/redaction`: try a text, and erase what the vault holds of somebody."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field, StringConstraints

from gateway.admin.form import Form, Line
from gateway.admin.parts import RedactionDesk
from gateway.admin.permit import Permit, permit
from gateway.admin.problem import Problem
from redaction.finding import DetectionError

TEXT_CHARACTERS_MAX = 256 * 1024
VALUES_MAX = 1000

_Reader = Annotated[Permit, Depends(permit("admin/policies", "read"))]
_Eraser = Annotated[Permit, Depends(permit("admin/audit", "change"))]
_Value = Annotated[str, StringConstraints(min_length=3, max_length=1000, strip_whitespace=True)]


class Trial(Form):
    """A text, or any JSON, and the profile to try on it; nothing of it is kept."""

    content: object = Field(description="a text or any JSON value")
    profile: str | None = Field(default=None, description="a profile's name; left out, the default one")


class Found(Form):
    """One find: where in the content (`pointer`, then characters of that text), and what becomes of it."""

    pointer: str
    start: int
    end: int
    entity: str
    score: float
    recognizer: str
    treatment: str


class Tried(Form):
    """What redaction makes of a content under a profile, outward."""

    profile: str
    content: object
    findings: list[Found]
    blocked: list[str] = Field(description="`ENTITY at pointer` of what would refuse the call")
    passed: dict[str, int]
    milliseconds: float


class Erasure(Form):
    """Whose originals go: values as they may have been written, or a user of a domain with all their runs."""

    values: Annotated[list[_Value], Field(max_length=VALUES_MAX, default_factory=list)]
    user: Line | None = Field(
        default=None, max_length=1000, description="`domain/user`: the person on whose behalf agents called"
    )
    reason: Annotated[Line, StringConstraints(min_length=1, max_length=1000)]


class Erased(Form):
    """How many originals were erased."""

    originals: int


def routes() -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/api/v1/redaction", tags=["redaction"])
    router.add_api_route("/try", _try, methods=["POST"], summary="Show what redaction makes of a text or JSON")
    router.add_api_route("/erase", _erase, methods=["POST"], summary="Erase originals from the vault")
    return router


async def _try(allowed: _Reader, wanted: Trial) -> Tried:
    desk = _desk(allowed)
    try:
        tried = await desk.try_out(wanted.content, wanted.profile, TEXT_CHARACTERS_MAX)
    except LookupError as error:
        raise Problem(404, "not_found", str(error.args[0])) from None
    except ValueError as error:
        raise Problem(422, "too_large", str(error)) from None
    except DetectionError as error:
        raise Problem(503, "unavailable", f"redaction cannot look at it now: {error}") from None
    return Tried(
        profile=tried.profile, content=tried.redacted.tree, milliseconds=tried.milliseconds,
        findings=[
            Found(
                pointer=one.pointer, start=one.finding.start, end=one.finding.end, entity=one.finding.entity,
                score=round(one.finding.score, 4), recognizer=one.finding.recognizer, treatment=one.treatment,
            )
            for one in tried.findings
        ],
        blocked=[f"{entity} at {pointer or '/'}" for entity, pointer in tried.redacted.blocked],
        passed=dict(tried.redacted.passed),
    )  # fmt: skip


async def _erase(allowed: _Eraser, wanted: Erasure) -> Erased:
    desk = _desk(allowed)
    audit = [allowed.record("erase", "-" if wanted.user is None else "user", wanted.reason)]
    if bool(wanted.values) == (wanted.user is not None):
        raise Problem(422, "invalid", "expected `values`, or `user`")
    if wanted.user is None:
        return Erased(originals=await desk.erase_values(wanted.values, audit))
    domain, _, user = wanted.user.partition("/")
    if not domain or not user:
        raise Problem(422, "invalid", "`user`: expected `domain/user`")
    return Erased(originals=await desk.erase_user(domain, user, audit))


def _desk(allowed: Permit) -> RedactionDesk:
    if allowed.parts.redaction is None:
        raise Problem(404, "not_found", "this gateway shows no redaction here")
    return allowed.parts.redaction
