"""`/metrics`, `/api/v1/audit`, `/api/v1/policies`, `/api/v1/overview`: evidence, by policy."""

import time
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import PlainTextResponse
from pydantic import Field, JsonValue, StringConstraints

from durable.audit_rows import AuditFilter
from gateway.admin.form import Form, Line, Reason
from gateway.admin.insight import Insight
from gateway.admin.paging import page
from gateway.admin.parts import ROWS_MAX
from gateway.admin.permit import Permit, permit
from gateway.admin.problem import Problem
from policy.case_file import CaseUnusable, checked_action, checked_resource, subject
from policy.decision import Principal, Question

_AuditReader = Annotated[Permit, Depends(permit("admin/audit", "read"))]
_AuditChanger = Annotated[Permit, Depends(permit("admin/audit", "change"))]
_MetricsReader = Annotated[Permit, Depends(permit("admin/metrics", "read"))]
_PolicyReader = Annotated[Permit, Depends(permit("admin/policies", "read"))]
_Word = Annotated[str, StringConstraints(max_length=2048)]
_MICROSECONDS = 1_000_000
#: What a store counts to, in rows and in microseconds since the epoch.
_PLACE_MAX = 2**62
_SECONDS_MAX = 1e12
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class AuditQuery(Form):
    """Which records a listing shows; left out means any. `since` and `until` are seconds since the epoch."""

    limit: int = Field(50, ge=1, le=ROWS_MAX)
    before: int | None = Field(None, ge=0, le=_PLACE_MAX, description="go on there: `following` of the page before")
    since: float | None = Field(None, ge=0, le=_SECONDS_MAX)
    until: float | None = Field(None, ge=0, le=_SECONDS_MAX)
    agent: _Word | None = None
    run: _Word | None = None
    resource: _Word | None = None
    event: _Word | None = None
    call: _Word | None = None
    decision: Literal["allow", "deny", "approval"] | None = None
    ending: _Word | None = None

    def filter(self) -> AuditFilter:
        """Return it as the store takes it."""
        return AuditFilter(
            limit=self.limit, before=self.before, since=_micro(self.since), until=_micro(self.until), agent=self.agent,
            run=self.run, resource=self.resource, event=self.event, call=self.call, decision=self.decision,
            ending=self.ending,
        )  # fmt: skip


class Records(Form):
    """A page of audit records, newest first; `people` says who the names in them stand for, where that is known."""

    records: list[dict[str, JsonValue]]
    people: dict[str, str]
    following: int | None


class Verified(Form):
    """What a verification found; `problem` names the first record that does not hold."""

    ok: bool
    records: int
    chains: int
    problem: str | None
    signed: int
    pruned: int
    keys: list[str]
    open: list[str]
    seconds: float


class Erasure(Form):
    """Whose name is to be forgotten, and why."""

    domain: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")]
    user: Annotated[Line, StringConstraints(min_length=1, max_length=1000)]
    reason: Annotated[Reason, StringConstraints(min_length=1)]


class ErasureDone(Form):
    """What was forgotten: whether the audit knew the person, how many originals the vault held, in which runs."""

    known: bool
    originals: int
    runs: list[str]


class Overview(Form):
    """What happened on `instance` `since` it began (seconds since the epoch), and what waits in the whole store."""

    instance: str
    since: float
    calls: int
    denied: int
    replayed: int
    usd: float
    saved_usd: float
    added_p50_seconds: float | None
    in_flight: int
    in_doubt: int
    held: int
    approvals: int
    outbox_records: int
    outbox_age_seconds: float
    policies: str
    policies_valid: bool


class LineView(Form):
    """One line in force, and how often it decided since this process began."""

    id: str
    file: str
    line: int
    text: str
    decided: int


class LineQuery(Form):
    """Which lines a listing shows."""

    limit: int = Field(200, ge=1, le=ROWS_MAX)
    after: _Word | None = Field(None, description="go on behind this line, an `id`")


class QuestionQuery(Form):
    """A question to explain, as `oncegate policy explain` takes it."""

    subject: Annotated[str, StringConstraints(max_length=1000)]
    resource: _Word
    action: Annotated[str, StringConstraints(max_length=32)] = "call"
    resource_domain: Annotated[str, StringConstraints(max_length=64)] | None = None
    user: Annotated[str, StringConstraints(max_length=1000)] | None = None


def insight_of(allowed: Permit) -> Insight:
    """Return the gateway's insight. Raises `Problem` where this admin API has none."""
    if allowed.parts.insight is None:
        raise Problem(404, "not_found", "this gateway shows nothing of itself here")
    return allowed.parts.insight


def routes() -> APIRouter:
    """Return the routes."""
    router = APIRouter()
    router.add_api_route("/metrics", _metrics, methods=["GET"], summary="Metrics in Prometheus' text format",
                         response_class=PlainTextResponse, tags=["metrics"])  # fmt: skip
    api = "/api/v1"
    router.add_api_route(f"{api}/overview", _overview, methods=["GET"], summary="Show how things stand",
                         tags=["overview"])  # fmt: skip
    router.add_api_route(f"{api}/audit", _search, methods=["GET"], summary="Search the audit, newest first",
                         tags=["audit"])  # fmt: skip
    router.add_api_route(f"{api}/audit/verify", _verify, methods=["POST"], summary="Verify the whole audit now",
                         tags=["audit"])  # fmt: skip
    router.add_api_route(f"{api}/audit/erase", _erase, methods=["POST"], summary="Forget who a person was",
                         tags=["audit"])  # fmt: skip
    router.add_api_route(f"{api}/policies", lines, methods=["GET"], summary="List policy lines and what they decided",
                         tags=["policies"])  # fmt: skip
    router.add_api_route(f"{api}/policies/explain", _explain, methods=["GET"], summary="Say how a question is decided",
                         tags=["policies"])  # fmt: skip
    return router


