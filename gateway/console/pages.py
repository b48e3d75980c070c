"""The console's pages: each decided by policy as the same question of the admin API is."""

import difflib
import json
import time
from collections.abc import Sequence
from typing import Annotated, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import StreamingResponse
from starlette.responses import Response

from durable.audit_rows import AuditFilter
from gateway.admin import agents, approvals, audit, blocks, budgets, calls, messages, runs, tools
from gateway.admin.audit import AuditQuery, QuestionQuery
from gateway.admin.parts import AdminParts
from gateway.admin.permit import Permit, permit
from gateway.admin.problem import Problem
from gateway.admin.run_views import RunQuery, RunState
from gateway.admin.views import CallQuery, CallState
from gateway.console import forms
from gateway.console.render import rendered
from gateway.spans import trace_of
from policy.decision import Principal

_Id = Annotated[str, Path(max_length=128)]
_Overviewer = Annotated[Permit, Depends(permit("admin/metrics", "read"))]
_Caller = Annotated[Permit, Depends(permit("admin/calls", "read"))]
_Runner = Annotated[Permit, Depends(permit("admin/runs", "read"))]
_Tooler = Annotated[Permit, Depends(permit("admin/tools", "read"))]
_Policer = Annotated[Permit, Depends(permit("admin/policies", "read"))]
_Messenger = Annotated[Permit, Depends(permit("admin/messages", "read"))]
_Budgeter = Annotated[Permit, Depends(permit("admin/budgets", "read"))]
_Redacter = Annotated[Permit, Depends(permit("admin/redaction", "read"))]
_Auditor = Annotated[Permit, Depends(permit("admin/audit", "read"))]
_Asking = Annotated[tuple[AdminParts, Principal], Depends(approvals.asking)]
_PAGE = 100
_RECORDS_OF_CALL = 20
_CHAINS = 20


def routes() -> APIRouter:
    """Return the pages."""
    router = APIRouter()
    for path, page in (
        ("/", overview), ("/runs", run_list), ("/runs/{run_id}", run_page), ("/calls", call_list),
        ("/calls/{call_id}", call_page), ("/approvals", approval_list), ("/approvals/{approval_id}", approval_page),
        ("/policies", policy_page), ("/tools", tool_list), ("/tools/show", tool_page), ("/agents", agent_list),
        ("/messages", message_list),
        ("/redaction", redaction_page), ("/audit", audit_page), ("/audit/export", audit_export),
    ):  # fmt: skip
        router.add_api_route(path, page, methods=["GET"], response_model=None)
    return router


def given(request: Request) -> dict[str, str]:
    """Return the query without what was left empty in a form."""
    return {name: value for name, value in request.query_params.items() if value}


#: What an approver lets happen, by effect class.
_RISKS = {
    "safe": "safe: has no effect, as far as it is configured",
    "keyed": "keyed: has an effect, and may be sent again under the same key",
    "once": "once: has an effect that is not taken back or repeated by the gateway",
}


