"""The index finds what a walk over all lines finds, and its work does not grow with the lines."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.index import ANY_ROLE, Index, Line, Verdict
from policy.lines import Lines, Rule, read_lines
from policy.obligations import NONE
from tests.policy.sets import ask, principal, set_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType

PART = st.text(alphabet="ab", min_size=1, max_size=4)
GLOB = st.lists(st.text(alphabet="ab", max_size=2), min_size=2, max_size=4).map("*".join)
USABLE_GLOB = GLOB.filter(lambda one: "**" not in one)
PATTERN = st.tuples(st.lists(st.one_of(PART, USABLE_GLOB), min_size=1, max_size=3), st.sampled_from(["", "/**"])).map(
    lambda made: "/".join(made[0]) + made[1]
)
SUBJECT = st.sampled_from(["agent:a", "role:r", "role:s", "group:g", ANY_ROLE])
LINE = st.tuples(SUBJECT, st.sampled_from(["acme", "*", "other"]), PATTERN, st.sampled_from(["call", "*", "read"]))


def rules_of(lines: list[tuple[str, str, str, str]]) -> list[Rule]:
    read = Lines()
    text = "\n".join(
        f"p, {subject}, {domain}, {pattern}, {action}, -, allow, -" for subject, domain, pattern, action in lines
    )
    read_lines("x.csv", text, read)
    assert read.problems == []
    return read.rules


@pytest.mark.requirement("POLICY-26")
@settings(max_examples=400, deadline=None)
@given(
    lines=st.lists(LINE, max_size=12), name=st.lists(PART, min_size=1, max_size=4).map("/".join),
    names=st.frozensets(SUBJECT),
)  # fmt: skip
def test_the_index_finds_what_a_walk_over_all_lines_finds(
    lines: list[tuple[str, str, str, str]], name: str, names: frozenset[str]
) -> None:
    rules = rules_of(lines)
    index = Index(Line(place, rule, None, Verdict("allow", rule.ref, NONE)) for place, rule in enumerate(rules))
    walked = [
        rule for rule in rules
        if rule.pattern.matches(name) and rule.action in {"call", "*"} and rule.domain in {"acme", "*"}
        and rule.subject in names | {ANY_ROLE}
    ]  # fmt: skip
    assert [line.rule for line in index.about(name, "call", "acme", names)] == walked


NAMES = ("mcp/s/tool/t0007", "mcp/s/tool/t0007_x", "mcp/s/tool/x_t0007", "mcp/s0007/tool/x", "mcp/n")


def calls_in(work: Callable[[], object]) -> int:
    """Return how many functions `work` calls, a count that no busy machine changes."""
    count = 0

    def note(_: FrameType, event: str, __: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.requirement("POLICY-26")
@pytest.mark.parametrize(
    "line",
    [
        "p, agent:a, acme, mcp/s/tool/t{0}, call, -, allow, -",
        "p, agent:a{0}, acme, mcp/**, call, -, allow, -",
        "p, agent:a, acme, mcp/s/tool/t{0}_*, call, -, allow, -",
        "p, agent:a, acme, mcp/s/tool/*_t{0}, call, -, allow, -",
        "p, agent:a, acme, mcp/s{0}/tool/*, call, -, allow, -",
    ],
    ids=["by name", "by subject", "by how it begins", "by how it ends", "by server"],
)
def test_deciding_about_a_name_seen_for_the_first_time_is_no_more_work_with_a_hundred_times_the_lines(
    tmp_path: Path, line: str
) -> None:
    counted: list[list[int]] = []
    for count in (20, 2000):
        lines = "\n".join(line.format(f"{number:04}") for number in range(count))
        policies = set_of(tmp_path / str(count), lines)
        asked = [ask(resource, who=principal(agent), domain="acme") for agent in ("a", "a0007") for resource in NAMES]
        counted.append([calls_in(partial(policies.decide, one)) for one in asked])
    assert counted[0] == counted[1]
