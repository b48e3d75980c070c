"""Whose record is whose, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway import body
from gateway.config.durability import Verify
from gateway.proof import Sought, Unclear, arguments_of, find, names, records_in, same

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.requirement("IND-06")

KEYED = Verify(tool="list", key="/key")
LIKE = Verify(tool="list", match={"/sum": "/amount", "/who": "/customer"}, id="/id")
BOTH = Verify(tool="list", key="/key", match={"/sum": "/amount"}, id="/id")
SOUGHT = Sought("k1", ({"amount": 5, "customer": "PERSON_A1"}, {"amount": 5, "customer": "Ada"}))


@pytest.mark.parametrize(
    ("how", "records", "found"),
    [
        (KEYED, [], []), (KEYED, [{"key": "k1"}, {"key": "k2"}], ["k1"]), (KEYED, [{"key": "k2"}, {"x": 1}], []),
        (LIKE, [], []), (LIKE, [{"id": "a", "sum": 5, "who": "Ada"}], ["a"]),
        (LIKE, [{"id": "a", "sum": "5.00", "who": "PERSON_A1"}], ["a"]),
        (LIKE, [{"id": "a", "sum": 6, "who": "Ada"}, {"id": "b", "sum": 5, "who": "Bob"}], []),
        (BOTH, [{"id": "a", "sum": 5, "key": "k2"}], []), (BOTH, [{"id": "a", "sum": 5}], ["a"]),
        (BOTH, [{"id": "a", "sum": 5}, {"id": "b", "sum": 9, "key": "k1"}], ["b"]),
    ],
)  # fmt: skip
def test_a_record_is_found_by_key_or_by_all_that_must_match(
    how: Verify, records: list[dict[str, object]], found: list[str]
) -> None:
    kept = find(records, how, SOUGHT).records
    assert [one.get("id", one.get("key")) for one in kept] == found


@pytest.mark.parametrize(
    ("how", "records"),
    [
        (KEYED, [{"key": "k1"}, {"key": "k1"}]), (KEYED, [{"sum": 5}]), (LIKE, [{"id": "a", "total": 5}]),
        (LIKE, [{"sum": 5, "who": "Ada"}]),
        (Verify(tool="list", match={"/sum": "/nowhere"}, id="/id"), [{"id": "a", "sum": 5}]),
    ],
    ids=["the key twice", "no key at all", "no such place", "no id", "no such argument"],
)  # fmt: skip
def test_what_is_not_clear_proves_nothing(how: Verify, records: list[dict[str, object]]) -> None:
    with pytest.raises(Unclear):
        find(records, how, SOUGHT)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("12.50", "12.5", True), ("Ada", "ada", False), (True, 1, False), ("", "", True), ("NaN", "NaN", True),
        ({"a": 1}, {"a": 1}, True), (None, None, True), ("1e2", "100", True),
    ],
)  # fmt: skip
def test_numbers_are_the_same_by_value_and_texts_by_their_characters(
    one: object, other: object, *, equal: bool
) -> None:
    assert same(one, other) is equal
    assert same(body.parse(b"12.50"), 12) is False


def test_an_outcome_names_a_record_wherever_it_stands_and_short_ids_prove_nothing() -> None:
    outcome = {"content": [{"text": "charged as charge-0001, thank you"}], "n": 7}
    assert names(outcome, "charge-0001")
    assert not names(outcome, "charge-000")
    assert not names(outcome, "charge-0002")
    assert not names({"n": 71}, "7")
    with pytest.raises(Unclear):
        names(outcome, "7")


@pytest.mark.parametrize(
    "result",
    [
        {"isError": True, "structuredContent": {"charges": []}}, {"content": []},
        {"content": [{"type": "text", "text": "{"}]}, {"structuredContent": {"charges": [1]}},
        {"content": [{"type": "text", "text": "[]"}, {"type": "text", "text": "[]"}]},
    ],
)  # fmt: skip
def test_an_answer_of_another_form_holds_no_records(result: Mapping[str, object]) -> None:
    with pytest.raises(Unclear):
        records_in(result, "/charges")
    text = {"content": [{"type": "text", "text": '{"charges": [{"id": 1}]}'}]}
    assert records_in(text, "/charges") == [{"id": 1}]


def test_the_tools_arguments_are_taken_from_the_calls() -> None:
    how = Verify(tool="list", key="/key", arguments={"who": "/customer/name", "first": "/lines/0"})
    arguments = {"customer": {"name": "Ada"}, "lines": ["a", "b"]}
    assert arguments_of(how, arguments) == {"who": "Ada", "first": "a"}
    with pytest.raises(Unclear):
        arguments_of(how, {"customer": "Ada", "lines": []})
