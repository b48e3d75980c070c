"""What the gateway counts, in Prometheus' text form; every series there is stands in `FAMILIES`.

Counted in the event loop's thread, without a lock, a label value never taken from a caller: upstreams are
those of the configuration, everything else is `other`. A second process counts for itself.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from gateway.evidence import Ending
    from gateway.trail import Trail
    from policy.decision import Decision, Principal

Labels = tuple[str, ...]

#: Seconds: from what the gateway itself takes to what a model takes.
ADDED_BUCKETS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
UPSTREAM_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
COMMIT_BUCKETS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0)
#: How many minutes the console's charts show.
MINUTES_KEPT: Final = 180
#: Agents remembered for the console.
AGENTS_MAX: Final = 1000
_UPSTREAM_PARTS: Final = 2


@dataclass(frozen=True, slots=True)
class Family:
    """One series' name, kind, meaning and labels."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: Labels = ()
    buckets: tuple[float, ...] = ()


def _of(kind: Literal["counter", "gauge"], name: str, text: str, *labels: str) -> Family:
    return Family(name, kind, text, labels)


FAMILIES: Final = (
    _of("counter", "oncegate_calls_total", "Calls that ended.", "upstream", "decision", "ending"),
    _of("counter", "oncegate_refusals_total", "Calls refused, by code.", "code"),
    _of("counter", "oncegate_replays_total", "Calls answered from the journal.", "upstream"),
    _of("counter", "oncegate_divergences_total", "Requests that differ from what their run asked before."),
    _of("counter", "oncegate_redactions_total", "Finds that were redacted.", "entity", "direction"),
    _of("counter", "oncegate_tokens_total", "Tokens spent.", "upstream", "kind"),
    _of("counter", "oncegate_cost_usd_total", "US dollars spent, as far as prices are known.", "upstream"),
    _of("counter", "oncegate_saved_usd_total", "US dollars that replays would have cost.", "upstream"),
    Family("oncegate_added_seconds", "histogram", "A call's time less its upstream's.", ("kind",), ADDED_BUCKETS),
    Family("oncegate_upstream_seconds", "histogram", "An upstream's time.", ("upstream",), UPSTREAM_BUCKETS),
    Family("oncegate_journal_commit_seconds", "histogram", "A commit of the journal.", (), COMMIT_BUCKETS),
    _of("gauge", "oncegate_journal_bytes", "Size of the journal's file and log; absent for a database."),
    _of("gauge", "oncegate_calls_in_flight", "Calls whose outcome is awaited, in the whole store."),
    _of("gauge", "oncegate_calls_in_doubt", "Calls that perhaps happened, in the whole store."),
    _of("gauge", "oncegate_calls_held", "Calls that were not sent and wait for an operator, in the whole store."),
    _of("gauge", "oncegate_approvals_waiting", "Calls that wait for a person, in the whole store."),
    _of("gauge", "oncegate_audit_outbox_records", "Audit records that wait for a sink.", "sink"),
    _of("gauge", "oncegate_audit_outbox_age_seconds", "How long the first of them has waited.", "sink"),
    _of("counter", "oncegate_audit_delivered_total", "Audit records delivered to a sink.", "sink"),
    _of("counter", "oncegate_audit_delivery_failures_total", "Batches a sink did not take.", "sink"),
    _of("counter", "oncegate_audit_rejections_total", "Batches a sink refused, wholly or in part.", "sink"),
    _of("counter", "oncegate_audit_lost_total", "Audit records let go under `audit: best_effort`."),
    _of("counter", "oncegate_checkpoint_failures_total", "Checkpoints of the audit that could not be written."),
    _of("counter", "oncegate_traces_dropped_total", "Calls whose trace was not kept or not delivered."),
    _of("gauge", "oncegate_breaker_state", "0 closed, 1 half open, 2 open.", "upstream"),
    _of("counter", "oncegate_breaker_opened_total", "How often a breaker opened.", "upstream"),
    _of("gauge", "oncegate_upstream_in_flight", "Calls that hold a place at an upstream.", "upstream"),
    _of("gauge", "oncegate_upstream_waiting", "Calls that wait for a place.", "upstream"),
    _of("counter", "oncegate_upstream_refused_total", "Calls that got no place.", "upstream"),
    _of("gauge", "oncegate_budget_spent", "Spent in the window that holds now.", "budget", "subject", "measure"),
    _of("gauge", "oncegate_budget_reserved", "Reserved by calls under way.", "budget", "subject", "measure"),
    _of("gauge", "oncegate_budget_most", "The bound.", "budget", "subject", "measure"),
    _of("counter", "oncegate_configuration_reloads_total", "Reloads of the configuration by SIGHUP.", "result"),
    _of("counter", "oncegate_policy_reloads_total", "Reloads of the policy files.", "result"),
    _of("counter", "oncegate_policy_suspended_total", "Calls that pass in shadow mode only.", "would"),
    _of("counter", "oncegate_policy_candidate_total", "Decisions of live and candidate set.", "live", "candidate"),
    _of("gauge", "oncegate_policy_valid", "1 where the files on disk are those in force."),
)
_BY_NAME: Final = {family.name: family for family in FAMILIES}


