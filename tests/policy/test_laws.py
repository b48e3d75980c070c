"""Laws that hold for every set of lines and every question, and parsers that no text brings down."""

from __future__ import annotations

import random
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import body
from policy.case_file import read_cases
from policy.cases import same
from policy.conditions import ConditionError, ConditionUnusable, compile_condition
from policy.lines import Lines, Problem, read_lines
from policy.resources import UnusableName, compile_pattern, resource_name, resource_uri_name
from policy.source import PolicyInvalid, PolicySet
from tests.policy.sets import ask, set_of
from tests.policy.test_differential import CONDITIONS, lines_of, question_of

if TYPE_CHECKING:
    from policy.decision import Obligations, Question

seeds = st.integers(0, 2**32)
laws = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
QUESTIONS = 30


def made(lines: list[str]) -> PolicySet:
    with tempfile.TemporaryDirectory() as folder:
        return set_of(Path(folder), "\n".join(lines) + "\n", CONDITIONS)


def drawn(seed: int) -> tuple[random.Random, list[str], list[Question]]:
    dice = random.Random(seed)  # noqa: S311 - a failing seed must fail again
    return dice, lines_of(dice).splitlines(), [question_of(dice) for _ in range(QUESTIONS)]


@pytest.mark.requirement("POLICY-29")
@given(seeds)
@laws
def test_adding_a_deny_never_allows(seed: int) -> None:
    dice, lines, questions = drawn(seed)
    denies = [line for line in lines_of(dice).splitlines() if ", deny, " in line]
    before, after = made(lines), made([*lines, *denies])
    for question in questions:
        effects = before.decide(question).effect, after.decide(question).effect
        assert effects[0] == effects[1] or effects[1] == "deny"


@pytest.mark.requirement("POLICY-29")
@given(seeds)
@laws
def test_removing_an_allow_never_allows(seed: int) -> None:
    dice, lines, questions = drawn(seed)
    allows = [line for line in lines[1:] if ", allow, " in line]
    gone = dice.choice(allows) if allows else None
    before, after = made(lines), made(["p, agent:nobody, acme, model/m, call, -, allow, -", *(set(lines) - {gone})])
    for question in questions:
        if before.decide(question).effect == "deny":
            assert after.decide(question).effect == "deny"


@pytest.mark.requirement("POLICY-29")
@given(seeds)
@laws
def test_the_order_of_lines_decides_nothing(seed: int) -> None:
    dice, lines, questions = drawn(seed)
    turned = lines.copy()
    dice.shuffle(turned)
    before, after = made(lines), made(turned)
    for question in questions:
        one, other = before.decide(question), after.decide(question)
        assert one.effect == other.effect
        assert same(_unplaced(one.obligations), _unplaced(other.obligations))


def _unplaced(obligations: Obligations) -> Obligations:
    """Return them without the lines of limits: ids of these sets are line numbers."""
    return replace(obligations, limits=tuple({(one.calls, one.seconds): one for one in obligations.limits}.values()))


@pytest.mark.requirement("POLICY-29", "POLICY-09")
@given(seeds)
@laws
def test_what_may_be_called_is_listed_and_what_no_arguments_could_call_is_not(seed: int) -> None:
    _, lines, questions = drawn(seed)
    policies = made(lines)
    plain = made([line for line in lines if not line.startswith("p,") or line.split(", ")[5] == "-"] or lines[:1])
    for question in questions:
        listed = policies.decide(replace(question, certain_only=True)).effect != "deny"
        if policies.decide(replace(question, certain_only=False)).effect != "deny":
            assert listed
        # without conditions nothing is a maybe
        shown = plain.decide(replace(question, certain_only=True)).effect
        assert shown == plain.decide(replace(question, certain_only=False)).effect


VALID = (
    "# id: one\np, role:clerk, acme, mcp/s/tool/*, call, small, allow, redact=standard;limit=5/1h;label=x\n"
    "p2, acme, vendors, *, *, deny, -\ng, agent:a, role:clerk, *\n"
)
CASES = "- {as: agent:acme/a, resource: model/m, expect: allow, run: {labels: [x], calls: [model/m]}, table: [{}]}\n"
EXPRESSION = "args.n < 10 && never_after('x') && hour('UTC') < 5 && args.l.all(e, e in ['a']) && under(args.p, '/a')"
pieces = st.text(max_size=12) | st.sampled_from(
    [",", "\n", "#", "'", '"', "(", ")", "*", "**", "/", "%", "&&", "\x00", "-"]
)


@st.composite
def broken(draw: st.DrawFn, text: str) -> str:
    """Return `text` with pieces put in and taken out."""
    for _ in range(draw(st.integers(1, 4))):
        at, length = draw(st.integers(0, len(text))), draw(st.integers(0, 6))
        text = text[:at] + draw(pieces) + text[at + length :]
    return text


@pytest.mark.requirement("POLICY-30")
@given(broken(VALID) | st.text(max_size=200), broken('small: "args.n < 10"\n'), broken(CASES))
@settings(max_examples=300, deadline=None)
def test_no_text_brings_the_parsers_down(lines: str, conditions: str, cases: str) -> None:
    read_lines("x.csv", lines, Lines())
    problems: list[Problem] = []
    read_cases("x_test.yaml", cases, problems)
    assert all("\n" not in str(one) for one in problems)
    with tempfile.TemporaryDirectory() as folder:
        try:
            set_of(Path(folder), lines.encode(errors="replace").decode(), conditions.encode(errors="replace").decode())
        except PolicyInvalid:
            return


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("nlpx"), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.requirement("POLICY-30")
@given(broken(EXPRESSION), json_values)
@settings(max_examples=400, deadline=None)
def test_no_expression_and_no_argument_brings_conditions_down(expression: str, arguments: object) -> None:
    for text in (EXPRESSION, expression):
        try:
            condition = compile_condition("c", text)
        except ConditionUnusable:
            continue
        try:
            assert condition.holds(ask(arguments=arguments)) in {True, False}
        except ConditionError:
            continue


@pytest.mark.requirement("POLICY-30")
@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_no_body_brings_conditions_down(content: bytes) -> None:
    try:
        parsed = body.parse(content)
    except body.MalformedBody:
        return
    try:
        compile_condition("c", EXPRESSION).holds(ask(arguments=parsed))
    except ConditionError:
        return


@pytest.mark.requirement("POLICY-30", "POLICY-13")
@given(st.text(max_size=60), pieces)
@settings(max_examples=400, deadline=None)
def test_a_name_is_normalised_once_and_for_all_or_refused(text: str, piece: str) -> None:
    for make in (lambda: resource_name("mcp", "s", "tool", text + piece), lambda: resource_uri_name("s", text + piece)):
        try:
            name = make()
        except UnusableName:
            continue
        assert name.isascii()
        assert name.isprintable()
        assert not {"", ".", ".."} & set(name.split("/"))
        assert compile_pattern(name.replace("*", "%2A")).matches(name.replace("*", "%2A"))
