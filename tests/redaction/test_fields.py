"""What keys say of their values, and values that stand in several fields."""

from __future__ import annotations

from typing import cast

import pytest

from redaction import redactor
from redaction.finding import Redacted, Scope, Shape
from redaction.profile import Profile, Rule
from tests.redaction.detectors import PatternDetector

SCOPE = Scope(id="run/r1", key=b"k" * 32)
ALL = Profile(name="all", inspects=True, default=Rule("placeholder", 0.5))
EMBEDDED = Shape(embedded=("arguments",))

#: What is sent, and what must not be left of it.
SPLIT: list[tuple[object, list[str]]] = [
    ({"a": "4111", "b": "1111", "c": "1111", "d": "1111"}, ["4111", "1111"]),
    ({"card": ["3782", "822463", "10005"], "exp": "10/29"}, ["3782", "822463", "10005"]),
    ({"part1": 4111, "part2": 1111, "part3": 1111, "part4": 1111, "n": 7}, ["4111", "1111"]),
    ({"iban": ["GB82", "WEST", "1234", "5698", "7654", "32"]}, ["WEST", "1234", "5698", "7654"]),
    ({"arguments": '{"n1":"4111","n2":"1111","n3":"1111","n4":"1111"}'}, ["4111", "1111"]),
    ({"first": "Ada", "last": "Lovelace"}, ["Ada", "Lovelace"]),
    ({"firstName": "rahul", "family_name": "Sharma"}, ["rahul", "Sharma"]),
]  # fmt: skip

HINTED: list[tuple[str, object, str]] = [
    ("phone", "2125550123", "PHONE"), ("phone_number", 2125550123, "PHONE"), ("ssn", "219099999", "SSN"),
    ("taxId", "12-3456789", "NATIONALID"), ("passport", "C01X00T47", "NATIONALID"), ("dob", "1985-03-02", "DOB"),
    ("date_of_birth", "2 March 1985", "DOB"), ("street", "12 The Mews", "ADDRESS"), ("cvv", "123", "SECRET"),
    ("cvc", 123, "SECRET"), ("card_number", "4111111111111112", "CARD"), ("apiKey", "abcd1234", "SECRET"),
]  # fmt: skip

#: Fields that only look like those.
PLAIN: list[object] = [
    {"a": 2019, "b": 2020, "c": 2021, "d": 2022}, {"first": "page", "last": "page"}, {"phone": "n/a", "dob": None},
    {"street": "", "passport": "none"}, {"values": [1, 2, 3, 4]}, {"a": "4111", "b": "1111", "c": "1111", "d": "1112"},
    [62427299, 62427299], {"phone": True, "pin": "main"}, {"tel": "call me"},
]  # fmt: skip


def redact(tree: object) -> Redacted:
    planned = redactor.plan(tree, EMBEDDED, ALL)
    found = dict(zip(planned.texts, PatternDetector().find(planned.texts), strict=True))
    return redactor.finish(planned, found, SCOPE)


@pytest.mark.requirement("RED-23")
@pytest.mark.parametrize(("tree", "pieces"), SPLIT)
def test_a_value_in_several_fields_is_found_in_all_of_them(tree: object, pieces: list[str]) -> None:
    after = redact(tree)
    assert not [piece for piece in pieces if piece in str(after.tree)]
    numbers = "part1" in str(tree)
    restored, _ = redactor.restore(
        after.tree, {one.token: one for one in after.minted}, entities=frozenset(), pointer=None, shape=EMBEDDED
    )
    assert numbers or restored == tree


@pytest.mark.requirement("RED-23")
@pytest.mark.parametrize(("key", "value", "entity"), HINTED)
def test_a_key_says_what_its_value_is(key: str, value: object, entity: str) -> None:
    after = redact({key: value})
    assert dict(after.counts) == {entity: 1}
    assert str(value) not in str(after.tree)
    (kept,) = cast("dict[str, object]", after.tree).values()
    assert type(kept) is type(value)


@pytest.mark.requirement("RED-23")
@pytest.mark.parametrize("tree", PLAIN)
def test_fields_that_only_look_alike_stay(tree: object) -> None:
    assert redact(tree).tree == tree


@pytest.mark.requirement("RED-07")
def test_a_number_that_stands_for_another_is_put_back_where_it_is_long_enough() -> None:
    tree = {"card": 4111111111111111, "phone": 2125550123, "text": "4111111111111111"}
    after = redact(tree)
    assert "4111111111111111" not in str(after.tree)
    assert "2125550123" not in str(after.tree)
    known = {one.token: one for one in after.minted}
    assert set(redactor.tokens_in(after.tree, EMBEDDED)) == set(known)
    restored, _ = redactor.restore(after.tree, known, entities=frozenset(), pointer=None, shape=EMBEDDED)
    assert restored == tree
    cards, _ = redactor.restore(after.tree, known, entities=frozenset({"PHONE"}), pointer=None, shape=EMBEDDED)
    assert "4111111111111111" not in str(cards)
