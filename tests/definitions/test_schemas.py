"""Schemas: what is wrong is said without content, and nothing reaches out or runs for long."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import body
from gateway.definitions.schema import Checker, SchemaUnusable
from gateway.mcp.turn import Turn

FORK: dict[str, Any] = {
    "$defs": {f"d{at}": {"anyOf": [{"$ref": f"#/$defs/d{at + 1}"}] * 2} for at in range(40)} | {"d40": {}},
    "$ref": "#/$defs/d0",
}
TREE: dict[str, Any] = {
    "$defs": {
        "node": {
            "anyOf": [
                {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}, "value": {"type": "integer"}}},
                {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}},
            ]
        }
    },
    "type": "object",
    "properties": {"root": {"$ref": "#/$defs/node"}},
}


@pytest.mark.requirement("DEF-05")
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"amount": 1}, None),
        ({}, "`amount` is required in `the whole`"),
        ({"amount": "secret"}, "`amount` does not fit its `type`"),
        ({"amount": 1, "secret": 1}, "`the whole` has a member its schema does not know"),
        ({"amount": 1, "items": [{"id": "secret"}]}, "`items.*.id` does not fit its `enum`"),
        ("secret", "`the whole` does not fit its `type`"),
    ],
)
def test_what_is_wrong_is_said_in_the_schemas_own_words(value: object, said: str | None) -> None:
    checker = Checker({
        "type": "object", "required": ["amount"], "additionalProperties": False,
        "properties": {"amount": {"type": "number"}, "items": {"items": {"properties": {"id": {"enum": ["a"]}}}}},
    })  # fmt: skip
    assert checker.violation(value) == said
    assert checker.violation(body.parse(body.encode(value))) == said


@pytest.mark.requirement("DEF-14")
@pytest.mark.parametrize(
    "schema",
    [
        "text",
        {"type": "nothing"},
        {"$ref": "http://127.0.0.1:9/schema"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "other.json#/x"},
        {"$ref": "#/nowhere"},
        {"$schema": "http://127.0.0.1:9/draft"},
        {"properties": {"a": {"$id": "http://127.0.0.1:9/"}}},
        {"$defs": {"a": {"$anchor": "x"}, "b": {"$anchor": "x"}}},
        {"pattern": "(?=a)b"},
        {"pattern": "("},
        {"pattern": "(a{1000}){1000}"},
        FORK,
    ],
)
def test_a_schema_that_reaches_out_or_could_run_for_long_is_unusable(schema: object) -> None:
    with pytest.raises(SchemaUnusable):
        Checker(schema)


@pytest.mark.requirement("DEF-14")
def test_levels_and_parts_are_bounded() -> None:
    deep: dict[str, Any] = {}
    for _ in range(40):
        deep = {"not": deep}
    with pytest.raises(SchemaUnusable, match="levels"):
        Checker(deep)
    with pytest.raises(SchemaUnusable, match="parts"):
        Checker({"enum": list(range(6000))})


@pytest.mark.requirement("DEF-14")
def test_a_pattern_made_to_be_slow_and_a_value_made_to_be_deep_are_checked_at_once() -> None:
    # exponential time would end in the test's own time limit
    assert Checker({"pattern": "^(a+)+$"}).violation("a" * 50_000 + "b") is not None
    value: dict[str, Any] = {"value": "no number"}
    for _ in range(60):
        value = {"next": value}
    assert Checker(TREE).violation({"root": value}) is None, "a recursive schema is checked for one turn"
    assert Checker(TREE).violation({"root": "no object"}) is not None


@pytest.mark.requirement("DEF-14")
def test_parts_are_found_by_pointer_and_by_anchor() -> None:
    schema = {
        "properties": {"a": {"$ref": "#one"}, "b": {"$ref": "#/$defs/t~1wo"}},
        "$defs": {"x": {"$anchor": "one", "type": "string"}, "t/wo": {"type": "integer"}},
    }
    assert Checker(schema).violation({"a": "x", "b": 1}) is None
    assert Checker(schema).violation({"a": 1}) is not None
    assert Checker(schema).violation({"b": "x"}) is not None


@pytest.mark.requirement("DEF-05")
def test_a_veiled_text_stands_for_anything() -> None:
    checker = Checker({"properties": {"card": {"pattern": "^[0-9]+$"}, "amount": {"type": "integer"}}})
    assert checker.violation({"card": "veil"}) is not None
    assert checker.violation({"card": "veil"}, veiled=lambda text: text == "veil") is None
    assert checker.violation({"card": "veil", "amount": "x"}, veiled=lambda text: text == "veil") is not None


@pytest.mark.requirement("DEF-06")
def test_a_second_try_is_held_to_what_the_server_promised_as_well() -> None:
    promised = Checker({"type": "object"})
    turn = Turn(message=None, method="tools/call", promised=promised, may_list=lambda _, __: True, seal_session=str)
    again = turn.afresh()
    assert again is not None
    assert again.promised is promised


@pytest.mark.requirement("DEF-05")
def test_a_null_stands_for_an_argument_that_was_left_out_where_that_is_asked_for() -> None:
    checker = Checker({"properties": {"note": {"type": "string"}, "amount": {"type": "integer"}}})
    assert checker.violation({"note": None, "amount": 1}) is not None
    assert checker.violation({"note": None, "amount": 1}, nulls=True) is None
    assert checker.violation({"note": None, "amount": "x"}, nulls=True) is not None
