"""Named CEL expressions over `args`, `principal`, `run` and `time`: compiled once, evaluated without effects.

What a run did before is asked by `after`, `never_after` and `count` (`policy/history.py`), clock and calendar by
functions that name their time zone (`policy/clock.py`).

CEL (https://cel.dev) has no loops and no side effects; its regular expressions are linear. A condition
that cannot be evaluated raises `ConditionError`, and the line it stands on decides what that means.
"""

from __future__ import annotations

import logging
import math
import posixpath
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, cast

import cel

from policy.clock import READINGS, ZONELESS, readings, zone_of
from policy.history import check_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from policy.decision import Question
    from policy.history import History

# each call that a condition cannot be evaluated for would be a line in the log, and callers choose their arguments
logging.getLogger("cel").disabled = True

EXPRESSION_CHARACTERS_MAX: Final = 4096
#: Nodes of an argument that are converted at most; more is an error, never a cut.
NODES_MAX: Final = 20_000
_VARIABLES: Final = frozenset({"args", "principal", "run", "time"})
#: What a breaker's condition is about.
_COUNTS: Final = frozenset({"requests", "failures", "failure_ratio", "consecutive_failures"})
_ARGUMENT: Final = re.compile(r"\bargs\.([A-Za-z_][A-Za-z0-9_]*)")
_PARSER_CHARACTERS_MAX: Final = 160
#: What the language itself calls, its standard functions, and ours.
_FUNCTIONS: Final = frozenset({
    "!_", "-_", "@in", "@not_strictly_false", "_!=_", "_%_", "_&&_", "_*_", "_+_", "_-_", "_/_", "_<=_", "_<_",
    "_==_", "_>=_", "_>_", "_?_:_", "_[_]", "_||_", "bool", "bytes", "contains", "double", "duration", "endsWith",
    "int", "matches", "max", "min", "size", "startsWith", "string", "timestamp", "uint", "under",
})  # fmt: skip
#: What is asked about the run's past.
_RECALLING: Final = frozenset({"after", "never_after", "count"})
#: All functions that are ours.
_OURS: Final = _RECALLING | READINGS.keys() | {"under"}
_NAMING: Final = "|".join(sorted(_RECALLING | READINGS.keys()))
_NAMED: Final = re.compile(rf"(?<![\w.])({_NAMING})\s*\(\s*(?:'([^'\\]*)'|\"([^\"\\]*)\")\s*\)")
_ASKED: Final = re.compile(rf"(?<![\w.])(?:{_NAMING})\s*\(")
_INT64: Final = 2**63


class ConditionError(Exception):
    """A condition cannot be evaluated for this question; the message names it and no value."""


class ConditionUnusable(Exception):  # noqa: N818 - says what is known of the expression
    """An expression is no condition."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition. `members` are the arguments it names, `None` for all of them."""

    name: str
    expression: str
    program: cel.Program
    variables: frozenset[str]
    members: frozenset[str] | None
    #: those of `under`, `after`, `never_after`, `count` and of clock and calendar it calls
    functions: frozenset[str]
    #: whether it asks what the run did before
    reads_run: bool
    #: whether it asks what time it is
    reads_time: bool

    @property
    def labels(self) -> frozenset[str]:
        """The labels it asks for."""
        named = ((one.group(1), one.group(2) or one.group(3) or "") for one in _NAMED.finditer(self.expression))
        return frozenset(name for function, name in named if function in _RECALLING and "/" not in name)

    def holds(self, question: Question) -> bool:
        """Return whether it holds. Raises `ConditionError`."""
        result = self.value(question)
        if not isinstance(result, bool):
            raise ConditionError(f"condition `{self.name}` is neither true nor false")
        return result

    def value(self, question: Question) -> object:
        """Return what its expression comes to. Raises `ConditionError`."""
        try:
            if not self.functions and not self.reads_run:
                return self.program.execute(self._variables(question))
            return self.program.execute(self._context(question))
        except (TypeError, ValueError, RuntimeError, ArithmeticError, LookupError):
            raise ConditionError(f"condition `{self.name}` cannot be evaluated for this call") from None

    def _variables(self, question: Question) -> dict[str, object]:
        variables: dict[str, object] = {}
        if "args" in self.variables:
            variables["args"] = self._arguments(question.arguments)
        if "principal" in self.variables:
            variables["principal"] = _principal(question)
        if "time" in self.variables:
            variables["time"] = datetime.fromtimestamp(question.time, UTC)
        return variables

    def _context(self, question: Question) -> cel.Context:
        variables = self._variables(question)
        functions: dict[str, Callable[..., object]] = {"under": under}
        functions |= readings(question.time, self.functions & READINGS.keys())
        if self.reads_run:
            run = _run(question)
            calls = {} if run.calls is None else {"calls": run.begun}
            variables["run"] = {"labels": sorted(run.labels), **calls}
            functions |= {"after": run.after, "never_after": run.never_after, "count": run.count}
        return cel.Context(variables=variables, functions=functions)

    def _arguments(self, arguments: object) -> object:
        budget = [NODES_MAX]
        if not isinstance(arguments, dict):
            return _plain(arguments, budget)
        named = cast("dict[str, object]", arguments)
        members = named if self.members is None else self.members
        return {name: _plain(named[name], budget) for name in members if name in named}


