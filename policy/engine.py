"""Stock Casbin as the reference evaluator, with our three functions registered; the only casbin import.

Its enforcer keeps a mutable rule list and allows everything once disabled, so it is never handed out:
one question in, one decision out, every exception a deny. Casbin explains only some of its answers, so
which lines match is asked by the same matcher once more, with a last term that notes its line and says no.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar, cast

import casbin  # pyright: ignore[reportMissingTypeStubs] - casbin ships none; wrapped here and nowhere else
from casbin.core_enforcer import EnforceContext  # pyright: ignore[reportMissingTypeStubs] - as above

from policy.decision import Decision
from policy.index import ANY_ROLE
from policy.obligations import NONE, merge
from policy.resources import compile_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from policy.decision import Obligations, Question
    from policy.lines import Flow, Rule
    from policy.snapshot import Snapshot

    class _Assertion(Protocol):
        policy: list[list[str]]
        value: str

    class _Enforcer(Protocol):
        model: dict[str, dict[str, _Assertion]]

        def add_function(self, name: str, func: Callable[..., bool]) -> None: ...
        def add_named_policies(self, ptype: str, rules: list[list[str]]) -> bool: ...
        def add_named_grouping_policies(self, ptype: str, rules: list[list[str]]) -> bool: ...
        def enforce(self, *values: object) -> bool: ...


# every decision would be logged with its subject, which costs time and tells names
for _name in ("casbin", "casbin.enforcer", "casbin.policy", "casbin.role"):
    logging.getLogger(_name).disabled = True

_Line = TypeVar("_Line", "Rule", "Flow")
_NO_CONDITION: Final = "-"
_CALLS_G: Final = re.compile(r"\bg[0-9]*\(")
_FLOW: Final = EnforceContext("r2", "p2", "e2", "m2")
_ANY_ALLOW: Final = "some(where (p.eft == allow))"
#: Functions of stock Casbin that cannot be made safe (casbin/pycasbin#403 for the second).
_REFUSED_FUNCTIONS: Final = {
    "eval": "splices policy text into the matcher",
    "globMatch": "matches what it should not, in exponential time",
}
#: An unmatched question would be allowed under this one.
_OPEN_EFFECT: Final = "!some(where(p_eft==deny))"


@dataclass(frozen=True, slots=True)
class _Context:
    """What the registered functions need; opaque to the matcher's language."""

    names: frozenset[str]
    question: Question


