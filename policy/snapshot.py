"""The compiled set: an immutable index that decides in microseconds, whatever its size.

Lines are found through a trie over resource parts; subjects through roles closed at load. Candidate
lines are cached per (domain, resource, action) by their subject, conditions run for every question. The semantics are
DESIGN section 9: `p2` first, then `p`; both default deny; deny > approval > allow.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from policy.conditions import ConditionError
from policy.decision import Decision, Obligations
from policy.obligations import NONE, merge
from policy.resources import SegmentGlob
from policy.roles import Roles

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from policy.conditions import Condition
    from policy.decision import LineRef, Principal, Question
    from policy.lines import Flow, Grant, Rule

ANY_ROLE: Final = "role:any"
#: Resources are named by callers, so what is remembered per name is bounded.
CANDIDATES_CACHED_MAX: Final = 8192


@dataclass(slots=True)
class _Node:
    literal: dict[str, _Node] = field(default_factory=dict[str, "_Node"])
    globs: list[tuple[SegmentGlob, _Node]] = field(default_factory=list[tuple[SegmentGlob, "_Node"]])
    here: list[Rule] = field(default_factory=list["Rule"])
    below: list[Rule] = field(default_factory=list["Rule"])


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the lines say about one subject."""

    effect: str
    line: LineRef | None
    obligations: Obligations
    error: str | None = None


@dataclass(frozen=True, slots=True)
class _Near:
    """The lines whose domain, resource and action fit, in their order, and by subject.

    `recalls` says that a condition of one of them asks for the run's past or the time: a step that is answered
    from the journal is decided on those as they were.
    """

    by_subject: Mapping[str, tuple[Rule, ...]]
    recalls: bool


_SAME_DOMAIN: Final = Verdict("allow", None, NONE)
_NO_LINE: Final = Verdict("deny", None, NONE)
_NOTHING: Final = _Near({}, recalls=False)


