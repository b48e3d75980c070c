"""Why a condition did not hold: the part that failed, with the values it read."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.conditions import ConditionError, compile_condition
from policy.explain import explain
from policy.history import History, Tally
from policy.terms import why_not
from tests.policy.sets import ask, set_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("POLICY-38")
PAST = History(calls={"mcp/web/tool/read": Tally(2, 1)}, labels=frozenset({"untrusted"}))
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("expression", "args", "why"),
    [
        ("args.amount < 1000", {"amount": 1500}, "`args.amount < 1000` is false: args.amount = 1500"),
        ("args.a < 5 && args.b < 5", {"a": 1, "b": 9}, "`args.b < 5` is false: args.b = 9"),
        ("args.a < 5 && (args.b < 5 && args.c)", {"a": 1, "b": 1, "c": False}, "`args.c` is false: args.c = false"),
        (
            "args.a < 5 || args.b < 5", {"a": 7, "b": 9},
            "`args.a < 5` is false: args.a = 7; `args.b < 5` is false: args.b = 9",
        ),
        (
            "args.a < 5 && (args.b == 'x' || args.c == 'y')", {"a": 1, "b": "no", "c": "no"},
            "`args.b == 'x'` is false: args.b = \"no\"; `args.c == 'y'` is false: args.c = \"no\"",
        ),
        ("args.amount < 1000", {}, "`args.amount < 1000` cannot be evaluated: args.amount = missing"),
        ("args.amount < 1000", {"amount": "1"}, '`args.amount < 1000` cannot be evaluated: args.amount = "1"'),
        # what is false decides, whatever stands before it cannot be evaluated
        ("args.a < 5 && args.b < 5", {"b": 9}, "`args.b < 5` is false: args.b = 9"),
        ("args.a.b[1] == 2", {"a": {"b": [1, 3]}}, "`args.a.b[1] == 2` is false: args.a.b[1] = 3"),
        ("args.a['x y'] == 2", {"a": {"x y": 3}}, "`args.a['x y'] == 2` is false: args.a['xy'] = 3"),
        ("args.name == 'a && b || args.x'", {"name": "c"},
         "`args.name == 'a && b || args.x'` is false: args.name = \"c\""),
        ("args.a ? args.b : args.c", {"a": True, "b": False, "c": True},
         "`args.a ? args.b : args.c` is false: args.a = true, args.b = false, args.c = true"),
        ("!(args.a && args.b)", {"a": True, "b": True}, "`!(args.a && args.b)` is false: args.a = true, args.b = true"),
        ("args.items.all(i, i < 3)", {"items": [1, 5]}, "`args.items.all(i, i < 3)` is false: args.items = [1, 5]"),
        ("under(args.path, '/data')", {"path": "/etc"}, "`under(args.path, '/data')` is false: args.path = \"/etc\""),
        ("never_after('untrusted')", {}, "`never_after('untrusted')` is false: never_after('untrusted') = false"),
        ("count('mcp/web/**') < 2", {}, "`count('mcp/web/**') < 2` is false: count('mcp/web/**') = 2"),
        ("size(run.labels) == 0", {}, '`size(run.labels) == 0` is false: run.labels = ["untrusted"]'),
        ("hour('UTC') < 9", {}, "`hour('UTC') < 9` is false: hour('UTC') = 12"),
        ("principal.agent == 'x'", {}, "`principal.agent == 'x'` is false: principal.agent = \"billing\""),
        ("'x' in principal.roles", {}, "`'x' in principal.roles` is false: principal.roles = []"),
    ],
)  # fmt: skip
def test_the_first_part_that_failed_is_named_with_the_values_it_read(
    expression: str, args: dict[str, object], why: str
) -> None:
    question = replace(ask(arguments=args), run=PAST, time=NOON)
    assert why_not("c", expression, question, plain=True) == why


def test_texts_of_callers_are_shown_by_their_kind_unless_asked_for() -> None:
    question = ask(arguments={"to": "ada@example.org", "n": 7, "list": ["x"], "map": {"a": 1}})
    expression = "args.to == 'x' || args.n == 1 || args.list == [] || args.map == {}"
    said = why_not("c", expression, question, plain=False)
    assert "ada" not in said
    for shown in ("a text of 15 characters", "args.n = 7", "a list of 1", "an object of 1"):
        assert shown in said


def test_an_explanation_says_it_of_each_line_also_of_a_deny_that_could_not_be_evaluated(tmp_path: Path) -> None:
    lines = (
        "p, agent:billing, acme, model/m, call, small, allow, -\n"
        "p, role:any, *, model/m, call, big, deny, -\n"
        "p, agent:billing, acme, model/m, call, read, allow, -\n"
    )
    conditions = "small: args.n < 10\nbig: args.size > 5\nread: after('mcp/web/tool/read')\n"
    (subject,) = explain(set_of(tmp_path, lines, conditions), ask(arguments={"n": 50})).subjects
    assert [(one.matched, one.found) for one in subject.candidates] == [
        (False, "`args.n < 10` is false: args.n = 50"),
        (True, "`args.size > 5` cannot be evaluated: args.size = missing"),
        (
            False,
            "`after('mcp/web/tool/read')` cannot be evaluated: after('mcp/web/tool/read') = not known here",
        ),
    ]


_NUMBERS = st.sampled_from(["args.a < 3", "args.b < 3", "args.c < 3", "args.missing < 3"])
_EXPRESSIONS = st.recursive(
    _NUMBERS,
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from(["&&", "||"]), inner)
        | st.builds("{} {} {}".format, inner, st.sampled_from(["&&", "||"]), inner)
    ),
    max_leaves=8,
)


@given(_EXPRESSIONS, st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))
def test_what_is_named_as_failed_never_held(expression: str, a: int, b: int, c: int) -> None:
    question = ask(arguments={"a": a, "b": b, "c": c})
    try:
        if compile_condition("c", expression).holds(question):
            return
    except ConditionError:
        pass
    said = why_not("c", expression, question, plain=True)
    assert "is true" not in said
    assert "is false" in said or "cannot be evaluated" in said