async def overview(request: Request, allowed: _Overviewer) -> Response:
    """Show how things stand."""
    insight = audit.insight_of(allowed)
    now = await audit.overview_of(insight)
    gates = {one.upstream: one for one in allowed.parts.upstreams()}
    added = "-" if now.added_p50_seconds is None else f"≤ {1000 * now.added_p50_seconds:g} ms"
    waits = [
        ("In doubt", now.in_doubt, "/calls?state=in_doubt"), ("Held", now.held, "/calls?state=held"),
        ("Approvals waiting", now.approvals, "/approvals?state=pending"),
        ("In flight", now.in_flight, "/calls?state=in_flight"),
    ]  # fmt: skip
    counted = [
        ("Calls", now.calls, "/calls"), ("Denied", now.denied, "/audit?decision=deny"),
        ("Replayed", now.replayed, "/audit?ending=replayed"), ("Spent", forms.usd(now.usd), ""),
        ("Saved by replays", forms.usd(now.saved_usd), ""), ("Added, half of calls", added, ""),
    ]  # fmt: skip
    upstreams = [
        {"name": one.name, "domain": one.domain, "where": one.where,
         "breaker": gates[one.name].breaker if one.name in gates else None,
         "failures": gates[one.name].failures if one.name in gates else 0,
         "in_flight": (gates[one.name].in_flight if one.name in gates else None) or 0}
        for one in insight.upstreams
    ]  # fmt: skip
    waiting = "the collector has everything"
    if now.outbox_records:
        waiting = f"{now.outbox_records} records wait for the collector, the first for {now.outbox_age_seconds:.0f} s"
    minutes, commits = list(insight.metrics.minutes), insight.metrics.quantile("oncegate_journal_commit_seconds", 0.5)
    journal = "read just now"
    if commits is not None:
        journal += f"; half of its commits take ≤ {1000 * commits:g} ms"
    return rendered(
        request, "overview.html", overview=now, waits=waits, counted=counted, upstreams=upstreams,
        journal=journal,
        outbox=waiting if insight.outbox() is not None else "kept here, exported nowhere",
        calls_chart=forms.calls_chart(minutes, time.time()), added_chart=forms.added_chart(minutes, time.time()),
    )  # fmt: skip


async def run_list(request: Request, allowed: _Runner) -> Response:
    """List runs."""
    query = RunQuery.model_validate({"limit": _PAGE} | given(request))
    found = await runs.listed(allowed, query)
    following = _next(request, "/runs", before=found[-1].id) if len(found) == query.limit else None
    return rendered(request, "runs.html", runs=found, query=query, states=get_args(RunState), following=following)


async def run_page(request: Request, allowed: _Runner, run_id: _Id) -> Response:
    """Show one run as a timeline."""
    return rendered(request, "run.html", run=await runs.shown(allowed, run_id))


async def call_list(request: Request, allowed: _Caller) -> Response:
    """Search calls."""
    query = CallQuery.model_validate({"limit": _PAGE} | given(request))
    found = await calls.listed(allowed, query)
    following = _next(request, "/calls", before=found[-1].id) if len(found) == query.limit else None
    return rendered(request, "calls.html", calls=found, query=query, states=get_args(CallState), following=following)


async def call_page(request: Request, allowed: _Caller, call_id: _Id) -> Response:
    """Show one call whole."""
    call = await calls.shown(allowed, call_id)
    facts = [
        ("agent", f"{call.domain}/{call.agent}"), ("user", call.user or "-"), ("resource", call.resource),
        ("action", call.action), ("effect", call.effect), ("run", call.run or "-"),
        ("step, occurrence", f"{call.step}, {call.occurrence}"), ("explicit key", call.key or "-"),
        ("times begun", call.attempt), ("replays", call.replays), ("begun", forms.when(call.intent_time)),
        ("ended", forms.when(call.outcome_time) if call.outcome_time else "-"),
        ("upstream", forms.span(call.milliseconds)),
        ("status", call.status or "-"), ("told besides", json.dumps(call.meta) if call.meta else "-"),
    ]  # fmt: skip
    if call.may_execute_from is not None:
        facts.append(("may be executed again from", forms.when(call.may_execute_from)))
    records = await _records_of(allowed, call_id)
    own = next((one for one in records if one["event"] in {"outcome", "decision"}), None)
    if own is not None:  # the newest of the call's own; calls of a run share its trace
        facts.append(("trace", trace_of(str(own["audit"]), call.run)))
    return rendered(
        request, "call.html", call=call, facts=facts, records=records,
        request_text=forms.tree(call.request),
        outcome_text="none yet" if call.outcome is None else forms.tree(call.outcome),
    )  # fmt: skip


async def approval_list(request: Request, asking: _Asking) -> Response:
    """List what waits for this person."""
    query = approvals.ApprovalQuery.model_validate({"limit": _PAGE} | given(request))
    found = await approvals.listed(asking, query)
    following = _next(request, "/approvals", before=found[-1].id) if len(found) == query.limit else None
    return rendered(
        request, "approvals.html", approvals=found, query=query, states=get_args(approvals.State), following=following
    )


