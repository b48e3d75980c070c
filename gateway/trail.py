"""What one call leaves behind, gathered as it goes; audit records and evidence are made of it.

Audit records are flat JSON without floats or content (DESIGN section 11): names, lines, counts, keyed
digests. The chain that links them is `durable/chain.py`'s.
"""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, cast

from gateway.evidence import Evidence
from gateway.ids import random_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.call import Call, Headers, Refusal
    from gateway.evidence import Ending
    from gateway.history import Recalled
    from policy.decision import Decision, Principal
    from redaction.finding import Redacted


def new_audit_id() -> str:
    """Return a sortable random id: milliseconds since the epoch, then 80 random bits, in hex."""
    return f"{time.time_ns() // 1_000_000:012x}{random_bytes(10).hex()}"


def digest_of(key: bytes, content: bytes) -> str:
    """Return the keyed digest that stands for `content` in the audit; its key goes with erasure."""
    return hmac.digest(key, b"audit/" + content, "sha256")[:16].hex()


@dataclass(slots=True, kw_only=True)
class Trail:
    """One call, being written. Only the pipeline and its execution write to it."""

    call: Call
    traceparent: str | None = None
    #: what stands for the user in the audit, where it can be forgotten
    person: str | None = None
    audit_id: str = field(default_factory=new_audit_id)
    start: float = field(default_factory=time.time)
    decision: Decision | None = None
    #: what of its run's past the decision was made on, `None` where it did not ask
    recalled: Recalled | None = None
    call_id: str | None = None
    occurrence: int = 0
    upstream_start: float | None = None
    upstream_end: float | None = None
    redacted_outward: Mapping[str, int] = field(default_factory=dict[str, int])
    redacted_inward: Mapping[str, int] = field(default_factory=dict[str, int])
    #: what passed as it was: not looked into, or found by a shadow
    passed_outward: Mapping[str, int] = field(default_factory=dict[str, int])
    passed_inward: Mapping[str, int] = field(default_factory=dict[str, int])
    usage: Mapping[str, int] = field(default_factory=dict[str, int])
    cost_usd: float | None = None
    #: what the answer of a replay had used when it was made
    spared: Mapping[str, int] = field(default_factory=dict[str, int])
    #: the answer did not say what it took; `usage` is what was guessed before it was sent
    usage_estimated: bool = False
    arguments_digest: str = ""
    result_digest: str = ""
    refusal: str | None = None
    status: int = 200
    #: `step 3 $.messages[1].content`: the request differs there from what the run asked before
    divergence: str | None = None
    #: how often the call was sent, and why all but the last time brought nothing
    tries: int = 0
    failed_tries: list[str] = field(default_factory=list[str])
    #: requests sent side by side that were dropped, and are taken to cost what the one that was kept costs
    dropped: int = 0
    #: the resource asked instead of the call's own, and the policy line that allowed it
    answered_by: str | None = None
    answered_rule: str = ""
    #: what every record of the call says
    _said: dict[str, object] | None = field(init=False, default=None)

    @property
    def seen(self) -> int | None:
        """The newest change of the run's history the decision was made on (microseconds), `None` without one."""
        return None if self.recalled is None else self.recalled.seen

    def turn(self, call: Call) -> None:
        """Go on with `call`, which is made instead."""
        self.call, self._said = call, None

    def looked_at(self, redacted: Redacted) -> None:
        """Note what redaction did to the request."""
        self.redacted_outward, self.passed_outward = redacted.counts, redacted.passed

    def decided(self) -> dict[str, object]:
        """Return the audit record of the decision, written with the intent."""
        record = self._record("decision") | {
            "arguments": self.arguments_digest,
            "redacted": dict(self.redacted_outward),
        }
        if self.passed_outward:
            record["passed"] = dict(self.passed_outward)
        return record

    def ended(self, ending: Ending, reason: str = "") -> dict[str, object]:
        """Return the audit record of how the call ended, written with its outcome."""
        record = self._record("outcome") | {
            "ending": ending,
            "status": self.status,
            "result": self.result_digest,
            "redacted": dict(self.redacted_inward),
            "usage": dict(self.usage),
            "upstream_microseconds": self._microseconds(),
            "microseconds": round((time.time() - self.start) * 1_000_000),
        }
        if self.passed_inward:
            record["passed"] = dict(self.passed_inward)
        if self.usage_estimated:
            record["usage_source"] = "estimated"
        if self.usage and self.cost_usd is None:
            record["cost"] = "unknown"
        if self.cost_usd is not None:
            record["cost_nanodollars"] = round(self.cost_usd * 1_000_000_000)
        if reason:
            record["reason"] = reason
        if self.failed_tries:
            record |= {"tries": self.tries, "failed_tries": list(self.failed_tries)}
        if self.dropped:
            record |= {"tries": self.tries, "dropped": self.dropped}
        if self.answered_by is not None:
            record |= {"answered_by": self.answered_by, "answered_rule": self.answered_rule}
        return record

    def billed(self) -> Mapping[str, int]:
        """Return the usage that is paid: what was dropped is taken to have used as much as what was kept."""
        if not self.dropped:
            return self.usage
        return {name: count * (1 + self.dropped) for name, count in self.usage.items()}

    def headers(self) -> Headers:
        """Return what the agent is told of how its answer came about; nothing where it was sent once."""
        found: Headers = ()
        if self.tries > 1:
            found = ((b"oncegate-tries", str(self.tries).encode()),)
        if self.answered_by is not None:
            found = (*found, (b"oncegate-model", self.answered_by.partition("/")[2].encode()))
        if self.decision is not None and self.decision.mode == "shadow":
            found = (*found, (b"oncegate-policy", policy_header(self.decision)))
        return found

    def kept(self) -> dict[str, object]:
        """Return what the journaled outcome says of how it came about."""
        kept: dict[str, object] = {"tries": self.tries} if self.tries > 1 else {}
        if self.dropped:
            kept["dropped"] = self.dropped
        if self.usage_estimated:
            kept |= {"usage": dict(self.usage), "usage_source": "estimated"}
        return kept if self.answered_by is None else kept | {"answered_by": self.answered_by}

    def remember(self, meta: Mapping[str, object]) -> None:
        """Take from a journaled outcome who gave it, and what it has spared."""
        by, usage = meta.get("answered_by"), meta.get("usage")
        self.answered_by = by if isinstance(by, str) else None
        self.spared = cast("dict[str, int]", usage) if isinstance(usage, dict) else {}

    def diverged(self, call_id: str, step: int, path: str) -> dict[str, object]:
        """Return the audit record of a request that differs from the run's earlier call at `path`."""
        return self._record("divergence") | {"differs_from": call_id, "differs_from_step": step, "path": path}

    def approval_asked(self, demands: Sequence[str]) -> dict[str, object]:
        """Return the audit record of an approval that was asked for."""
        return self._record("approval_asked") | {"arguments": self.arguments_digest, "demands": list(demands)}

    def refused(self, refusal: Refusal) -> dict[str, object]:
        """Return the audit record of a refusal."""
        said = {"code": refusal.code, "status": refusal.status, "reason": refusal.message}
        return self._record("refusal") | said | ({"detail": refusal.detail} if refusal.detail else {})

    def withheld(self, refusal: Refusal) -> dict[str, object]:
        """Return the audit record of an answer that came and is not given, written with its outcome."""
        said = {"code": refusal.code, "status": refusal.status, "reason": refusal.message}
        return self._record("withheld") | said

    def evidence(self, ending: Ending) -> Evidence:
        """Return what telemetry makes spans and metrics of."""
        call, exchange = self.call, self.call.exchange
        return Evidence(
            audit_id=self.audit_id, correlation=exchange.correlation, adapter=call.adapter.name,
            endpoint=call.endpoint, principal=exchange.principal, resource=call.shown or call.resource,
            resource_domain=call.resource_domain, action=call.action, effect=call.effect,
            decision=self.decision, ending=ending, refusal=self.refusal, status=self.status,
            call_id=self.call_id, run=exchange.run.id if exchange.run else None,
            attempt=exchange.run.attempt if exchange.run else 0, occurrence=self.occurrence,
            stream=call.stream, start=self.start, end=time.time(), upstream_start=self.upstream_start,
            upstream_end=self.upstream_end, redacted_outward=self.redacted_outward,
            redacted_inward=self.redacted_inward, usage=self.usage, cost_usd=self.cost_usd,
            arguments_digest=self.arguments_digest, result_digest=self.result_digest,
            traceparent=self.traceparent, protocol_facts=call.facts, divergence=self.divergence, tries=self.tries,
            answered_by=self.answered_by, passed=bool(self.passed_outward or self.passed_inward),
        )  # fmt: skip

    def _microseconds(self) -> int:
        if self.upstream_start is None or self.upstream_end is None:
            return 0
        return round((self.upstream_end - self.upstream_start) * 1_000_000)

    def _record(self, event: str) -> dict[str, object]:
        if self._said is None:
            self._said = self._always_said()
        record: dict[str, object] = {"event": event, **self._said}
        if self.call_id is not None:
            record |= {"call": self.call_id, "occurrence": self.occurrence}
        if self.decision is not None:
            record |= decision_record(self.decision)
        return record

    def _always_said(self) -> dict[str, object]:
        call, exchange = self.call, self.call.exchange
        record: dict[str, object] = {
            "audit": self.audit_id,
            "correlation": exchange.correlation,
            **principal_record(exchange.principal, self.person),
            "resource": call.shown or call.resource,
            "domain": call.resource_domain,
            "action": call.action,
            "effect": call.effect,
        }
        if exchange.run is not None:
            record |= {"run": exchange.run.id, "attempt": exchange.run.attempt}
        return record