class ReferenceEngine:
    """Decides with stock Casbin what `Snapshot` decides with its index."""

    def __init__(self, model: str, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._lines = self._open(model)
        self._noting = self._open(_noting(model))
        self._noted: list[int] = []
        for section, items in (("p", snapshot.rules), ("p2", snapshot.flows)):
            lines = [list(item.columns) for item in items]
            if lines:
                self._lines.add_named_policies(section, lines)
            allows = [[*line, str(number)] for number, line in enumerate(lines) if items[number].effect == "allow"]
            if allows:
                self._noting.add_named_policies(section, allows)
        self._noting.add_function("note", self._note)

    def decide(self, question: Question) -> Decision:
        """Return the decision; an exception inside Casbin is a deny that says so."""
        try:
            return self._decide(question)
        except Exception as error:  # noqa: BLE001 - stock Casbin raises whatever its evaluator meets; a no is the only answer
            return self._denied("the question could not be decided", type(error).__name__)

    def _decide(self, question: Question) -> Decision:
        principal = question.principal
        obligations = NONE
        line = flow = None
        if principal.domain != question.resource_domain:
            kind = question.resource.partition("/")[0]
            crossing = (_FLOW, principal.domain, question.resource_domain, kind, question.action)
            if not self._lines.enforce(*crossing):
                return self._denied("no flow line allows it")
            flows = self._matching(self._snapshot.flows, crossing)
            flow = flows[0].ref if flows else None
            obligations = _demands(flows)
        for name, names in self._snapshot.subjects(principal, question.resource):
            asked = (name, principal.domain, question.resource, question.action, _Context(names, question))
            if not self._lines.enforce(*asked):
                return self._denied(f"`model.conf` and the lines do not allow this {name.partition(':')[0]} the call")
            rules = self._matching(self._snapshot.rules, asked)
            obligations = merge(obligations, _demands(rules))
            asking = next((rule for rule in rules if rule.obligations.approvals), None)
            line = asking.ref if asking else line or (rules[0].ref if rules else None)
        effect = "approval" if obligations.approvals else "allow"
        reason = "a line allows it" if effect == "allow" else "it needs an approval"
        return Decision(
            effect=effect, reason=reason, line=line, flow_line=flow, obligations=obligations,
            digest=self._snapshot.digest,
        )  # fmt: skip

    def _matching(self, lines: Sequence[_Line], asked: tuple[object, ...]) -> list[_Line]:
        """Return the allow lines that match, in their order."""
        self._noted = []
        self._noting.enforce(*asked)
        return [lines[number] for number in sorted(set(self._noted))]

    def _note(self, number: str) -> bool:
        self._noted.append(int(number))
        return False

    def _denied(self, reason: str, error: str | None = None) -> Decision:
        return Decision(effect="deny", reason=reason, digest=self._snapshot.digest, error=error)

    def _open(self, model: str) -> _Enforcer:
        enforcer = _enforcer(model)
        if grants := self._snapshot.grants:
            # for changed models that call `g` themselves; the shipped one asks `member`
            enforcer.add_named_grouping_policies("g", [[one.member, one.role, one.domain] for one in grants])
        enforcer.add_function("segments", _segments)
        enforcer.add_function("member", _member)
        enforcer.add_function("condition", self._condition)
        return enforcer

    def _condition(self, name: str, context: _Context, effect: str) -> bool:
        if name == _NO_CONDITION:
            return True
        question = context.question
        if question.certain_only:
            return effect == "allow"
        holds, error = self._snapshot.holds(name, question)
        return holds or (error is not None and effect == "deny")


def _segments(name: str, pattern: str) -> bool:
    return compile_pattern(pattern).matches(name)


def _member(subject: str, wanted: str, domain: str, context: _Context) -> bool:
    del subject, domain  # the names were closed over both
    return wanted == ANY_ROLE or wanted in context.names


def _demands(lines: Sequence[Rule] | Sequence[Flow]) -> Obligations:
    obligations = NONE
    for line in lines:
        obligations = merge(obligations, line.obligations)
    return obligations


def check_model(model: str, shipped: str) -> str | None:
    """Return what is wrong with a model's text, `None` when stock Casbin can be trusted with it."""
    try:
        found, known = _enforcer(model).model, _enforcer(shipped).model
        definitions = {section: {name: found[section][name].value for name in found[section]} for section in "rpgem"}
        wanted = {section: {name: known[section][name].value for name in known[section]} for section in "rpg"}
    except Exception as error:  # noqa: BLE001 - casbin raises bare exceptions for anything it cannot read
        return " ".join(str(error).lower().split()) or "stock Casbin cannot read it"
    for section, names in wanted.items():
        for name, value in names.items():
            if _squeezed(definitions[section].get(name, "")) != _squeezed(value):
                return f"expected `{name}` to have the columns of the shipped model"
    return _check_effects(definitions["e"]) or _check_matchers(definitions["m"])


def _check_effects(effects: dict[str, str]) -> str | None:
    if _squeezed(effects.get("e2", "")) != _squeezed(effects["e"]):
        return "expected the same text for `e2` as for `e`: stock Casbin reads only `e`"
    if _squeezed(effects["e"]) == _OPEN_EFFECT:
        return "this effect allows what no line matches; expected one that names `allow`"
    return None


def _check_matchers(matchers: dict[str, str]) -> str | None:
    if "m2" not in matchers:
        return "expected `m2` for the `p2` lines"
    for name, why in _REFUSED_FUNCTIONS.items():
        if any(f"{name}(" in _squeezed(matcher) for matcher in matchers.values()):
            return f"`{name}` must not stand in a matcher: it {why}; expected `condition` and `segments`"
    return None


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _noting(model: str) -> str:
    """Return the model with a column more, the line's number, and matchers whose last term notes it."""
    return "\n".join(_noted(line) for line in model.splitlines())


def _noted(line: str) -> str:
    key, equals, value = line.partition("=")
    name = key.strip()
    if not equals:
        return line
    if name in {"p", "p2"}:
        return f"{line}, number"
    if name in {"e", "e2"}:
        return f"{name} = {_ANY_ALLOW}"
    if name in {"m", "m2"}:
        return f"{name} = ({value.strip()}) && note({'p' if name == 'm' else 'p2'}.number)"
    return line


def _enforcer(model: str) -> _Enforcer:
    parsed = casbin.Model()
    parsed.load_model_from_text(model)  # pyright: ignore[reportUnknownMemberType] - casbin is untyped
    return cast("_Enforcer", _Enforcing(parsed))


class _Enforcing(casbin.Enforcer):
    """Stock Casbin, but that a matcher is parsed once instead of with every question.

    One that calls `g` is left as it is: its answers are remembered by name inside, and callers choose names.
    """

    def __init__(self, model: object) -> None:
        super().__init__(model)  # pyright: ignore[reportUnknownMemberType] - casbin is untyped
        self._parsed: dict[str, object] = {}

    def _get_expression(self, expr: str, functions: object = None) -> object:  # pyright: ignore[reportIncompatibleMethodOverride] - called as a method, static there
        found = self._parsed.get(expr)
        if found is None:
            parse = cast("Callable[[str, object], object]", getattr(super(), "_get_expression"))  # noqa: B009 - untyped
            found = parse(expr, functions)
            if not _CALLS_G.search(expr):
                self._parsed[expr] = found
        return found