def compile_condition(name: str, expression: str) -> Condition:
    """Return the condition `name`. Raises `ConditionUnusable`."""
    program = _program(expression)
    # names bound inside macros count as variables too; `has` and friends are functions
    unknown = {found for found in program.variables() if found not in _VARIABLES} - _bound(expression)
    if unknown:
        raise ConditionUnusable(f"unknown variable `{min(unknown)}`; expected `args`, `principal`, `run` or `time`")
    called = set(program.functions())
    if zoneless := called & ZONELESS:
        message = f"`{min(zoneless)}` names no time zone; write one of {', '.join(READINGS)}, as in `hour('UTC')`"
        raise ConditionUnusable(message)
    if foreign := called - _FUNCTIONS - _RECALLING - READINGS.keys():
        more = ", ".join(sorted({"under", *_RECALLING, *READINGS}))
        raise ConditionUnusable(f"unknown function `{min(foreign)}`; expected one of CEL's own or {more}")
    _check_named(expression)
    if _nested(expression):
        raise ConditionUnusable("a macro inside a macro: its work would grow with the square of the arguments")
    used = frozenset(program.variables()) & _VARIABLES
    bare = len(re.findall(r"\bargs\b", expression)) != len(_ARGUMENT.findall(expression))
    return Condition(
        name=name, expression=expression, program=program, variables=used,
        members=None if bare else frozenset(_ARGUMENT.findall(expression)), functions=frozenset(called & _OURS),
        reads_run="run" in used or bool(called & _RECALLING),
        reads_time="time" in used or bool(called & READINGS.keys()),
    )  # fmt: skip


def _check_named(expression: str) -> None:
    """Check the names that functions of ours are called with. Raises `ConditionUnusable`."""
    named = list(_NAMED.finditer(expression))
    if len(named) != len(_ASKED.findall(expression)):
        raise ConditionUnusable(f"expected one text in quotes in each call of {_NAMING.replace('|', ', ')}")
    for one in named:
        function, name = one.group(1), one.group(2) or one.group(3) or ""
        wrong = check_name(name) if function in _RECALLING else _zone_wrong(name)
        if function == "count" and "/" not in name:
            wrong = "expected a resource pattern with `/`"
        if wrong is not None:
            raise ConditionUnusable(f"`{function}('{name}')`: {wrong}")


def _zone_wrong(name: str) -> str | None:
    try:
        zone_of(name)
    except ValueError as error:
        return str(error)
    return None


def _run(question: Question) -> History:
    if question.run is None:
        raise ConditionError("a condition about the run, and this call belongs to none")
    if not question.run.known:
        raise ConditionError("the run is too long for its history to be kept in mind")
    return question.run


