"""Digests that recognise a tool call on both sides."""

from __future__ import annotations

import pytest

from gateway.call import ToolUse
from gateway.tool_use import count_uses, use_digest

KEY = b"k" * 32


@pytest.mark.requirement("GW-05")
@pytest.mark.parametrize(
    "name",
    ["charge_card", "payments__charge_card", "mcp_payments_charge_card", "payments.charge_card", "a/charge_card"],
)
def test_a_prefixed_name_in_model_traffic_stands_for_the_servers_tool(name: str) -> None:
    counts = count_uses(KEY, [ToolUse(name=name, arguments={"amount": 5, "to": "x"})])
    assert counts[use_digest(KEY, "charge_card", {"to": "x", "amount": 5})] == 1


@pytest.mark.requirement("GW-05")
def test_other_arguments_or_another_key_are_another_use() -> None:
    counts = count_uses(KEY, [ToolUse(name="charge_card", arguments={"amount": 5})])
    assert use_digest(KEY, "charge_card", {"amount": 6}) not in counts
    assert use_digest(b"x" * 32, "charge_card", {"amount": 5}) not in counts


@pytest.mark.requirement("GW-05")
def test_no_arguments_and_an_empty_object_are_the_same_use() -> None:
    assert use_digest(KEY, "list", None) == use_digest(KEY, "list", {})
