"""Two sets side by side: which principals gain or lose what, line by line and condition by condition."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Final

from policy.decision import ACTIONS, Principal, Question
from policy.index import ANY_ROLE
from policy.obligations import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from policy.decision import Obligations
    from policy.lines import Flow, Rule
    from policy.resources import Pattern
    from policy.snapshot import Snapshot

#: More questions than this are not asked, and it is said which were not.
QUESTIONS_MAX: Final = 2_000_000
_ELSE: Final = "other"


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """What one principal may do with one resource (`…/**`, or a name that stands for what else fits), old and new."""

    principal: str
    resource: str
    domain: str
    action: str
    before: str
    after: str

    @property
    def gains(self) -> bool:
        """Whether something may be done now that could not."""
        return self.before == "deny"

    @property
    def loses(self) -> bool:
        """Whether nothing may be done any more."""
        return self.after == "deny"


@dataclass(frozen=True, slots=True)
class Difference:
    """What changes. Where not all could be asked, `left` counts what was not; `last` is the last resource that was."""

    changes: tuple[Change, ...]
    asked: int
    left: int = 0
    last: str = ""


@dataclass(frozen=True, slots=True)
class Spoken:
    """What two sets speak of: principals, resources, domains and actions, each in order."""

    principals: tuple[tuple[str, Principal], ...]
    resources: tuple[str, ...]
    domains: tuple[str, ...]
    actions: tuple[str, ...]


def spoken_of(old: Snapshot, new: Snapshot) -> Spoken:
    """Return all that either set speaks of."""
    every = (*old.rules, *new.rules)
    actions = {rule.action for rule in every} - {"*"} or {"call"}
    return Spoken(
        tuple(sorted({*_principals(old), *_principals(new)}, key=lambda one: one[0])),
        tuple(sorted({*_resources(old), *_resources(new)})),
        tuple(sorted({*_domains(old), *_domains(new)})),
        tuple(sorted(ACTIONS if any(rule.action == "*" for rule in every) else actions)),
    )


def differences(old: Snapshot, new: Snapshot, *, questions_max: int = QUESTIONS_MAX) -> Difference:
    """Return what changes for all that either set speaks of.

    Asked is only where something can have changed: about resources that a changed line fits, for principals whose
    roles have changed, between domains whose flows have changed.
    """
    spoken = spoken_of(old, new)
    lines = _changed_lines(old, new)
    moved = {name for name, one in spoken.principals if _names(old, one) != _names(new, one)}
    flows = {_flow_text(one) for one in old.flows} != {_flow_text(one) for one in new.flows}
    found: list[Change] = []
    asked = left = 0
    last = ""
    for resource in spoken.resources:
        fitting = [rule for rule in lines if rule.pattern.matches(resource)]
        concerned = [
            (name, one) for name, one in spoken.principals
            if flows or name in moved or any(rule.domain in {"*", one.domain} for rule in fitting)
        ]  # fmt: skip
        wanted = len(concerned) * len(spoken.actions) * (len(spoken.domains) + 1)
        if asked + wanted > questions_max:
            left += wanted
            continue
        asked, last = asked + wanted, resource if wanted else last
        for (name, one), action in product(concerned, spoken.actions):
            found += _changes(old, new, (name, one), resource, action, {one.domain, *spoken.domains})
    return Difference(tuple(sorted(found)), asked, left, last)


def _changes(  # noqa: PLR0917 - one question, in its parts
    old: Snapshot, new: Snapshot, who: tuple[str, Principal], resource: str, action: str, domains: set[str]
) -> Iterator[Change]:
    name, principal = who
    for domain in domains:
        question = Question(principal=principal, resource=resource, resource_domain=domain, action=action, time=0.0)
        only = "user:" if name.startswith("user:") else ""
        before, after = summary(old, question, only), summary(new, question, only)
        if before != after:
            yield Change(name, resource, domain, action, before, after)


def _changed_lines(old: Snapshot, new: Snapshot) -> list[Rule]:
    """Return the lines that only one of the sets has, whatever their ids and order."""
    before, after = ({_line(one, rule): rule for rule in one.rules} for one in (old, new))
    return [rule for key, rule in before.items() if key not in after] + [
        rule for key, rule in after.items() if key not in before
    ]


def _line(snapshot: Snapshot, rule: Rule) -> tuple[str, ...]:
    return rule.subject, rule.domain, rule.pattern_text, rule.action, _said(snapshot, rule)


def _names(snapshot: Snapshot, principal: Principal) -> list[frozenset[str]]:
    return [names for _, names in snapshot.subjects(principal)] + [
        names for _, names in snapshot.subjects(principal, "admin/")
    ]


def _flow_text(flow: Flow) -> tuple[str, ...]:
    return flow.source, flow.target, flow.kind, flow.action, flow.effect, _demands(flow.obligations)


def summary(snapshot: Snapshot, question: Question, only: str = "") -> str:
    """Return what the lines that fit say, in words that do not depend on ids or order; `only` about such subjects."""
    flow = snapshot.flow(question)
    if flow.effect == "deny":
        return "deny"
    said: list[str] = []
    crossing = _demands(flow.obligations)
    for name, names in snapshot.subjects(question.principal, question.resource):
        if not name.startswith(only):
            continue
        rules = snapshot.fitting(question, names)
        if not any(rule.effect == "allow" for rule in rules) or any(
            rule.effect == "deny" and rule.condition is None for rule in rules
        ):
            return "deny"
        said.append("; ".join(sorted({_said(snapshot, rule) for rule in rules})))
    return " and ".join(said) + (f" + {crossing}" if crossing else "")


def _said(snapshot: Snapshot, rule: Rule) -> str:
    condition = "" if rule.condition is None else f" if {snapshot.conditions[rule.condition].expression}"
    demands = _demands(rule.obligations)
    return f"{rule.effect}{condition}{f' ({demands})' if demands else ''}"


def _demands(obligations: Obligations) -> str:
    return text_of(obligations)


def _principals(snapshot: Snapshot) -> Iterator[tuple[str, Principal]]:
    domains = set(_domains(snapshot)) or {_ELSE}
    named = [(rule.subject, rule.domain) for rule in snapshot.rules]
    named += [(one.member, one.domain) for one in snapshot.grants]
    for subject, own in named:
        for domain in domains if own == "*" else {own}:
            yield _principal(subject, domain)
    for domain in domains:
        yield _principal(ANY_ROLE, domain)


def _principal(subject: str, domain: str) -> tuple[str, Principal]:
    kind, _, name = subject.partition(":")
    shown = f"{kind}:{domain}/{name}"
    if kind == "agent":
        return shown, Principal(agent=name, domain=domain, method="api_key")
    if subject == ANY_ROLE:
        return f"agent:{domain}/(anybody)", Principal(agent="(anybody)", domain=domain, method="api_key")
    if kind == "user":  # what the agent may that acts for them is another question
        return shown, Principal(agent="(any)", domain=domain, user=name, method="api_key")
    roles = frozenset({name}) if kind == "role" else frozenset[str]()
    groups = frozenset({name}) if kind == "group" else frozenset[str]()
    return shown, Principal(agent=f"({kind})", domain=domain, method="api_key", roles=roles, groups=groups)


def _resources(snapshot: Snapshot) -> Iterator[str]:
    for rule in snapshot.rules:
        yield _name(rule.pattern)


def _name(pattern: Pattern) -> str:
    """Return a name that fits the pattern; where it leaves something open, one that no other line is about."""
    parts = [part if isinstance(part, str) else _ELSE.join(part.texts) for part in pattern.segments]
    return "/".join([*parts, _ELSE] if pattern.rest else parts)


def _domains(snapshot: Snapshot) -> Iterator[str]:
    named = [rule.domain for rule in snapshot.rules] + [one.domain for one in snapshot.grants]
    named += [name for flow in snapshot.flows for name in (flow.source, flow.target)]
    yield from (name for name in named if name != "*")