@dataclass(frozen=True, slots=True)
class Trip:
    """A compiled condition over what happened at an upstream: when its breaker opens."""

    expression: str
    program: cel.Program

    def holds(self, *, requests: int, failures: int, consecutive_failures: int) -> bool:
        """Return whether it holds; one that cannot be evaluated does not."""
        counts = {
            "requests": requests, "failures": failures, "consecutive_failures": consecutive_failures,
            "failure_ratio": failures / requests if requests else 0.0,
        }  # fmt: skip
        try:
            return self.program.execute(cel.Context(variables=counts)) is True
        except (TypeError, ValueError, RuntimeError, ArithmeticError, LookupError):
            return False


def compile_trip(expression: str) -> Trip:
    """Return the condition of a breaker. Raises `ConditionUnusable` where it is not true or false of counts."""
    program = _program(expression)
    if unknown := set(program.variables()) - _COUNTS:
        raise ConditionUnusable(f"unknown variable `{min(unknown)}`; expected one of {', '.join(sorted(_COUNTS))}")
    if foreign := set(program.functions()) - (_FUNCTIONS - {"under"}):
        raise ConditionUnusable(f"unknown function `{min(foreign)}`; expected one of CEL's own")
    sample = {"requests": 10, "failures": 5, "consecutive_failures": 3, "failure_ratio": 0.5}
    try:
        result = program.execute(cel.Context(variables=sample))
    except (TypeError, ValueError, RuntimeError, ArithmeticError, LookupError):
        raise ConditionUnusable("it cannot be evaluated; `failure_ratio` is a number such as `0.5`") from None
    if not isinstance(result, bool):
        raise ConditionUnusable("it is neither true nor false")
    return Trip(expression, program)


def under(path: object, folder: object) -> bool:
    """Return whether `path` lies in `folder`: both absolute, `..` and `.` resolved, encodings refused."""
    if not isinstance(path, str) or not isinstance(folder, str):
        raise TypeError("under() expects two texts")
    if "%" in path or "\\" in path or "\x00" in path or not path.startswith("/"):
        return False
    plain = posixpath.normpath(path)
    base = posixpath.normpath(folder)
    return plain == base or plain.startswith(base.rstrip("/") + "/")


def _program(expression: str) -> cel.Program:
    if len(expression) > EXPRESSION_CHARACTERS_MAX:
        raise ConditionUnusable(f"longer than {EXPRESSION_CHARACTERS_MAX} characters")
    try:
        return cel.compile(expression)
    except ValueError as error:
        raise ConditionUnusable(f"not a CEL expression: {_said(error, expression)}") from None


def _said(error: ValueError, expression: str) -> str:
    """Return what the parser says, without the expression it quotes."""
    text = " ".join(str(error).replace(expression, "…").split())
    return text[:_PARSER_CHARACTERS_MAX].lower()


def _nested(expression: str) -> bool:
    """Return whether a macro stands inside another; texts in quotes are taken for code, which errs to a no."""
    ends: list[bool] = []
    for token in re.finditer(r"\.\s*(?:all|exists|exists_one|existsOne|filter|map)\s*\(|\(|\)", expression):
        if token.group() == ")":
            if ends:
                ends.pop()
        elif token.group() == "(":
            ends.append(False)
        elif any(ends):
            return True
        else:
            ends.append(True)
    return False


def _bound(expression: str) -> set[str]:
    return set(re.findall(r"\.(?:all|exists|exists_one|filter|map)\(\s*([A-Za-z_][A-Za-z0-9_]*)\s*,", expression))


def _principal(question: Question) -> Mapping[str, object]:
    principal = question.principal
    return {
        "agent": principal.agent,
        "domain": principal.domain,
        "roles": sorted(principal.roles),
        "groups": sorted(principal.groups),
        "user": principal.user or "",
        "actors": list(principal.actors),
    }


def _plain(value: object, budget: list[int]) -> object:
    budget[0] -= 1
    if budget[0] < 0:
        raise ConditionError(f"arguments with more than {NODES_MAX} values are not evaluated")
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int) and -_INT64 <= value < _INT64:
        return value
    if isinstance(value, dict):
        return {key: _plain(inner, budget) for key, inner in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [_plain(inner, budget) for inner in cast("list[object]", value)]
    # numbers kept by their text (`jiter.LosslessFloat`), and whole numbers CEL has no type for
    number = float(cast("float", value))
    if not math.isfinite(number):
        raise ConditionError("a number beyond what can be compared")
    return number
