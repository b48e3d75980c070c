"""Which changes can do harm."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from gateway.definitions.changes import CHANGES_MAX, changes_of
from gateway.definitions.definition import covered

BEFORE: dict[str, Any] = {
    "name": "pay", "title": "Pay", "description": "Pays.",
    "inputSchema": {
        "type": "object",
        "properties": {"amount": {"type": "integer", "maximum": 9, "enum": [1, 2, 3]}, "to": {"type": "string"}},
        "required": ["amount"],
    },
    "annotations": {"destructiveHint": True, "readOnlyHint": False},
}  # fmt: skip
AMOUNT = ("inputSchema", "properties", "amount")


def changed(path: tuple[str, ...], value: object) -> dict[str, Any]:
    after = deepcopy(BEFORE)
    place = after
    for part in path[:-1]:
        place = place.setdefault(part, {})
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return after


@pytest.mark.requirement("DEF-11")
@pytest.mark.parametrize(
    ("path", "value", "weight"),
    [
        (("description",), "Pays, and tells the bank.", "risky"),
        (("title",), "Pay now", "benign"),
        (("title",), "Pay\u200b now", "risky"),
        (("icons",), [{"src": "https://evil.example"}], "risky"),
        (("_meta",), {"ui": "x"}, "risky"),
        (("inputSchema", "required"), ["amount", "to"], "risky"),
        (("inputSchema", "properties", "secret"), {"type": "string"}, "risky"),
        (("inputSchema", "properties", "to"), None, "risky"),
        ((*AMOUNT, "maximum"), None, "risky"),
        ((*AMOUNT, "maximum"), 10, "risky"),
        ((*AMOUNT, "maximum"), 8, "benign"),
        ((*AMOUNT, "minimum"), 1, "benign"),
        ((*AMOUNT, "type"), ["integer", "string"], "risky"),
        ((*AMOUNT, "type"), None, "risky"),
        ((*AMOUNT, "enum"), [1, 2], "benign"),
        ((*AMOUNT, "enum"), [1, 2, 4], "risky"),
        ((*AMOUNT, "description"), "The amount", "risky"),
        ((*AMOUNT, "examples"), [1], "benign"),
        (("inputSchema", "additionalProperties"), False, "benign"),
        (("annotations", "destructiveHint"), False, "risky"),
        (("annotations", "readOnlyHint"), True, "risky"),
        (("annotations", "openWorldHint"), True, "benign"),
        (("outputSchema",), {"type": "object"}, "benign"),
        (("execution",), {"taskSupport": "required"}, "risky"),
    ],
)
def test_each_change_has_its_weight(path: tuple[str, ...], value: object, weight: str) -> None:
    (found,) = changes_of(BEFORE, changed(path, value))
    assert (found.place, found.weight) == (".".join(path), weight)
    assert found.lines


@pytest.mark.requirement("DEF-11")
def test_risky_changes_come_first_and_too_many_are_said_to_be_more() -> None:
    after: dict[str, Any] = changed(("title",), "Pay now") | {"description": "Else."}
    assert [one.place for one in changes_of(BEFORE, after)] == ["description", "title"]
    many: dict[str, object] = {f"member{number}": 1 for number in range(CHANGES_MAX + 1)}
    assert changes_of({}, many)[-1].why == "there are more changes than are shown"
    assert changes_of(BEFORE, deepcopy(BEFORE)) == []


@pytest.mark.requirement("DEF-01")
def test_an_older_revision_may_leave_members_out_and_never_add_or_change_one() -> None:
    assert covered({"name": "pay", "inputSchema": {"type": "object"}}, BEFORE)
    assert not covered(BEFORE | {"icons": ["i"]}, BEFORE)
    assert not covered(BEFORE | {"description": "Pays!"}, BEFORE)
    assert not covered(changed((*AMOUNT, "enum"), [1, 2]), BEFORE)
