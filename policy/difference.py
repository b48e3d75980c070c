"""Two sets side by side: which principals gain or lose what, line by line and condition by condition."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Final

from policy.decision import ACTIONS, Principal, Question
from policy.obligations import text_of
from policy.snapshot import ANY_ROLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from policy.decision import Obligations
    from policy.lines import Rule
    from policy.resources import Pattern
    from policy.snapshot import Snapshot

#: More questions than this are not asked; say which domains or agents you mean.
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


class TooMany(ValueError):  # noqa: N818 - says what is known
    """The sets speak of more principals and resources than can be compared one by one."""


def differences(old: Snapshot, new: Snapshot) -> list[Change]:
    """Return what changes for all that either set speaks of. Raises `TooMany`."""
    principals = sorted(set(_principals(old)) | set(_principals(new)), key=lambda one: one[0])
    resources = sorted(set(_resources(old)) | set(_resources(new)))
    domains = sorted(set(_domains(old)) | set(_domains(new)))
    actions = sorted({rule.action for rule in (*old.rules, *new.rules)} - {"*"} or {"call"})
    if any(rule.action == "*" for rule in (*old.rules, *new.rules)):
        actions = sorted(ACTIONS)
    if len(principals) * len(resources) * len(actions) * (len(domains) + 1) > QUESTIONS_MAX:
        raise TooMany(f"more than {QUESTIONS_MAX} questions; compare smaller sets")
    found: list[Change] = []
    for (name, principal), resource, action in product(principals, resources, actions):
        for domain in {principal.domain, *domains}:
            question = Question(principal=principal, resource=resource, resource_domain=domain, action=action, time=0.0)
            before, after = summary(old, question), summary(new, question)
            if before != after:
                found.append(Change(name, resource, domain, action, before, after))
    return sorted(found)


def summary(snapshot: Snapshot, question: Question) -> str:
    """Return all the lines that fit say, in words that do not depend on ids or order."""
    flow = snapshot.flow(question)
    if flow.effect == "deny":
        return "deny"
    said: list[str] = []
    crossing = _demands(flow.obligations)
    for _, names in snapshot.subjects(question.principal, question.resource):
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
