"""Stand-ins where a schema asks for a form: they fit it, come back through their scope, and are inert elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.definitions.slots import SchemaSlots
from redaction import redactor
from redaction.finding import Minted, Redacted, Scope, Shape
from redaction.placeholder import luhn
from redaction.profile import Profile, Rule
from redaction.stream import RestoreHold
from tests.redaction.detectors import PatternDetector

if TYPE_CHECKING:
    from redaction.finding import Treatment

Tree = dict[str, object]
SCOPE = Scope(id="run/r1", key=b"k" * 32)
OTHER = Scope(id="run/r2", key=b"x" * 32)
NO_SHAPE = Shape()
NUMBER: Tree = {"type": "integer", "minimum": 0}
#: key, schema of its value, value
TYPED: list[tuple[str, Tree, object]] = [
    ("to", {"type": "string", "format": "email"}, "ada@example.com"),
    ("to", {"anyOf": [{"type": "string", "format": "email"}, {"type": "null"}]}, "ada@example.com"),
    ("to", {"$ref": "#/$defs/mail"}, "ada@example.com"),
    ("api_key", {"type": "string", "format": "uuid"}, "123e4567-e89b-42d3-a456-426614174000"),
    ("password", {"type": "string", "format": "uri"}, "https://files.example/s/Zx81kd02Lq"),
    ("dob", {"type": "string", "format": "date"}, "1985-03-02"),
    ("dob", {"type": "string", "format": "date"}, "0585-03-02"),
    ("birth_date", {"type": "string", "format": "date-time"}, "1985-03-02T00:00:00Z"),
    ("ssn", {"type": "string", "pattern": r"^\d{3}-\d{2}-\d{4}$"}, "219-09-9999"),
    ("dni", {"type": "string", "pattern": r"^\d{8}[A-Z]$", "maxLength": 9}, "12345678Z"),
    ("last_name", {"type": "string", "maxLength": 12}, "Lovelace"),
    ("card", {"type": "integer", "minimum": 4 * 10**15, "maximum": 5 * 10**15}, 4111111111111111),
    ("phone", {"type": "integer", "exclusiveMaximum": 3 * 10**9}, 2125550123),
]  # fmt: skip
#: What has no stand-in: the call is blocked.
CLOSED: list[tuple[str, Tree, object, str]] = [
    ("last_name", {"enum": ["Lovelace", "Hopper"]}, "Lovelace", "PERSON"),
    ("last_name", {"const": "Lovelace"}, "Lovelace", "PERSON"),
    ("to", {"type": "string", "pattern": r"@example\.com$"}, "ada@example.com", "EMAIL"),
    ("first_name", {"type": "string", "maxLength": 4}, "Ada", "PERSON"),
    ("to", {"type": "string", "format": "ipv4"}, "10.11.12.13", "IP"),
    ("dob", {"type": "string", "format": "date", "pattern": "^19"}, "1985-03-02", "DOB"),
    ("card", {"type": "integer", "multipleOf": 4111111111111111}, 4111111111111111, "CARD"),
]  # fmt: skip


def profile(treatment: Treatment = "placeholder") -> Profile:
    return Profile(name="all", inspects=True, default=Rule(treatment, 0.5))


def slots(properties: Tree) -> SchemaSlots:
    mail = {"mail": {"type": "string", "format": "email"}}
    return SchemaSlots({"type": "object", "properties": properties, "$defs": mail})


def redact(
    tree: object, typed: SchemaSlots, *, ours: frozenset[str] = frozenset(), scope: Scope = SCOPE,
    treatment: Treatment = "placeholder",
) -> Redacted:  # fmt: skip
    planned = redactor.plan(tree, NO_SHAPE, profile(treatment), typed)
    found = dict(zip(planned.texts, PatternDetector().find(planned.texts), strict=True))
    return redactor.finish(planned, found, scope, ours)


def known(redacted: Redacted) -> dict[str, Minted]:
    return {one.token: one for one in redacted.minted}


def restored(tree: object, originals: dict[str, Minted]) -> object:
    return redactor.restore(tree, originals, entities=frozenset(), pointer=None, shape=NO_SHAPE)[0]


@pytest.mark.requirement("RED-31")
@pytest.mark.parametrize(("key", "schema", "value"), TYPED)
def test_a_value_in_a_typed_place_gets_a_stand_in_that_fits_and_comes_back(
    key: str, schema: Tree, value: object
) -> None:
    typed, tree = slots({key: schema}), {key: value}
    after = redact(tree, typed)
    made = cast("Tree", after.tree)[key]
    slot = typed.at(f"/{key}")
    assert slot is not None
    assert made != value
    assert type(made) is type(value)
    assert slot.fits(made)
    assert not after.blocked
    assert made == cast("Tree", redact(tree, typed).tree)[key]
    assert made != cast("Tree", redact(tree, typed, scope=OTHER).tree)[key]
    assert set(known(after)) <= set(redactor.tokens_in(after.tree, NO_SHAPE, SCOPE.key))
    assert set(known(after)) <= set(redactor.tokens_in(after.tree, NO_SHAPE, every=True))
    assert restored(after.tree, known(after)) == tree
    assert restored(after.tree, {}) == after.tree


@pytest.mark.requirement("RED-31")
@pytest.mark.parametrize(("key", "schema", "value"), TYPED)
def test_a_stand_in_that_comes_back_is_known_by_the_vault_and_stays_and_is_inert_elsewhere(
    key: str, schema: Tree, value: object
) -> None:
    typed = slots({key: schema})
    first = redact({key: value}, typed)
    again = redact(first.tree, typed)
    ours = frozenset(again.suspects) & set(known(first))
    assert not again.changed or ours
    assert redact(first.tree, typed, ours=ours).tree == first.tree
    elsewhere = redact(first.tree, typed, scope=OTHER)
    assert not {"=" + str(value), "#" + str(value)} & set(known(elsewhere))
    assert restored(first.tree, known(elsewhere)) == first.tree


@pytest.mark.requirement("RED-31")
@pytest.mark.parametrize(("key", "schema", "value", "entity"), CLOSED)
def test_where_nothing_fits_the_call_is_blocked_by_entity_and_place(
    key: str, schema: Tree, value: object, entity: str
) -> None:
    after = redact({key: value}, slots({key: schema}))
    assert after.blocked == ((entity, f"/{key}"),)
    assert not after.minted


@pytest.mark.requirement("RED-31")
def test_a_place_that_takes_a_placeholder_or_of_which_nothing_is_said_gets_one() -> None:
    typed = slots({"note": {"type": "string", "maxLength": 200}})
    after = cast("Tree", redact({"note": "mail ada@example.com", "more": "mail ada@example.com"}, typed).tree)
    assert after["note"] == after["more"]
    assert str(after["note"]).startswith("mail EMAIL_")


@pytest.mark.requirement("RED-31")
def test_a_part_of_a_link_becomes_a_placeholder_as_long_as_the_link_is_one() -> None:
    typed = slots({"link": {"type": "string", "format": "uri"}})
    after = cast("Tree", redact({"link": "https://h.example/?e=ada@example.com"}, typed).tree)
    assert str(after["link"]).startswith("https://h.example/?e=EMAIL_")


@pytest.mark.requirement("RED-31")
@pytest.mark.parametrize("treatment", ["mask", "drop"])
def test_what_is_masked_or_dropped_in_a_typed_place_gets_a_stand_in_nobody_can_restore(treatment: Treatment) -> None:
    typed = slots({"to": {"type": "string", "format": "email"}})
    after = redact({"to": "ada@example.com"}, typed, treatment=treatment)
    assert str(cast("Tree", after.tree)["to"]).endswith("@oncegate.invalid")
    assert not after.minted


@pytest.mark.requirement("RED-31")
def test_stand_ins_are_put_back_inside_of_texts() -> None:
    typed = slots({"to": TYPED[0][1], **{key: schema for key, schema, _ in TYPED[3:10]}})
    tree = {key: value for key, _, value in TYPED[3:10]} | {"to": "ada@example.com"}
    after = redact(tree, typed)
    said = [f"I wrote to {made}, as asked; see ({made})." for made in cast("Tree", after.tree).values()]
    assert restored(said, known(after)) == [f"I wrote to {one}, as asked; see ({one})." for one in tree.values()]


@pytest.mark.requirement("RED-31")
def test_two_days_never_become_one() -> None:
    typed = slots({"dob": {"type": "string", "format": "date"}})
    days = [
        f"19{year:02d}-{month:02d}-{day:02d}" for year in range(40, 80, 4) for month in (1, 6) for day in range(1, 29)
    ]
    made = {cast("Tree", redact({"dob": day}, typed).tree)["dob"] for day in days}
    assert len(made) == len(days)


@pytest.mark.requirement("RED-31")
@given(st.integers(min_value=10**9, max_value=10**10 - 1))
def test_a_number_within_bounds_gets_another_within_them(number: int) -> None:
    typed = slots({"phone": {**NUMBER, "minimum": 10**9, "maximum": 10**10 - 1}})
    made = cast("int", cast("Tree", redact({"phone": number}, typed).tree)["phone"])
    assert 10**9 <= made < 10**10
    assert made != number
    assert not luhn(str(made))


@pytest.mark.requirement("RED-31")
@given(
    st.permutations(["to", "file", "key", "dob", "at", "ssn"]),
    st.lists(st.integers(1, 30), min_size=1, max_size=8),
    st.sampled_from([" ", ", ", ".\n", " and then, as he said, ", "; "]),
)
def test_a_stream_cut_anywhere_restores_stand_ins_as_the_whole_text_does(
    names: list[str], sizes: list[int], between: str
) -> None:
    rows = {"to": TYPED[0], "file": TYPED[4], "key": TYPED[3], "dob": TYPED[5], "at": TYPED[7], "ssn": TYPED[8]}
    originals: dict[str, Minted] = {}
    made: list[str] = []
    for name in names:
        key, schema, value = rows[name]
        after = redact({key: value}, slots({key: schema}))
        originals |= known(after)
        made.append(str(cast("Tree", after.tree)[key]))
    text = f"Said: {between.join(made)}{between}the end"
    hold, at, turn, said = RestoreHold(), 0, 0, ""
    while at < len(text):
        size = sizes[turn % len(sizes)]
        piece = hold.feed(text[at : at + size])
        said += cast("list[str]", restored([piece], originals))[0] if piece else ""
        at, turn = at + size, turn + 1
    rest = hold.finish()
    said += cast("list[str]", restored([rest], originals))[0] if rest else ""
    assert said == f"Said: {between.join(str(rows[name][2]) for name in names)}{between}the end"


@pytest.mark.requirement("RED-31")
def test_stand_ins_of_a_large_tree_take_bounded_time_and_what_is_over_it_is_blocked() -> None:
    # a form so narrow that one permutation in thousands fits it
    narrow: Tree = {"type": "string", "pattern": r"^21\d-\d9-99\d9$"}
    typed = slots({"rows": {"type": "array", "items": narrow}})
    begun = time.process_time()
    after = redact({"rows": [f"21{n % 10}-{n // 10 % 10}9-99{n // 100 % 10}9" for n in range(1000)]}, typed)
    assert time.process_time() - begun < 10
    assert {entity for entity, _ in after.blocked} == {"SSN"}
