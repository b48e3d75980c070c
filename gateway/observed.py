"""Gathers, when asked, what the running gateway knows of itself: gauges for Prometheus, and what the console shows."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from durable.chain import anchor_line, export_line, read_anchors, read_links
from durable.postgres import read_postgres_anchors, read_postgres_links
from durable.verification import Witnesses, verify
from gateway.admin.insight import Insight, Upstream
from gateway.metrics import Sample
from policy.explain import explain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from durable.verification import Verification
    from gateway.app import Gateway
    from gateway.budgets.ledger import Ledger

_BREAKER: Final = {"closed": 0.0, "half_open": 1.0, "open": 2.0}
#: Budgets given to Prometheus at most; subjects come from verified credentials, but there may be many.
BUDGETS_MAX: Final = 500
#: Records an export reads at a time, and how much of the time it takes.
EXPORTED_AT_ONCE: Final = 200
EXPORT_SHARE: Final = 0.05


def insight_of(gateway: Gateway, ledger: Ledger) -> Insight:
    """Return what operators are shown of a running gateway."""

    async def samples() -> list[Sample]:
        return await gathered(gateway, ledger)

    async def verified() -> Verification:
        return await verification(gateway)

    config = gateway.config
    upstreams = [
        Upstream(name=f"model/{name}", domain=model.domain, where=_host(model.url))
        for name, model in config.models.items()
    ]
    upstreams += [
        Upstream(name=f"mcp/{name}", domain=server.domain, where=_host(server.url) if server.url else "command")
        for name, server in config.mcp_servers.items()
    ]
    return Insight(
        metrics=gateway.metrics, samples=samples, audit=gateway.journal, verify=verified,
        export=lambda: exported(gateway), name=gateway.journal.audit_chain, since=time.time(),
        outbox=lambda: None if gateway.outbox is None else gateway.outbox.view, policies=gateway.policies,
        explain=lambda question: explain(gateway.policies.current.live, question),
        profiles=gateway.redaction.profile_names, upstreams=tuple(upstreams),
        domains=("default", *sorted(set(config.trust_domains) - {"default"})),
    )  # fmt: skip


async def gathered(gateway: Gateway, ledger: Ledger) -> list[Sample]:
    """Return every value that is not counted as it happens. Raises `JournalUnavailable`."""
    totals = await gateway.journal.totals()
    samples = [
        Sample("oncegate_calls_in_flight", totals.in_flight),
        Sample("oncegate_calls_in_doubt", totals.in_doubt),
        Sample("oncegate_calls_held", totals.held),
        Sample("oncegate_approvals_waiting", totals.approvals),
        Sample("oncegate_audit_lost_total", gateway.journal.audit_lost),
        Sample("oncegate_checkpoint_failures_total", gateway.checkpoints.failures),
        Sample("oncegate_traces_dropped_total", gateway.traces_lost),
        Sample("oncegate_policy_reloads_total", gateway.policies.reloads, ("good",)),
        Sample("oncegate_policy_reloads_total", gateway.policies.reloads_failed, ("failed",)),
        Sample("oncegate_policy_valid", float(gateway.policies.last_error is None)),
        *_outbox(gateway),
        *_upstreams(gateway),
    ]
    if gateway.config.state.postgres is None:
        samples.append(Sample("oncegate_journal_bytes", await asyncio.to_thread(_bytes, gateway)))
    for one in await ledger.standings(budget=None, subject=None, limit=BUDGETS_MAX):
        labels = (one.budget, one.subject, one.measure)
        samples += [
            Sample("oncegate_budget_spent", one.spent, labels),
            Sample("oncegate_budget_reserved", one.reserved, labels),
            Sample("oncegate_budget_most", one.most, labels),
        ]
    return samples


async def verification(gateway: Gateway) -> Verification:
    """Go over the whole audit, on connections and in a thread of its own."""
    state = gateway.config.state
    if state.postgres is None:
        return await asyncio.to_thread(
            lambda: verify(read_links(state.path), Witnesses(anchors=read_anchors(state.path)))
        )
    password = None if gateway.config.state_password is None else gateway.config.state_password.read()
    anchors = await read_postgres_anchors(state.postgres, password)
    links = [link async for link in read_postgres_links(state.postgres, password)]
    return await asyncio.to_thread(verify, links, Witnesses(anchors=anchors))


async def exported(gateway: Gateway) -> AsyncIterator[str]:
    """Yield the whole audit as `oncegate audit verify --export` reads it, some lines at a time.

    Calls go on meanwhile: an export takes no more than `EXPORT_SHARE` of the time.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async for lines in _exported(gateway):
        yield lines
        await asyncio.sleep((loop.time() - begun) * (1 / EXPORT_SHARE - 1))
        begun = loop.time()


async def _exported(gateway: Gateway) -> AsyncIterator[str]:
    state, place = gateway.config.state, 0
    if state.postgres is None:
        yield "".join(anchor_line(one) for one in await asyncio.to_thread(read_anchors, state.path))
        while (found := await gateway.journal.audit_page(place, EXPORTED_AT_ONCE))[0]:
            links, place = found
            yield "".join(export_line(link) for link in links)
        return
    password = None if gateway.config.state_password is None else gateway.config.state_password.read()
    yield "".join(anchor_line(one) for one in await read_postgres_anchors(state.postgres, password))
    lines: list[str] = []
    async for link in read_postgres_links(state.postgres, password):
        lines.append(export_line(link))
        if len(lines) >= EXPORTED_AT_ONCE:
            yield "".join(lines)
            lines.clear()
    yield "".join(lines)


def _outbox(gateway: Gateway) -> Iterator[Sample]:
    if gateway.outbox is None:
        return
    view = gateway.outbox.view
    labels = (view.sink,)
    yield Sample("oncegate_audit_outbox_records", view.waiting, labels)
    yield Sample("oncegate_audit_outbox_age_seconds", view.age_seconds, labels)
    yield Sample("oncegate_audit_delivered_total", view.delivered, labels)
    yield Sample("oncegate_audit_delivery_failures_total", view.failures, labels)
    yield Sample("oncegate_audit_rejections_total", view.rejections, labels)


def _upstreams(gateway: Gateway) -> Iterator[Sample]:
    for one in gateway.gates.views():
        labels = (one.upstream,)
        if one.breaker is not None:
            yield Sample("oncegate_breaker_state", _BREAKER[one.breaker], labels)
            yield Sample("oncegate_breaker_opened_total", one.opened, labels)
        if one.in_flight is not None:
            yield Sample("oncegate_upstream_in_flight", one.in_flight, labels)
            yield Sample("oncegate_upstream_waiting", one.waiting, labels)
            yield Sample("oncegate_upstream_refused_total", one.refused, labels)


def _bytes(gateway: Gateway) -> int:
    path = gateway.config.state.path
    return sum(one.stat().st_size for one in (path, path.with_name(f"{path.name}-wal")) if one.exists())


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]
