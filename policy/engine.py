"""Stock Casbin as the reference evaluator, with our three functions registered; the only casbin import.

Its enforcer keeps a mutable rule list and allows everything once disabled, so it is never handed out:
one question in, one yes or no out, every exception a no.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, cast

import casbin  # pyright: ignore[reportMissingTypeStubs] - casbin ships none; wrapped here and nowhere else
from casbin.core_enforcer import EnforceContext  # pyright: ignore[reportMissingTypeStubs] - as above

from policy.resources import compile_pattern
from policy.snapshot import ANY_ROLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from policy.decision import Principal, Question
    from policy.snapshot import Snapshot

    class _Enforcer(Protocol):
        def add_function(self, name: str, func: Callable[..., bool]) -> None: ...
        def add_named_policies(self, ptype: str, rules: list[list[str]]) -> bool: ...
        def enforce(self, *values: object) -> bool: ...


# every decision would be logged with its subject, which costs time and tells names
for _name in ("casbin", "casbin.enforcer", "casbin.policy", "casbin.role"):
    logging.getLogger(_name).disabled = True

_NO_CONDITION: Final = "-"
_FLOW: Final = EnforceContext("r2", "p2", "e2", "m2")


class ReferenceEngine:
    """Decides with stock Casbin what `Snapshot` decides with its index: allow or not."""

    def __init__(self, model: str, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._lines = _enforcer(model)
        for section, items in (("p", snapshot.rules), ("p2", snapshot.flows)):
            if items:
                self._lines.add_named_policies(section, [list(item.columns) for item in items])
        self._lines.add_function("segments", _segments)
        self._lines.add_function("member", self._member)
        self._lines.add_function("condition", self._condition)
        self._question: Question | None = None

    def allows(self, question: Question) -> bool:
        """Return whether stock Casbin allows the question (an approval counts as allowed)."""
        self._question = question
        principal = question.principal
        kind = question.resource.partition("/")[0]
        crossing = (principal.domain, question.resource_domain, kind, question.action)
        try:
            if principal.domain != question.resource_domain and not self._lines.enforce(_FLOW, *crossing):
                return False
            return all(self._allows(name, names, question) for name, names in self._snapshot.subjects(principal))
        except Exception:  # noqa: BLE001 - stock Casbin raises whatever its evaluator meets; a no is the only answer
            return False

    def _allows(self, name: str, names: frozenset[str], question: Question) -> bool:
        context = {"names": names}
        return self._lines.enforce(name, question.principal.domain, question.resource, question.action, context)

    def _member(self, subject: str, wanted: str, domain: str, context: dict[str, frozenset[str]]) -> bool:
        del subject, domain
        return wanted == ANY_ROLE or wanted in context["names"]

    def _condition(self, name: str, context: object, effect: str) -> bool:
        del context
        question = cast("Question", self._question)
        if name == _NO_CONDITION:
            return True
        if question.certain_only:
            return effect == "allow"
        from_line = next(rule for rule in self._snapshot.rules if (rule.condition, rule.effect) == (name, effect))
        holds, error = self._snapshot.condition(from_line, question)
        return holds or (error is not None and effect == "deny")


def _segments(name: str, pattern: str) -> bool:
    return compile_pattern(pattern).matches(name)


def check_model(model: str) -> str | None:
    """Return what is wrong with a model's text, `None` when stock Casbin can load it."""
    try:
        _enforcer(model)
    except Exception as error:  # noqa: BLE001 - casbin raises bare exceptions for anything it cannot read
        return " ".join(str(error).lower().split()) or "stock Casbin cannot read it"
    return None


def principal_names(principal: Principal) -> list[str]:
    """Return the subjects a principal stands for, as policy lines name them."""
    users = [f"user:{principal.user}"] if principal.user else []
    return [f"agent:{principal.agent}", *users, *(f"agent:{actor}" for actor in principal.actors)]


def _enforcer(model: str) -> _Enforcer:
    parsed = casbin.Model()
    parsed.load_model_from_text(model)
    return cast("_Enforcer", casbin.Enforcer(parsed))
