"""Why a question is decided as it is: every line that came near, and the first term that failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from policy.index import ANY_ROLE
from policy.terms import why_not

if TYPE_CHECKING:
    from policy.decision import Decision, LineRef, Question
    from policy.lines import Flow, Grant, Rule
    from policy.snapshot import Snapshot
    from policy.source import PolicySet

#: The terms of the shipped matcher, in its order.
Term = Literal["domain", "action", "resource", "subject", "condition"]
#: Lines further away than this many failed terms are no candidates.
_TERMS_FAILED_MAX = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A line that matched, or nearly: `failed` is the first term that did not hold, `found` what stood there instead.

    `path` is how the subject comes to the line's role, empty for `role:any` or where it does not.
    """

    line: LineRef
    effect: str
    matched: bool
    failed: Term | None = None
    wanted: str = ""
    found: str = ""
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One of those who must be allowed: agent, user or actor."""

    name: str
    names: tuple[str, ...]
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A decision with all that led to it. `flows` is empty inside one trust domain."""

    decision: Decision
    crossing: tuple[str, str] | None
    flows: tuple[Candidate, ...]
    subjects: tuple[Subject, ...]
    changed_model: bool

    @property
    def matched(self) -> frozenset[str]:
        """Return the ids of all lines that matched."""
        every = [*self.flows, *(one for subject in self.subjects for one in subject.candidates)]
        return frozenset(one.line.id for one in every if one.matched)


def explain(policy_set: PolicySet, question: Question, *, plain: bool = False) -> Explanation:
    """Return the decision on `question` with its reasons; `plain` shows texts of its arguments, else only their kind.

    With a changed `model.conf` the decision is stock Casbin's, the candidates are read by the shipped matcher.
    """
    snapshot = policy_set.snapshot
    source, target = question.principal.domain, question.resource_domain
    return Explanation(
        decision=policy_set.decide(question),
        crossing=None if source == target else (source, target),
        flows=() if source == target else _flows(snapshot, question),
        subjects=tuple(
            Subject(
                name=name, names=tuple(sorted(names)), candidates=_rules(snapshot, name, names, question, plain=plain)
            )
            for name, names in snapshot.subjects(question.principal, question.resource)
        ),
        changed_model=policy_set.changed_model is not None,
    )


def grants_used(snapshot: Snapshot, explanation: Explanation, domain: str) -> list[Grant]:
    """Return the `g` lines through which a subject came to a line that matched."""
    steps = {
        pair
        for subject in explanation.subjects
        for one in subject.candidates
        if one.matched
        for pair in zip(one.path, one.path[1:], strict=False)
    }
    return [one for one in snapshot.grants if (one.member, one.role) in steps and one.domain in {"*", domain}]


def _rules(
    snapshot: Snapshot, name: str, names: frozenset[str], question: Question, *, plain: bool
) -> tuple[Candidate, ...]:
    found = [_rule(snapshot, rule, name, names, question, plain=plain) for rule in snapshot.rules]
    return tuple(one for one in found if one is not None)


def _rule(
    snapshot: Snapshot, rule: Rule, name: str, names: frozenset[str], question: Question, *, plain: bool
) -> Candidate | None:
    domain = question.principal.domain
    terms: tuple[tuple[Term, bool, str, str], ...] = (
        ("domain", rule.domain in {"*", domain}, rule.domain, domain),
        ("action", rule.action in {"*", question.action}, rule.action, question.action),
        ("resource", rule.pattern.matches(question.resource), rule.pattern_text, question.resource),
        ("subject", rule.subject == ANY_ROLE or rule.subject in names, rule.subject, " ".join(sorted(names))),
    )
    failed = [term for term in terms if not term[1]]
    if len(failed) > _TERMS_FAILED_MAX:
        return None
    path = () if rule.subject == ANY_ROLE else _path(snapshot, domain, name, names, rule.subject)
    if failed:
        term, _, wanted, value = failed[0]
        return Candidate(
            line=rule.ref, effect=rule.effect, matched=False, failed=term, wanted=wanted, found=value, path=path
        )
    holds, error = snapshot.condition(rule, question)
    expression = snapshot.conditions[rule.condition].expression if rule.condition else ""
    why = "" if holds or not rule.condition else why_not(rule.condition, expression, question, plain=plain)
    if holds or (error is not None and rule.effect == "deny"):
        return Candidate(line=rule.ref, effect=rule.effect, matched=True, found=why, path=path)
    return Candidate(
        line=rule.ref, effect=rule.effect, matched=False, failed="condition", wanted=f"{rule.condition}: {expression}",
        found=why or "false", path=path,
    )  # fmt: skip


def _path(snapshot: Snapshot, domain: str, name: str, names: frozenset[str], role: str) -> tuple[str, ...]:
    for start in (name, *sorted(names - {name})):  # a role of the token may lead there as well
        if way := snapshot.roles.path(domain, start, role):
            return way
    return ()


def _flows(snapshot: Snapshot, question: Question) -> tuple[Candidate, ...]:
    found = [_flow(flow, question) for flow in snapshot.flows]
    return tuple(one for one in found if one is not None)


def _flow(flow: Flow, question: Question) -> Candidate | None:
    kind = question.resource.partition("/")[0]
    crossing = f"{question.principal.domain} to {question.resource_domain}"
    across = flow.source in {"*", question.principal.domain} and flow.target in {"*", question.resource_domain}
    terms: tuple[tuple[Term, bool, str, str], ...] = (
        ("domain", across, f"{flow.source} to {flow.target}", crossing),
        ("resource", flow.kind in {"*", kind}, flow.kind, kind),
        ("action", flow.action in {"*", question.action}, flow.action, question.action),
    )
    failed = [term for term in terms if not term[1]]
    if len(failed) > _TERMS_FAILED_MAX:
        return None
    if failed:
        term, _, wanted, value = failed[0]
        return Candidate(line=flow.ref, effect=flow.effect, matched=False, failed=term, wanted=wanted, found=value)
    return Candidate(line=flow.ref, effect=flow.effect, matched=True)