class People(Protocol):
    """Who knows what stands for a person in the audit (`durable.journal.Journal.person`)."""

    async def person(self, domain: str, user: str) -> str:
        """Return the name that stands for a person."""
        ...


async def person_of(people: People, principal: Principal) -> str | None:
    """Return what stands in the audit for the user a principal acts for; it can be forgotten, the name could not."""
    return None if principal.user is None else await people.person(principal.domain, principal.user)


def principal_record(principal: Principal, person: str | None = None) -> dict[str, object]:
    """Return who called, as audit records say it; `person` is what the audit calls the user."""
    record: dict[str, object] = {
        "principal": principal.name,
        "method": principal.method,
        "credential": principal.credential,
    }
    if principal.issuer is not None:
        record["issuer"] = principal.issuer
    if principal.user is not None:
        record["user"] = person or principal.user
    if principal.actors:
        record["actors"] = list(principal.actors)
    # what a decision was made on besides, so that it can be made again (`oncegate policy replay`)
    for name, names in (
        ("roles", principal.roles), ("groups", principal.groups), ("user_roles", principal.user_roles),
        ("appointed", principal.appointed),
    ):  # fmt: skip
        if names:
            record[name] = sorted(names)
    return record


def policy_header(decision: Decision) -> bytes:
    """Return what an answer says of the mode it was decided in: nothing was denied that would be."""
    would = "" if decision.would is None else f"; would={decision.would}; rule={decision.rule}"
    return f"{decision.mode}{would}".encode()


def decision_record(decision: Decision) -> dict[str, object]:
    """Return what was decided, by which line of which policy set, with which obligations."""
    obligations = decision.obligations
    record: dict[str, object] = {
        "decision": decision.effect,
        "rule": decision.rule,
        "policy": decision.digest,
    }
    if decision.mode != "enforce":
        record |= {"mode": decision.mode} | ({} if decision.would is None else {"would": decision.would})
    if (candidate := decision.candidate) is not None:
        record |= {
            "candidate_decision": candidate.effect, "candidate_rule": candidate.rule,
            "candidate_policy": candidate.digest,
        }  # fmt: skip
    if decision.flow_line is not None:
        record["flow_rule"] = decision.flow_line.id
    if decision.error is not None:
        record["error"] = decision.error
    if obligations.profiles:
        record["profiles"] = list(obligations.profiles)
    if obligations.approvals:
        record["approvals"] = list(obligations.approvals)
    if obligations.limits:
        record["limits"] = [f"{one.calls}/{one.seconds}s {one.line}" for one in obligations.limits]
    if obligations.labels:
        record["labels"] = list(obligations.labels)
    if obligations.restores:
        record["restores"] = [f"{restore.target}{restore.pointer}" for restore in obligations.restores]
    return record