async def approval_page(request: Request, asking: _Asking, approval_id: _Id) -> Response:
    """Show what one approval is about."""
    one = await approvals.shown(asking, approval_id)
    facts = [
        ("who asks", f"{one.domain}/{one.agent}"), ("user", one.user or "-"), ("resource", one.resource),
        ("action", one.action), ("risk", _RISKS.get(one.effect or "", "-")), ("run", one.run or "-"),
        ("policy line", one.rule), ("policies", one.policy),
        ("groups asked", ", ".join(one.demands)), ("may not decide", ", ".join(one.requesters)),
        ("asked", forms.when(one.asked)), ("ends", forms.when(one.expires)),
    ]  # fmt: skip
    return rendered(request, "approval.html", one=one, facts=facts, arguments=forms.tree(one.arguments))


async def policy_page(request: Request, allowed: _Policer) -> Response:
    """Show lines in force, what they decided, and why a question is decided as it is."""
    insight, query, found, problem = audit.insight_of(allowed), given(request), None, None
    wanted = audit.LineQuery(limit=_PAGE, after=query.pop("after", None))
    shown = await audit.lines(allowed, wanted)
    following = _next(request, "/policies", after=shown[-1].id) if len(shown) == _PAGE else None
    if query:
        try:
            found = insight.explain(audit.question_of(QuestionQuery.model_validate(query)))
        except Problem as error:
            problem = error.detail
    policies = insight.policies
    asked = {name: query.get(name, "") for name in ("subject", "resource", "action", "user")}
    return rendered(
        request, "policies.html", digest=policies.current.digest, reloads=policies.reloads, error=policies.last_error,
        asked=asked, problem=problem, found=found, lines=shown, following=following, diff=_reloaded(allowed),
        mode=policies.current.mode,
        suspended=sorted(insight.metrics.by("oncegate_policy_suspended_total").items()),
        candidate=sorted(insight.metrics.by("oncegate_policy_candidate_total").items()),
        candidate_error=policies.candidate_error,
    )  # fmt: skip


async def tool_list(request: Request, allowed: _Tooler) -> Response:
    """List the catalogue."""
    query = tools.DefinitionQuery.model_validate({"limit": _PAGE} | given(request))
    found = await tools.listed(allowed, query)
    last = f"{found[-1].server}/{found[-1].kind}/{found[-1].name}" if len(found) == query.limit else None
    following = None if last is None else _next(request, "/tools", after=last)
    return rendered(request, "tools.html", tools=found, query=query, following=following)


async def tool_page(request: Request, allowed: _Tooler, wanted: Annotated[tools.DefinitionName, Query()]) -> Response:
    """Show one definition beside the version that was accepted before."""
    one = await tools.shown(allowed, wanted)
    versions = await allowed.parts.definitions.read_versions((wanted.server, wanted.kind, wanted.name))
    before = next((version.content for version in versions if version.hash == one.accepted_before), None)
    return rendered(
        request, "tool.html", one=one, definition=forms.tree(one.definition),
        before=None if before is None else forms.tree(json.loads(before)),
    )  # fmt: skip


async def agent_list(request: Request, allowed: _Budgeter) -> Response:
    """Show who calls, and what is left of budgets."""
    query, parts, principal = given(request), allowed.parts, allowed.principal
    seen = await agents.listed(allowed, agents.AgentQuery(limit=_PAGE, after=query.get("agent")))
    standings = await budgets.listed(
        allowed, budgets.BudgetQuery(limit=_PAGE, budget=None, subject=None, after=query.get("budget"))
    )
    may = principal.method == "socket" or parts.decide(principal, "admin/blocks", "read").allowed
    blocked = await blocks.listed(allowed, blocks.BlockQuery(limit=_PAGE, after=query.get("block"))) if may else []
    last = standings[-1] if len(standings) == _PAGE else None
    more = {
        "agent": seen[-1].name if len(seen) == _PAGE else None,
        "budget": last and f"{last.budget},{last.subject},{last.measure}",
        "block": blocked[-1].subject if len(blocked) == _PAGE else None,
    }
    return rendered(
        request, "agents.html", agents=seen, budgets=standings, domains=audit.insight_of(allowed).domains,
        blocks=blocked, may=may,
        more={name: _next(request, "/agents", **{name: one}) for name, one in more.items() if one is not None},
    )  # fmt: skip


