"""What operators are shown beyond rows of the journal: counters, the audit, policies in force."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from durable.audit_rows import AuditFilter, AuditPage, AuditTotals, Erased
    from durable.checkpoint import Head
    from durable.verification import Verification
    from gateway.metrics import Metrics, Sample
    from gateway.outbox import OutboxView
    from gateway.policies import Policies
    from policy.decision import Question
    from policy.explain import Explanation


class AuditRows(Protocol):
    """What operators need of the audit (`durable.audit_book`)."""

    async def search_audit(self, wanted: AuditFilter) -> AuditPage:
        """Return records newest first, and where to go on."""
        ...

    async def audit_heads(self, chain: str | None = None) -> dict[str, Head]:
        """Return the last record of one chain, or of every chain there is."""
        ...

    async def people(self, aliases: Sequence[str]) -> Mapping[str, str]:
        """Return who the names in records stand for; those erased are left out."""
        ...

    async def erase_person(self, domain: str, user: str, audit: Sequence[Mapping[str, object]]) -> Erased:
        """Forget who a person was, and the originals kept for them."""
        ...

    async def totals(self) -> AuditTotals:
        """Return what waits for somebody."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """One configured upstream, as operators see it."""

    name: str
    domain: str
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Insight:
    """The parts of the admin API that look into the running gateway.

    `verify` goes over the whole audit beside the running gateway; `export` yields its lines, some at a time.
    `name` is this instance's, `since` when it began (seconds since the epoch): what it counts is its own.
    """

    metrics: Metrics
    samples: Callable[[], Awaitable[list[Sample]]]
    audit: AuditRows
    verify: Callable[[], Awaitable[Verification]]
    export: Callable[[], AsyncIterator[str]]
    name: str
    since: float
    outbox: Callable[[], OutboxView | None]
    policies: Policies
    explain: Callable[[Question], Explanation]
    profiles: tuple[str, ...]
    upstreams: tuple[Upstream, ...]
    domains: tuple[str, ...]