class Snapshot:
    """One policy set, ready to decide. Nothing in it changes but the bounded cache of candidates."""

    def __init__(
        self,
        *,
        rules: Iterable[Rule],
        flows: Iterable[Flow],
        grants: Iterable[Grant],
        conditions: Mapping[str, Condition],
        digest: str,
    ) -> None:
        self.rules = tuple(rules)
        self.flows = tuple(flows)
        self.grants = tuple(grants)
        self.roles = Roles(self.grants)
        self.conditions = conditions
        self.digest = digest
        self._root = _Node()
        self._order = {id(rule): place for place, rule in enumerate(self.rules)}
        reading = {name for name, one in conditions.items() if one.reads_run or one.reads_time}
        self._recalling = frozenset(id(rule) for rule in self.rules if rule.condition in reading)
        for rule in self.rules:
            self._add(rule)
        self._subjects: dict[tuple[Principal, bool], list[tuple[str, frozenset[str]]]] = {}
        self._candidates: dict[tuple[str, str, str], _Near] = {}
        self._flows: dict[tuple[str, str, str, str], Verdict] = {}
        self._merged: dict[tuple[int, int], tuple[Obligations, Obligations, Obligations]] = {}

    def decide(self, question: Question) -> Decision:
        """Return the decision; whatever goes wrong is a deny that says so."""
        try:
            return self._decide(question)
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            # no fault in a question may become an allow, nor take the gateway down
            reason = "the question could not be decided"
            return Decision(effect="deny", reason=reason, digest=self.digest, error=type(error).__name__)

    def recalls(self, question: Question) -> bool:
        """Return whether a condition that may count asks what the run did before, or what time it is."""
        return self._near(question).recalls

    def fitting(self, question: Question, names: frozenset[str]) -> tuple[Rule, ...]:
        """Return the lines about one of `names` that fit but for their conditions, in their order."""
        return self._of(self._near(question), names)

    def _near(self, question: Question) -> _Near:
        key = (question.principal.domain, question.resource, question.action)
        found = self._candidates.get(key)
        if found is None:
            if len(self._candidates) >= CANDIDATES_CACHED_MAX:
                self._candidates.clear()
            found = self._candidates[key] = self._found(*key)
        return found

    def _found(self, domain: str, resource: str, action: str) -> _Near:
        by_subject: dict[str, tuple[Rule, ...]] = {}
        recalls = False
        for rule in self._matching(resource.split("/")):
            if (rule.domain == domain or rule.domain == "*") and (rule.action == action or rule.action == "*"):  # noqa: PLR1714 - a set would be made each time
                before = by_subject.get(rule.subject)
                by_subject[rule.subject] = (rule,) if before is None else (*before, rule)
                recalls = recalls or id(rule) in self._recalling
        return _Near(by_subject, recalls) if by_subject else _NOTHING

    def _of(self, near: _Near, names: frozenset[str]) -> tuple[Rule, ...]:
        """Return those of the lines that are about one of `names`, in their order."""
        by_subject = near.by_subject
        if len(by_subject) < len(names):
            found = [rules for subject, rules in by_subject.items() if subject in names or subject == ANY_ROLE]
        else:
            found = [by_subject[name] for name in (*names, ANY_ROLE) if name in by_subject]
        if len(found) == 1:
            return found[0]
        return tuple(sorted((rule for rules in found for rule in rules), key=self._place)) if found else ()

    def subjects(self, principal: Principal, resource: str = "") -> list[tuple[str, frozenset[str]]]:
        """Return agent, user and actors, each with every name it goes by: all of them must be allowed.

        What a token claims counts for calls; over the gateway itself (`admin/…`) only `g` lines and the
        configuration give roles, for a foreign issuer must not appoint its operators (DESIGN section 7).
        """
        key = (principal, resource.startswith("admin/"))
        known = self._subjects.get(key)
        if known is None:
            if len(self._subjects) >= CANDIDATES_CACHED_MAX:
                self._subjects.clear()
            known = self._subjects[key] = self._named(principal, claims=not key[1])
        return known

    def _named(self, principal: Principal, *, claims: bool) -> list[tuple[str, frozenset[str]]]:
        own = [f"role:{role}" for role in principal.roles] + [f"group:{group}" for group in principal.groups]
        named = [(f"agent:{principal.agent}", own)]
        if principal.user is not None:
            named.append((f"user:{principal.user}", [f"role:{role}" for role in principal.user_roles]))
        named += [(f"agent:{actor}", []) for actor in principal.actors]
        found = [(name, [name, *(more if claims else ())]) for name, more in named]
        found[0][1].extend(f"role:{role}" for role in principal.appointed)
        return [(name, self.roles.of(principal.domain, names)) for name, names in found]

    def flow(self, question: Question) -> Verdict:
        """Return what the `p2` lines say about crossing from the caller's domain to the resource's."""
        source, target = question.principal.domain, question.resource_domain
        if source == target:
            return _SAME_DOMAIN
        kind = question.resource.partition("/")[0]
        key = (source, target, kind, question.action)
        known = self._flows.get(key)
        if known is None:
            if len(self._flows) >= CANDIDATES_CACHED_MAX:
                self._flows.clear()
            known = self._flows[key] = self._crossing(*key)
        return known

    def _crossing(self, source: str, target: str, kind: str, action: str) -> Verdict:
        found = [
            flow
            for flow in self.flows
            if flow.source in {"*", source} and flow.target in {"*", target} and flow.kind in {"*", kind}
            and flow.action in {"*", action}
        ]  # fmt: skip
        denied = next((flow for flow in found if flow.effect == "deny"), None)
        if denied is not None:
            return Verdict("deny", denied.ref, NONE)
        if not found:
            return Verdict("deny", None, NONE)
        obligations = NONE
        for flow in found:
            obligations = self._merge(obligations, flow.obligations)
        return Verdict("allow", found[0].ref, obligations)

    def judge(self, names: frozenset[str], question: Question) -> Verdict:
        """Return what the `p` lines say about one subject, known by `names`."""
        allowed: list[Rule] = []
        for rule in self._of(self._near(question), names):
            holds, error = self.condition(rule, question)
            if rule.effect == "deny":
                if holds or error is not None:
                    return Verdict("deny", rule.ref, NONE, error)
            elif holds:
                allowed.append(rule)
        if not allowed:
            return _NO_LINE
        obligations = NONE
        for rule in allowed:
            obligations = self._merge(obligations, rule.obligations)
        asking = next((rule for rule in allowed if rule.obligations.approvals), None)
        if asking is not None:
            return Verdict("approval", asking.ref, obligations)
        return Verdict("allow", allowed[0].ref, obligations)

    def condition(self, rule: Rule, question: Question) -> tuple[bool, str | None]:
        """Return whether the line's condition holds, and what went wrong if it could not be told.

        For a listing a condition is a maybe: it lets an allow line match and a deny line not.
        """
        if rule.condition is None:
            return True, None
        if question.certain_only:
            return rule.effect == "allow", None
        return self.holds(rule.condition, question)

    def holds(self, name: str, question: Question) -> tuple[bool, str | None]:
        """Return whether the condition `name` holds, and what went wrong if it could not be told."""
        try:
            return self.conditions[name].holds(question), None
        except ConditionError as error:
            return False, str(error)

    def _decide(self, question: Question) -> Decision:
        flow = self.flow(question)
        if flow.effect == "deny":
            crossing = f"from domain `{question.principal.domain}` to `{question.resource_domain}`"
            reason = f"a flow line denies calls {crossing}" if flow.line else f"no flow line allows calls {crossing}"
            return Decision(effect="deny", reason=reason, line=flow.line, flow_line=flow.line, digest=self.digest)
        result: Verdict | None = None
        obligations = flow.obligations
        for name, names in self.subjects(question.principal, question.resource):
            verdict = self.judge(names, question)
            if verdict.effect == "deny":
                return self._denied(name, verdict, question, flow)
            obligations = self._merge(obligations, verdict.obligations)
            if result is None or verdict.effect == "approval":
                result = verdict
        if result is None:
            raise LookupError("a question without a subject")
        effect = "approval" if obligations.approvals else "allow"
        reason = "a line allows it" if effect == "allow" else "it needs an approval"
        return Decision(
            effect=effect, reason=reason, line=result.line, flow_line=flow.line, obligations=obligations,
            digest=self.digest,
        )  # fmt: skip

    def _denied(self, name: str, verdict: Verdict, question: Question, flow: Verdict) -> Decision:
        # `certain_only` and the real question deny for the same reasons; the words are the caller's
        kind, _, _ = name.partition(":")
        what = f"`{question.action}` on `{question.resource}`"
        if verdict.line is None:
            reason = f"no line allows this {kind} {what}"
        elif verdict.error is not None:
            reason = f"a deny line that could not be evaluated stands against {what}"
        else:
            reason = f"a line denies this {kind} {what}"
        return Decision(
            effect="deny", reason=reason, line=verdict.line, flow_line=flow.line, digest=self.digest,
            error=verdict.error,
        )  # fmt: skip

    def _merge(self, first: Obligations, second: Obligations) -> Obligations:
        """Return both, merged once for each pair: the lines stay, so the same pairs come again with every call."""
        pair = (id(first), id(second))
        known = self._merged.get(pair)
        if known is None or known[0] is not first or known[1] is not second:
            if len(self._merged) >= CANDIDATES_CACHED_MAX:
                self._merged.clear()
            # both are kept beside it: while they live, nothing else has their ids
            known = self._merged[pair] = first, second, merge(first, second)
        return known[2]

    def _add(self, rule: Rule) -> None:
        node = self._root
        for segment in rule.pattern.segments:
            if isinstance(segment, str):
                node = node.literal.setdefault(segment, _Node())
                continue
            known = next((inner for glob, inner in node.globs if glob == segment), None)
            if known is None:
                known = _Node()
                node.globs.append((segment, known))
            node = known
        (node.below if rule.pattern.rest else node.here).append(rule)

    def _matching(self, parts: list[str]) -> list[Rule]:
        found: list[Rule] = []
        nodes = [self._root]
        for part in parts:
            following: list[_Node] = []
            for node in nodes:
                if node.below:
                    found += node.below
                if (literal := node.literal.get(part)) is not None:
                    following.append(literal)
                for glob, inner in node.globs:
                    if glob.matches(part):
                        following.append(inner)
            nodes = following
            if not nodes:
                break
        for node in nodes:
            found += node.here
        if len(found) > 1:
            found.sort(key=self._place)
        return found

    def _place(self, rule: Rule) -> int:
        return self._order[id(rule)]