@dataclass(slots=True)
class Distribution:
    """One histogram: how many by bucket (the last is beyond every bound), their sum, their number."""

    counts: list[int]
    total: float = 0.0
    number: int = 0


@dataclass(slots=True)
class Minute:
    """What happened in one minute, for charts. `minute` counts from the epoch; `added` is a sum of seconds."""

    minute: int
    calls: int = 0
    denied: int = 0
    replayed: int = 0
    failed: int = 0
    added: float = 0.0
    usd: float = 0.0
    saved: float = 0.0


@dataclass(slots=True)
class AgentSeen:
    """One agent that called; `last` is seconds since the epoch."""

    domain: str
    agent: str
    calls: int = 0
    denied: int = 0
    last: float = 0.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a gauge or of a counter kept elsewhere."""

    name: str
    value: float
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """One family as it stands: values by labels, or distributions by labels."""

    family: Family
    values: Mapping[Labels, float]
    distributions: Mapping[Labels, Distribution]


class Metrics:
    """The counters of one process."""

    def __init__(
        self,
        upstreams: Iterable[str] = (),
        price: Callable[[str, Mapping[str, int]], float | None] = lambda _, __: None,
    ) -> None:
        self._price = price
        self._known = frozenset(upstreams)
        self._counters: dict[str, defaultdict[Labels, float]] = {
            family.name: defaultdict(float) for family in FAMILIES if family.kind == "counter"
        }
        self._distributions: dict[tuple[str, Labels], Distribution] = {}
        self._committing: float | None = None
        self.minutes: deque[Minute] = deque(maxlen=MINUTES_KEPT)
        #: by policy line: how often it decided
        self.lines: defaultdict[str, int] = defaultdict(int)
        self._agents: dict[tuple[str, str], AgentSeen] = {}

    def add(self, name: str, amount: float = 1.0, *labels: str) -> None:
        """Add to a counter."""
        self._counters[name][labels] += amount

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        """Add to a histogram."""
        found = self._distributions.get((name, labels))
        if found is None:
            buckets = _BY_NAME[name].buckets
            found = self._distributions[name, labels] = Distribution([0] * (len(buckets) + 1))
        found.counts[bisect_left(_BY_NAME[name].buckets, seconds)] += 1
        found.total += seconds
        found.number += 1

    def total(self, name: str) -> float:
        """Return a counter's sum over all labels."""
        return sum(self._counters[name].values())

    def by(self, name: str) -> Mapping[Labels, float]:
        """Return a counter's values by labels."""
        return self._counters[name]

    def count(self, trail: Trail, ending: Ending, now: float) -> None:
        """Count a call that is over at `now` (seconds since the epoch)."""
        call, decision = trail.call, trail.decision
        upstream = self.upstream_of(call.resource)
        effect = "none" if decision is None else decision.effect
        self._counters["oncegate_calls_total"][upstream, effect, ending] += 1
        minute = self._minute(now)
        minute.calls += 1
        seen = self._agent(call.exchange.principal)
        seen.calls, seen.last = seen.calls + 1, now
        seen.denied += effect == "deny"
        if decision is not None:
            self.lines[decision.rule] += 1
            minute.denied += decision.effect == "deny"
            self._second(decision)
        if trail.refusal is not None:
            self._counters["oncegate_refusals_total"][(trail.refusal,)] += 1
        if ending == "replayed":
            minute.replayed += 1
            self._counters["oncegate_replays_total"][(upstream,)] += 1
        minute.failed += ending in {"in_doubt", "not_executed", "failed"}
        self._time(trail, upstream, call.kind, now, minute)
        self._spend(trail, upstream, minute)
        if trail.divergence is not None:
            self._counters["oncegate_divergences_total"][()] += 1
        for direction, counts in (("outward", trail.redacted_outward), ("inward", trail.redacted_inward)):
            for entity, number in counts.items():
                self._counters["oncegate_redactions_total"][entity, direction] += number

    def _second(self, decision: Decision) -> None:
        live = decision.would or decision.effect
        if decision.would is not None:
            self._counters["oncegate_policy_suspended_total"][(live,)] += 1
        if decision.candidate is not None:
            self._counters["oncegate_policy_candidate_total"][live, decision.candidate.effect] += 1

    def agents_seen(self) -> list[AgentSeen]:
        """Return the agents that called, who called last first."""
        return sorted(self._agents.values(), key=lambda one: -one.last)

    def _agent(self, principal: Principal) -> AgentSeen:
        place = (principal.domain, principal.agent)
        found = self._agents.get(place)
        if found is None:
            if len(self._agents) >= AGENTS_MAX:
                del self._agents[next(iter(self._agents))]
            found = self._agents[place] = AgentSeen(*place)
        return found

    def upstream_of(self, resource: str) -> str:
        """Return `model/<name>` or `mcp/<server>` of the configuration, else `other`."""
        upstream = "/".join(resource.split("/", _UPSTREAM_PARTS)[:_UPSTREAM_PARTS])
        return upstream if upstream in self._known else "other"

    def timing(self, crash_point: Callable[[str], None] | None) -> Callable[[str], None]:
        """Return what is told of the points around each commit: there its time is taken, for any store alike."""

        def point(name: str) -> None:
            self.commit_point(name, time.perf_counter())
            if crash_point is not None:
                crash_point(name)

        return point

    def commit_point(self, name: str, clock: float) -> None:
        """Take a crash point around a commit (`before_intent_commit`, `after_…`) as the begin or end of one."""
        if name.startswith("before_"):
            self._committing = clock if self._committing is None else self._committing
        elif self._committing is not None:
            self.observe("oncegate_journal_commit_seconds", clock - self._committing)
            self._committing = None

    def readings(self, samples: Iterable[Sample]) -> list[Reading]:
        """Return every family with what is known of it now, and with what was gathered elsewhere."""
        gathered: dict[str, dict[Labels, float]] = defaultdict(dict)
        for sample in samples:
            gathered[sample.name][sample.labels] = sample.value
        found: list[Reading] = []
        for family in FAMILIES:
            values = dict(self._counters.get(family.name, {})) | gathered.get(family.name, {})
            known = {labels: one for (name, labels), one in self._distributions.items() if name == family.name}
            found.append(Reading(family, values, known))
        return found

    def text(self, samples: Iterable[Sample]) -> str:
        """Return everything, with what was gathered elsewhere, in Prometheus' text format 0.0.4."""
        lines: list[str] = []
        for one in self.readings(samples):
            family = one.family
            lines += [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.kind}"]
            lines += _histogram(family, one.distributions)
            lines += [
                f"{family.name}{_labels(family.labels, names)} {_number(value)}" for names, value in one.values.items()
            ]
        return "\n".join(lines) + "\n"

    def quantile(self, name: str, share: float) -> float | None:
        """Return about the `share` quantile of a histogram over all labels, `None` without observations."""
        buckets = _BY_NAME[name].buckets
        sums = [0] * (len(buckets) + 1)
        for (found, _), one in self._distributions.items():
            if found == name:
                sums = [a + b for a, b in zip(sums, one.counts, strict=True)]
        wanted, seen = sum(sums) * share, 0
        if not sum(sums):
            return None
        for bound, number in zip((*buckets, buckets[-1]), sums, strict=True):
            seen += number
            if seen >= wanted:
                return bound
        return buckets[-1]

    def _time(self, trail: Trail, upstream: str, kind: str, now: float, minute: Minute) -> None:
        spent = 0.0
        if trail.upstream_start is not None and trail.upstream_end is not None:
            spent = trail.upstream_end - trail.upstream_start
            self.observe("oncegate_upstream_seconds", spent, upstream)
        added = max(0.0, now - trail.start - spent)
        minute.added += added
        self.observe("oncegate_added_seconds", added, kind)

    def _spend(self, trail: Trail, upstream: str, minute: Minute) -> None:
        for name, number in trail.billed().items():
            self._counters["oncegate_tokens_total"][upstream, name.removesuffix("_tokens")] += number
        if trail.spared and (saved := self._price(trail.call.resource, trail.spared)):
            minute.saved += saved
            self._counters["oncegate_saved_usd_total"][(upstream,)] += saved
        if trail.cost_usd:
            minute.usd += trail.cost_usd
            self._counters["oncegate_cost_usd_total"][(upstream,)] += trail.cost_usd

    def _minute(self, now: float) -> Minute:
        number = int(now // 60)
        if not self.minutes or self.minutes[-1].minute != number:
            self.minutes.append(Minute(number))
        return self.minutes[-1]


def _histogram(family: Family, distributions: Mapping[Labels, Distribution]) -> list[str]:
    lines: list[str] = []
    for labels, found in distributions.items():
        running = 0
        for bound, number in zip((*family.buckets, math.inf), found.counts, strict=True):
            running += number
            said = _labels((*family.labels, "le"), (*labels, "+Inf" if bound == math.inf else _number(bound)))
            lines.append(f"{family.name}_bucket{said} {running}")
        own = _labels(family.labels, labels)
        lines += [f"{family.name}_sum{own} {_number(found.total)}", f"{family.name}_count{own} {found.number}"]
    return lines


def _labels(names: Labels, values: Labels) -> str:
    if not names:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
