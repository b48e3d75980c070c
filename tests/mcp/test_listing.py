"""What is listed is what may be called, for any principal and any policies (G20)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from gateway.mcp.message import item_subject, read_message, subjects_of
from tests.policy.sets import ask, principal, set_of
from tests.policy.test_differential import CONDITIONS, NAMED, NAMES, lines_of

if TYPE_CHECKING:
    from pathlib import Path

    from policy.decision import Principal
    from policy.source import PolicySet

SETS = 120
TOOLS = ("a", "b", "get_x", "get_y", "odd name", "ä/b", "x_x")
#: Such that each condition of these sets holds for some of them, and fails or errs for others.
ARGUMENTS: tuple[dict[str, object], ...] = (
    {},
    {"n": 5, "k": "x"},
    {"n": 50, "k": "y"},
    {"n": 5, "k": "z"},
    {"n": 50, "k": "z"},
)


def listed(policies: PolicySet, who: Principal, server: str, tool: str) -> bool:
    subject = item_subject(server, "tools/list", {"name": tool})
    assert subject is not None
    question = ask(subject[0], who=who, domain="acme", action=subject[1], certain_only=True)
    return policies.decide(question).effect != "deny"


def callable_with(policies: PolicySet, who: Principal, server: str, tool: str, arguments: object) -> bool:
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
    resource, action, _ = subjects_of(server, read_message(asked, ()))
    return policies.decide(ask(resource, arguments, who=who, domain="acme", action=action)).effect != "deny"


@pytest.mark.requirement("MCP-10")
@pytest.mark.parametrize("conditions", [False, True])
def test_what_is_listed_may_be_called_and_what_is_not_may_not(tmp_path: Path, *, conditions: bool) -> None:
    seen: set[bool] = set()
    for seed in range(SETS):
        dice = random.Random(seed)  # noqa: S311 - a failing seed must fail again
        lines = lines_of(dice)
        if not conditions:
            for name in set(NAMED) - {"-"}:
                lines = lines.replace(f", {name},", ", -,")
        policies = set_of(tmp_path, lines, CONDITIONS)
        for agent in NAMES:
            who = principal(agent, "acme", roles=tuple(dice.sample("rst", dice.randint(0, 1))))
            for server, tool in (("s", dice.choice(TOOLS)), ("t", dice.choice(TOOLS))):
                shown = listed(policies, who, server, tool)
                usable = [callable_with(policies, who, server, tool, one) for one in ARGUMENTS]
                seen.add(shown)
                assert shown or not any(usable), f"seed {seed}: {tool} is hidden but callable\n{lines}"
                assert conditions or all(usable) == shown, f"seed {seed}: {tool} is listed but denied\n{lines}"
    assert seen == {True, False}