async def _metrics(allowed: _MetricsReader) -> Response:
    insight = insight_of(allowed)
    return Response(insight.metrics.text(await insight.samples()), media_type=_PROMETHEUS)


async def _overview(allowed: _MetricsReader) -> Overview:
    return await overview_of(insight_of(allowed))


async def overview_of(insight: Insight) -> Overview:
    """Return how things stand. Raises `JournalUnavailable`."""
    metrics, totals, outbox = insight.metrics, await insight.audit.totals(), insight.outbox()
    calls = metrics.by("oncegate_calls_total")
    return Overview(
        instance=insight.name, since=insight.since,
        calls=int(sum(calls.values())),
        denied=int(sum(number for labels, number in calls.items() if labels[1] == "deny")),
        replayed=int(metrics.total("oncegate_replays_total")), usd=metrics.total("oncegate_cost_usd_total"),
        saved_usd=metrics.total("oncegate_saved_usd_total"),
        added_p50_seconds=metrics.quantile("oncegate_added_seconds", 0.5), in_flight=totals.in_flight,
        in_doubt=totals.in_doubt, held=totals.held, approvals=totals.approvals,
        outbox_records=0 if outbox is None else outbox.waiting,
        outbox_age_seconds=0.0 if outbox is None else outbox.age_seconds,
        policies=insight.policies.current.digest, policies_valid=insight.policies.last_error is None,
    )  # fmt: skip


async def _search(allowed: _AuditReader, wanted: Annotated[AuditQuery, Query()]) -> Records:
    return await search(insight_of(allowed), wanted)


async def search(insight: Insight, wanted: AuditQuery) -> Records:
    """Return a page of records. Raises `JournalUnavailable`."""
    found = await insight.audit.search_audit(wanted.filter())
    named = [str(record["user"]) for record in found.records if "user" in record]
    return Records(
        records=[cast("dict[str, JsonValue]", record) for record in found.records],
        people=dict(await insight.audit.people(named)), following=found.following,
    )  # fmt: skip


async def _verify(allowed: _AuditReader) -> Verified:
    begun = time.monotonic()
    found = await insight_of(allowed).verify()
    await allowed.parts.write_audit([allowed.record("verify_audit", "-", found.problem or "whole")])
    return Verified(
        ok=found.ok, records=found.records, chains=found.chains, problem=found.problem, signed=found.signed,
        pruned=found.pruned, keys=list(found.keys), open=list(found.open), seconds=time.monotonic() - begun,
    )  # fmt: skip


async def _erase(allowed: _AuditChanger, wanted: Erasure) -> ErasureDone:
    # the record says that somebody was forgotten, not who
    audit = [allowed.record("erase_person", "-", wanted.reason)]
    erased = await insight_of(allowed).audit.erase_person(wanted.domain, wanted.user, audit)
    return ErasureDone(known=erased.known, originals=erased.originals, runs=list(erased.runs))


async def lines(allowed: _PolicyReader, wanted: Annotated[LineQuery, Query()]) -> list[LineView]:
    """Return lines in force, in the order of the files. Raises `Problem`."""
    return page(lines_of(insight_of(allowed)), lambda one: one.id, wanted.after, wanted.limit)


def lines_of(insight: Insight) -> list[LineView]:
    """Return all lines in force, in the order of the files."""
    snapshot, decided = insight.policies.current.snapshot, insight.metrics.lines
    return [
        LineView(
            id=one.ref.id, file=one.ref.file, line=one.ref.line, text=one.ref.text,
            decided=decided.get(one.ref.id, 0),
        )
        for one in sorted((*snapshot.rules, *snapshot.flows), key=lambda one: (one.ref.file, one.ref.line))
    ]  # fmt: skip


def question_of(wanted: QuestionQuery) -> Question:
    """Return what is to be explained. Raises `Problem`."""
    try:
        agent, domain = subject(wanted.subject, None)
        return Question(
            principal=Principal(agent=agent, domain=domain, method="api_key", user=wanted.user or None),
            resource=checked_resource(wanted.resource), resource_domain=wanted.resource_domain or domain,
            action=checked_action(wanted.action), arguments=None, time=time.time(),
        )  # fmt: skip
    except CaseUnusable as error:
        raise Problem(422, "invalid", str(error)) from None


async def _explain(allowed: _PolicyReader, wanted: Annotated[QuestionQuery, Query()]) -> dict[str, JsonValue]:
    found = insight_of(allowed).explain(question_of(wanted))
    return {
        "effect": found.decision.effect, "reason": found.decision.reason, "rule": found.decision.rule,
        "policies": found.decision.digest,
        "lines": [
            {"id": one.line.id, "text": one.line.text, "matched": one.matched, "failed": one.failed,
             "wanted": one.wanted, "found": one.found}
            for person in found.subjects for one in person.candidates
        ],
    }  # fmt: skip


def _micro(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * _MICROSECONDS)
