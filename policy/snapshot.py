"""The compiled set: an immutable index that decides in microseconds, whatever its size.

Lines are found by resource and subject (`policy/index.py`), subjects through roles closed at load; conditions run for
every question. The semantics are DESIGN section 9: `p2` first, then `p`; both default deny; deny > approval > allow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from policy.conditions import ConditionError
from policy.decision import Decision, Obligations
from policy.index import Index, Line, Verdict
from policy.obligations import NONE, merge
from policy.roles import Roles

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from policy.conditions import Condition
    from policy.decision import LineRef, Principal, Question
    from policy.lines import Flow, Grant, Rule

#: Callers choose their names, so what is remembered by name is bounded.
REMEMBERED_MAX: Final = 8192
_SAME_DOMAIN: Final = Verdict("allow", None, NONE)
_NO_LINE: Final = Verdict("deny", None, NONE)
_Subjects = list[tuple[str, frozenset[str]]]


class Snapshot:
    """One policy set, ready to decide. Nothing in it changes but what it remembers, and that is bounded."""

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
        self._recalling = any(one.reads_run or one.reads_time for one in conditions.values())
        self._index = Index(self._line(place, rule) for place, rule in enumerate(self.rules))
        self._subjects: dict[tuple[object, ...], _Subjects] = {}
        self._flows: dict[tuple[str, str, str, str], Verdict] = {}
        self._merged: dict[tuple[int, int], tuple[Obligations, Obligations, Obligations]] = {}
        self._granted: dict[tuple[int, int, int], Decision] = {}

    def forget(self) -> None:
        """Forget what is remembered; every decision stays as it was."""
        for remembered in (self._subjects, self._flows, self._merged, self._granted):
            remembered.clear()

    def decide(self, question: Question) -> Decision:
        """Return the decision; whatever goes wrong is a deny that says so."""
        try:
            return self._decide(question)
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            # no fault in a question may become an allow, nor take the gateway down
            reason = "the question could not be decided"
            return Decision(effect="deny", reason=reason, digest=self.digest, error=type(error).__name__)

    def demanded(self, question: Question) -> Obligations:
        """Return what the lines that let a call demand, also where another line denies it; nothing in doubt."""
        try:
            source, target = question.principal.domain, question.resource_domain
            kind = question.resource.partition("/")[0]
            crossing = [] if source == target else self._fitting_flows(source, target, kind, question.action)
            lines = [
                line.rule for _, names in self.subjects(question.principal, question.resource)
                for line in self._about(question, names)
                if line.rule.effect == "allow" and (line.condition is None or self.condition(line.rule, question)[0])
            ]  # fmt: skip
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
            return NONE
        found = NONE
        for one in (*crossing, *lines):
            if one.effect == "allow":
                found = self._merge(found, one.obligations)
        return found

    def recalls(self, question: Question | None) -> bool:
        """Return whether a condition that may count asks what the run did before, or what time it is.

        A step that is answered from the journal is decided on those as they were. Without a question: any condition.
        """
        if question is None or not self._recalling:
            return self._recalling
        return any(
            line.condition is not None and (line.condition.reads_run or line.condition.reads_time)
            for _, names in self.subjects(question.principal, question.resource)
            for line in self._about(question, names)
        )

    def fitting(self, question: Question, names: frozenset[str]) -> tuple[Rule, ...]:
        """Return the lines about one of `names` that fit but for their conditions, in their order."""
        return tuple(line.rule for line in self._about(question, names))

    def _about(self, question: Question, names: frozenset[str]) -> list[Line]:
        return self._index.about(question.resource, question.action, question.principal.domain, names)

    def _line(self, place: int, rule: Rule) -> Line:
        effect = "approval" if rule.obligations.approvals else rule.effect
        condition = None if rule.condition is None else self.conditions[rule.condition]
        return Line(place, rule, condition, Verdict(effect, rule.ref, rule.obligations))

    def subjects(self, principal: Principal, resource: str = "") -> _Subjects:
        """Return agent, user and actors, each with every name it goes by: all of them must be allowed.

        What a token claims counts for calls; over the gateway itself (`admin/…`) only `g` lines and the
        configuration give roles, for a foreign issuer must not appoint its operators (DESIGN section 7).
        """
        claims = not resource.startswith("admin/")
        # the credential is not among what names: a token of each hour goes by the same ones
        key = (
            claims, principal.domain, principal.agent, principal.user, principal.roles, principal.groups,
            principal.user_roles, principal.actors, principal.appointed,
        )  # fmt: skip
        known = self._subjects.get(key)
        if known is None:
            _bound(self._subjects)
            known = self._subjects[key] = self._named(principal, claims=claims)
        return known

    def _named(self, principal: Principal, *, claims: bool) -> _Subjects:
        of, domain = self.roles.of, principal.domain
        agent = f"agent:{principal.agent}"
        own = [agent, *(f"role:{role}" for role in principal.appointed)]
        if claims and (principal.roles or principal.groups):
            own += [f"role:{role}" for role in principal.roles]
            own += [f"group:{group}" for group in principal.groups]
        named = [(agent, of(domain, own))]
        if principal.user is not None:
            user = f"user:{principal.user}"
            roles = [f"role:{role}" for role in principal.user_roles] if claims else []
            named.append((user, of(domain, (user, *roles))))
        if principal.actors:
            actors = [f"agent:{actor}" for actor in principal.actors]
            named += [(actor, of(domain, (actor,))) for actor in actors]
        return named

    def flow(self, question: Question) -> Verdict:
        """Return what the `p2` lines say about crossing from the caller's domain to the resource's."""
        source, target = question.principal.domain, question.resource_domain
        if source == target:
            return _SAME_DOMAIN
        kind = question.resource.partition("/")[0]
        key = (source, target, kind, question.action)
        known = self._flows.get(key)
        if known is None:
            _bound(self._flows)
            known = self._flows[key] = self._crossing(*key)
        return known

    def _fitting_flows(self, source: str, target: str, kind: str, action: str) -> list[Flow]:
        return [
            flow
            for flow in self.flows
            if flow.source in {"*", source} and flow.target in {"*", target} and flow.kind in {"*", kind}
            and flow.action in {"*", action}
        ]  # fmt: skip

    def _crossing(self, source: str, target: str, kind: str, action: str) -> Verdict:
        found = self._fitting_flows(source, target, kind, action)
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
        allowed: list[Line] = []
        for line in self._about(question, names):
            holds, error = (True, None) if line.condition is None else self.condition(line.rule, question)
            if line.rule.effect == "deny":
                if error is not None:
                    return Verdict("deny", line.rule.ref, NONE, error)
                if holds:
                    return line.verdict
            elif holds:
                allowed.append(line)
        if not allowed:
            return _NO_LINE
        if len(allowed) == 1:
            return allowed[0].verdict
        obligations = NONE
        for line in allowed:
            obligations = self._merge(obligations, line.rule.obligations)
        deciding = next((line for line in allowed if line.verdict.effect == "approval"), allowed[0])
        return Verdict(deciding.verdict.effect, deciding.rule.ref, obligations)

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
        return self._grant(result.line, flow.line, obligations)

    def _grant(self, line: LineRef | None, flow_line: LineRef | None, obligations: Obligations) -> Decision:
        """Return the value of an allow or approval, made once for each: the lines stay, so the same come again."""
        key = id(line), id(flow_line), id(obligations)
        known = self._granted.get(key)
        if known is None:
            _bound(self._granted)
            effect = "approval" if obligations.approvals else "allow"
            # it holds all three: while it is remembered, nothing else has their ids
            known = self._granted[key] = Decision(
                effect=effect, reason="a line allows it" if effect == "allow" else "it needs an approval", line=line,
                flow_line=flow_line, obligations=obligations, digest=self.digest,
            )  # fmt: skip
        return known

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
        if first is NONE:
            return second
        pair = (id(first), id(second))
        known = self._merged.get(pair)
        if known is None:
            _bound(self._merged)
            # both are kept beside it: while they are remembered, nothing else has their ids
            known = self._merged[pair] = first, second, merge(first, second)
        return known[2]


def _bound(remembered: dict[Any, Any]) -> None:
    if len(remembered) >= REMEMBERED_MAX:
        remembered.clear()