async def message_list(request: Request, allowed: _Messenger) -> Response:
    """List what agents were sent, and what reached nobody."""
    query = messages.MessageQuery.model_validate({"limit": _PAGE} | given(request))
    found = await messages.listed(allowed, query)
    following = _next(request, "/messages", before=found[-1].id) if len(found) == query.limit else None
    return rendered(request, "messages.html", messages=found, query=query, states=messages.STATES, following=following)


async def redaction_page(request: Request, allowed: _Redacter) -> Response:
    """Show what was found, and a box to try."""
    insight = audit.insight_of(allowed)
    counts = sorted(insight.metrics.by("oncegate_redactions_total").items())
    return rendered(request, "redaction.html", counts=counts, profiles=insight.profiles)


async def audit_page(request: Request, allowed: _Auditor) -> Response:
    """Search the audit."""
    query = AuditQuery.model_validate({"limit": _PAGE} | given(request))
    page = await audit.search(audit.insight_of(allowed), query)
    records = [_Blank(record) for record in page.records]
    following = None if page.following is None else _next(request, "/audit", before=page.following)
    heads = await audit.insight_of(allowed).audit.audit_heads()
    own = audit.insight_of(allowed).name
    # this instance's first, then those whose names come last; each start begins one
    chains = sorted(heads.items(), key=lambda one: (one[0] == own, one[0]), reverse=True)
    return rendered(
        request, "audit.html", chains=chains[:_CHAINS], chains_left_off=max(0, len(chains) - _CHAINS), own=own,
        page={"records": records, "people": page.people}, asked=query.model_dump(),
        following=following,
    )  # fmt: skip


async def audit_export(allowed: _Auditor) -> Response:
    """Give the whole audit, as `oncegate audit export` does: `oncegate audit verify --export FILE` takes it."""
    insight = audit.insight_of(allowed)
    await allowed.parts.write_audit([allowed.record("export_audit", "-")])
    headers = {"content-disposition": 'attachment; filename="oncegate-audit.jsonl"'}
    return StreamingResponse(insight.export(), media_type="application/jsonl", headers=headers)


class _Blank(dict[str, object]):
    """A record whose absent fields are empty: not every one has all."""

    def __missing__(self, key: str) -> object:
        return ""


async def _records_of(allowed: Permit, call_id: str) -> Sequence[_Blank]:
    insight, parts, principal = allowed.parts.insight, allowed.parts, allowed.principal
    reads = principal.method == "socket" or parts.decide(principal, "admin/audit", "read").allowed
    if insight is None or not reads:
        return ()
    page = await insight.audit.search_audit(AuditFilter(limit=_RECORDS_OF_CALL, call=call_id))
    return [_Blank(record) for record in page.records]


def _reloaded(allowed: Permit) -> list[tuple[str, str]]:
    policies = audit.insight_of(allowed).policies
    if policies.previous is None:
        return []
    before, after = (
        [one.ref.text for one in (*found.snapshot.rules, *found.snapshot.flows)]
        for found in (policies.previous, policies.current.live)
    )
    changed = difflib.ndiff(before, after)
    return [(line[0], line[2:]) for line in changed if line[0] in "+-"]


def _next(request: Request, path: str, **more: object) -> str:
    return f"{path}?{urlencode(given(request) | {name: str(value) for name, value in more.items()})}"
