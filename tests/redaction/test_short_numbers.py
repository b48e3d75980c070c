"""A number that cannot be put back never takes the place of one that is wanted: the call is blocked."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from redaction import redactor
from redaction.finding import Grant, Redacted, Scope, Shape
from redaction.placeholder import NUMBER_RESTORED_DIGITS_MIN
from redaction.profile import Profile, Rule
from tests.redaction.detectors import PatternDetector
from tests.redaction.test_typed import slots

if TYPE_CHECKING:
    from gateway.definitions.slots import SchemaSlots
    from redaction.finding import Treatment

Tree = dict[str, object]
SCOPE = Scope(id="run/r1", key=b"k" * 32)
NO_SHAPE = Shape()
ANYWHERE = (Grant(frozenset()),)
#: key, value, entity: each with fewer digits than are put back
SHORT = [
    ("cvv", 123, "SECRET"),
    ("otp", 4711, "SECRET"),
    ("phone", 5550123, "PHONE"),
    ("dob", 19850302, "DOB"),
]


def redact(
    tree: object, grants: tuple[Grant, ...] = (), typed: SchemaSlots | None = None,
    treatment: Treatment = "placeholder",
) -> Redacted:  # fmt: skip
    profile = Profile(name="all", inspects=True, default=Rule(treatment, 0.5))
    planned = redactor.plan(tree, NO_SHAPE, profile, typed)
    found = dict(zip(planned.texts, PatternDetector().find(planned.texts), strict=True))
    return redactor.finish(planned, found, SCOPE, grants=grants)


@pytest.mark.requirement("RED-35")
@pytest.mark.parametrize(("key", "value", "entity"), SHORT)
@pytest.mark.parametrize("treatment", ["placeholder", "mask", "drop"])
def test_a_short_number_is_blocked_where_a_grant_wants_it_back(
    key: str, value: int, entity: str, treatment: Treatment
) -> None:
    tree = {"rows": [{key: value}]}
    for grants in (ANYWHERE, (Grant(frozenset({entity}), "/rows"),), (Grant(frozenset({entity}), f"/rows/0/{key}"),)):
        after = redact(tree, grants, treatment=treatment)
        assert after.blocked == ((entity, f"/rows/0/{key}"),)
        assert not after.minted
        assert after.tree == tree


@pytest.mark.requirement("RED-35")
@pytest.mark.parametrize(("key", "value", "entity"), SHORT)
def test_elsewhere_it_becomes_another_number_which_nothing_puts_back(key: str, value: int, entity: str) -> None:
    for grants in ((), (Grant(frozenset({entity}), "/other"),), (Grant(frozenset({"IBAN"})),)):
        after = redact({key: value}, grants)
        made = cast("Tree", after.tree)[key]
        assert not after.blocked
        assert made != value
        assert len(str(made)) == len(str(value)) < NUMBER_RESTORED_DIGITS_MIN
        assert redactor.tokens_in(after.tree, NO_SHAPE, SCOPE.key, every=True) == ()
        # under whatever key it comes again, and as a text, it is known for what it is
        again: list[object] = [{"n": made}, {"n": str(made)}, {"n": -cast("int", made)}, [made], {"a/b": [made]}]
        tokens = {one.token for one in after.minted}
        assert all(set(redactor.numbers_in(tree, [""]).values()) == tokens for tree in again)


@pytest.mark.requirement("RED-35")
@pytest.mark.parametrize(("key", "value", "entity"), SHORT)
def test_where_a_schema_takes_nothing_but_numbers_the_call_is_blocked(key: str, value: int, entity: str) -> None:
    for schema in ({"type": "integer"}, {"anyOf": [{"type": "number"}, {"type": "null"}]}):
        assert redact({key: value}, typed=slots({key: schema})).blocked == ((entity, f"/{key}"),)
    for schema in ({"type": ["integer", "string"]}, {"description": "anything"}):
        assert not redact({key: value}, typed=slots({key: schema})).blocked
    for treatment in ("mask", "drop"):  # the profile wants it gone, and no policy wants it back
        after = redact({key: value}, typed=slots({key: {"type": "integer"}}), treatment=treatment)
        assert not after.blocked
        assert after.changed


@pytest.mark.requirement("RED-35")
def test_a_long_number_is_put_back_and_blocked_only_where_the_profile_forbids_to_keep_it() -> None:
    tree = {"card": 4111111111111111}
    after = redact(tree, ANYWHERE, slots({"card": {"type": "integer"}}))
    assert not after.blocked
    originals = {one.token: one for one in after.minted}
    restored, _ = redactor.restore(after.tree, originals, entities=frozenset(), pointer=None, shape=NO_SHAPE)
    assert restored == tree
    assert redact(tree, ANYWHERE, treatment="mask").blocked == (("CARD", "/card"),)


@pytest.mark.requirement("RED-35")
def test_only_numbers_at_and_below_the_places_named_are_looked_up() -> None:
    tree = {"a": {"n": 12, "t": "12 34", "f": 1.5, "b": True}, "ab": 7, "c": ["0042", None, 3.0]}
    assert redactor.numbers_in(tree, ["/a"]) == {"/a/n": "#12"}
    assert redactor.numbers_in(tree, ["/c/0", "/ab"]) == {"/c/0": "#0042", "/ab": "#7"}
    assert redactor.numbers_in(tree, ["/c"]) == {"/c/0": "#0042", "/c/2": "#3"}
    assert redactor.numbers_in(tree, []) == {}
