"""Conditions: what they see, what they cost, what they refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway import body
from policy.conditions import EXPRESSION_CHARACTERS_MAX, NODES_MAX, ConditionError, compile_condition
from tests.policy.sets import ask, problems_of

if TYPE_CHECKING:
    from pathlib import Path


def holds(expression: str, arguments: object = None) -> bool:
    return compile_condition("c", expression).holds(ask(arguments=arguments))


@pytest.mark.requirement("POLICY-16")
@pytest.mark.parametrize(
    ("expression", "arguments"),
    [
        ("args.amount < 1000", {"amount": 5}),
        ("args.to.name == 'Ann'", {"to": {"name": "Ann"}}),
        ("has(args.note) && size(args.note) < 9", {"note": "hi"}),
        ("args.items.all(x, x.price < 10.0)", {"items": [{"price": 1.0}]}),
        ("!has(args.note)", {}),
        ("'force' in args && args['force'] == true", {"force": True}),
        ("args.kind in ['a', 'b']", {"kind": "a"}),
        ("principal.agent == 'billing' && principal.domain == 'acme' && principal.user == ''", None),
        ("time > timestamp('2026-01-01T00:00:00Z') && date('UTC') == '2027-01-15'", None),
        ("args.name.matches('^[a-z]+$')", {"name": "abc"}),
    ],
)
def test_a_condition_sees_arguments_principal_and_time(expression: str, arguments: object) -> None:
    assert holds(expression, arguments)


@pytest.mark.requirement("POLICY-16")
@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("args.x <", "not a CEL expression"),
        ("arg.x < 5", "unknown variable `arg`"),
        ("open(args.x)", "unknown function `open`"),
        ("args.x.all(a, args.x.exists(b, b == a))", "a macro inside a macro"),
        ("1 == 1 || " * EXPRESSION_CHARACTERS_MAX + "true", "longer than"),
        ("(" * 900 + "true" + ")" * 900, "not a CEL expression"),
    ],
)
def test_an_expression_that_is_no_condition_is_refused_at_load(tmp_path: Path, expression: str, message: str) -> None:
    line = "p, agent:a, acme, model/m, call, -, allow, -\n"
    (problem,) = problems_of(tmp_path, line, f'cond: "{expression}"\n')
    assert problem.startswith("conditions.yaml:1: `cond`: ")
    assert message in problem
    assert len(problem) < 300


@pytest.mark.requirement("POLICY-16")
@pytest.mark.parametrize(
    ("expression", "arguments"),
    [
        ("args.x", {"x": 5}),
        ("run.calls > 1", None),
        ("args.x * args.x > 0", {"x": 2**62}),
        ("1 / args.x > 0", {"x": 0}),
        ("'a'.matches(args.x)", {"x": "("}),
        ("size(args.x) > 0", {"x": list(range(NODES_MAX + 1))}),
    ],
)
def test_what_cannot_be_told_is_an_error_that_quotes_nothing(expression: str, arguments: object) -> None:
    with pytest.raises(ConditionError) as caught:
        holds(expression, arguments)
    assert caught.value.__cause__ is None
    assert len(str(caught.value)) < 120


@pytest.mark.requirement("POLICY-16")
def test_only_the_arguments_that_are_named_are_looked_at() -> None:
    huge = list(range(NODES_MAX + 1))
    assert holds("args.small == 1", {"small": 1, "huge": huge})
    with pytest.raises(ConditionError):
        holds("size(args) == 2", {"small": 1, "huge": huge})


@pytest.mark.requirement("POLICY-17")
@pytest.mark.parametrize(
    ("number", "small"),
    [
        ("999.99", True),
        ("1000.00", False),
        ("1e2", True),
        ("1E+3", False),
        ("12345678901234567890123", False),
        ("-0.0", True),
    ],
)
def test_numbers_kept_by_their_text_compare_as_numbers(number: str, small: bool) -> None:  # noqa: FBT001 - a table
    assert holds("args.amount < 1000", body.parse(b'{"amount": %s}' % number.encode())) is small


@pytest.mark.requirement("POLICY-17")
@pytest.mark.parametrize("number", [b"1e309", b"-1e309", b"1" + b"0" * 400])
def test_a_number_beyond_comparison_errs(number: bytes) -> None:
    with pytest.raises(ConditionError):
        holds("args.amount < 1000", body.parse(b'{"amount": %s}' % number))


@pytest.mark.requirement("POLICY-18")
@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("/data/x", True), ("/data", True), ("/data/a/../b", True), ("/data/../etc", False), ("/data/../data2", False),
        ("/database", False), ("/data%2f..", False), ("/DATA/x", False), ("data/x", False), ("/data\\..\\x", False),
        ("//data/x", False), ("/data/./x", True), ("/data/\x00", False), ("", False),
    ],
)  # fmt: skip
def test_under_sees_through_dots_and_refuses_encodings(path: str, inside: bool) -> None:  # noqa: FBT001 - a table
    assert holds("under(args.path, '/data')", {"path": path}) is inside


@pytest.mark.requirement("POLICY-18")
def test_under_of_no_text_errs() -> None:
    with pytest.raises(ConditionError):
        holds("under(args.path, '/data')", {"path": 5})
