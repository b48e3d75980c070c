"""The engine's laws: cutting, placeholders, restoration, types, profiles."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redaction import redactor
from redaction.finding import Minted, Redacted, Scope, Shape
from redaction.placeholder import CANDIDATE, canonical_token, luhn, placeholder, surrogate_digits
from redaction.profile import Profile, ProfilesInvalid, Rule, combine, load_profiles
from redaction.stream import RestoreHold, Segmenter, segments_of
from tests.redaction.detectors import PatternDetector

if TYPE_CHECKING:
    from redaction.finding import Treatment

KEY = b"k" * 32
SCOPE = Scope(id="run/r1", key=KEY)
STANDARD = Profile(name="standard", inspects=True, default=Rule("placeholder", 0.5))
NO_SHAPE = Shape()
PLANTED = ["ada@example.com", "4111 1111 1111 1111", "GB82 WEST 1234 5698 7654 32", "219-09-9999", "password=hunter22"]
TEXTS = st.text(max_size=60) | st.sampled_from(PLANTED) | st.builds("mail {} now".format, st.sampled_from(PLANTED))
GLUED = st.builds(
    "{}{}{}{}".format,
    st.text("aZ9_.- é\n", max_size=4),
    st.sampled_from(PLANTED),
    st.text("aZ9_- ", max_size=3),
    st.sampled_from(PLANTED),
)
#: Longer ones may be card numbers, and a number that stands for one is not put back.
SHORT = st.integers(-(10**11) + 1, 10**11 - 1)
TREES = st.recursive(
    st.none() | st.booleans() | SHORT | TEXTS | GLUED,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.sampled_from(PLANTED), inner, max_size=4)
    ),
    max_leaves=25,
)
PEM = "before\n-----BEGIN PRIVATE KEY-----\nMIIE\nabc\n-----END PRIVATE KEY-----\nafter"
LONG = st.text(alphabet="ab. A1!?\n:=-", max_size=900) | st.just(PEM) | st.text(max_size=200)


def redact(tree: object, *, profile: Profile = STANDARD, shape: Shape = NO_SHAPE, scope: Scope = SCOPE) -> Redacted:
    planned = redactor.plan(tree, shape, profile)
    found = PatternDetector().find(planned.texts)
    return redactor.finish(planned, dict(zip(planned.texts, found, strict=True)), scope)


def originals(redacted: Redacted) -> dict[str, Minted]:
    return {one.token: one for one in redacted.minted}


def fields(tree: object) -> dict[str, object]:
    assert isinstance(tree, dict)
    return cast("dict[str, object]", tree)


def treating(treatment: Treatment) -> Profile:
    return Profile(name="x", inspects=True, default=Rule(treatment, 0.5))


PIECES = st.sampled_from([
    "a", "b ", ". ", "A", " 1", "\n", "-----BEGIN ", "-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----",
    '","', "},{", "; ", "&", "x" * 90, "A" * 40, "word and ", "Mr. Smith ", "4111 1111 ", "-----BEG", "A B C D ",
    "1 2 3 4 ",
])  # fmt: skip
EDGES = st.sampled_from([0, 0, 0, *range(286, 304), *range(1986, 2004)])


@pytest.mark.requirement("RED-02", "RED-20")
@given(EDGES, st.lists(PIECES, max_size=90), st.lists(st.integers(min_value=1, max_value=400), min_size=1, max_size=8))
def test_texts_of_awkward_pieces_are_cut_alike_and_segments_not_again(
    edge: int, pieces: list[str], sizes: list[int]
) -> None:
    text = "x" * edge + "".join(pieces)
    whole = segments_of(text)
    segmenter = Segmenter()
    fed: list[str] = []
    at = place = 0
    while at < len(text):
        size = sizes[place % len(sizes)]
        fed += segmenter.feed(text[at : at + size])
        at, place = at + size, place + 1
    assert fed + segmenter.finish() == whole
    assert [again for segment in whole for again in segments_of(segment)] == whole
    assert all(len(segment) < 20_000 for segment in whole)


@pytest.mark.requirement("RED-12")
@pytest.mark.parametrize(
    "unit", ["the cat sat on a mat. ", "x", "A B ", "12,34,", "abc\n", "-----BEGIN ", "word ", "A. "]
)
def test_cutting_takes_time_in_proportion_to_the_text(unit: str) -> None:
    def seconds(characters: int) -> float:
        text = (unit * characters)[:characters]
        begun = time.process_time()
        segments_of(text)
        return time.process_time() - begun

    small = max(seconds(20_000), 0.002)
    # sixteen times the text: linear is 16, quadratic 256; the bound leaves room for a busy machine
    assert seconds(320_000) < small * 100


@pytest.mark.requirement("RED-20")
def test_a_text_without_any_end_is_cut_before_a_detector_would_refuse_it() -> None:
    for text in ("x" * 50_000, "-----BEGIN PRIVATE KEY-----" + "y" * 50_000, "1 " * 30_000, "A,B" * 20_000):
        assert all(len(segment) < 20_000 for segment in segments_of(text))


@pytest.mark.requirement("RED-02")
@given(LONG, st.lists(st.integers(min_value=0, max_value=900), max_size=12))
def test_a_text_cut_anywhere_gives_the_segments_of_the_whole(text: str, places: list[int]) -> None:
    edges = sorted({min(place, len(text)) for place in places} | {0, len(text)})
    segmenter = Segmenter()
    pieces = [segment for start, end in pairwise(edges) for segment in segmenter.feed(text[start:end])]
    pieces += segmenter.finish()
    assert pieces == segments_of(text)
    assert "".join(pieces) == text


@pytest.mark.requirement("RED-02")
def test_a_text_fed_character_by_character_gives_the_same_segments() -> None:
    text = "Dear Mr. Smith, pay 4111 1111 1111 1111. Then call! " * 30 + PEM + "x " * 2000
    segmenter = Segmenter()
    pieces = [segment for character in text for segment in segmenter.feed(character)] + segmenter.finish()
    assert pieces == segments_of(text)
    assert next(piece for piece in pieces if "BEGIN" in piece).endswith("-----END PRIVATE KEY-----")


@pytest.mark.requirement("RED-03")
@given(TREES)
def test_restoring_what_was_redacted_gives_the_tree_back(tree: object) -> None:
    redacted = redact(tree)
    restored, changed = redactor.restore(
        redacted.tree, originals(redacted), entities=frozenset(), pointer=None, shape=NO_SHAPE
    )
    assert restored == tree
    assert changed == bool(redacted.minted)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.requirement("RED-03")
@settings(max_examples=10_000, deadline=None)
@given(TREES)
def test_restoring_what_was_redacted_gives_ten_thousand_trees_back(tree: object) -> None:
    redacted = redact(tree)
    known = originals(redacted)
    restored, _ = redactor.restore(redacted.tree, known, entities=frozenset(), pointer=None, shape=NO_SHAPE)
    assert restored == tree


@pytest.mark.requirement("RED-03")
def test_originals_go_back_only_where_the_grant_points_and_only_what_it_names() -> None:
    redacted = redact({"to": "ada@example.com", "note": "card 4111 1111 1111 1111 of ada@example.com"})

    def restored(entities: frozenset[str], pointer: str | None) -> object:
        return redactor.restore(redacted.tree, originals(redacted), entities=entities, pointer=pointer, shape=NO_SHAPE)[
            0
        ]

    at_to = fields(restored(frozenset(), "/to"))
    assert at_to["to"] == "ada@example.com"
    assert "ada@" not in str(at_to["note"])
    cards = restored(frozenset({"CARD"}), None)
    assert "4111 1111 1111 1111" in str(cards)
    assert "ada@" not in str(cards)


@pytest.mark.requirement("RED-03")
def test_json_inside_a_string_is_opened_and_written_again() -> None:
    shape = Shape(embedded=("arguments",))
    tree = {"arguments": '{"password": "correct horse", "to": "ada@example.com", "n": 1}'}
    redacted = redact(tree, shape=shape)
    assert "horse" not in str(redacted.tree)
    assert "ada@" not in str(redacted.tree)
    quoted = {one.token: Minted(one.token, one.entity, 'say "hi"\n') for one in redacted.minted}
    restored, _ = redactor.restore(redacted.tree, quoted, entities=frozenset(), pointer=None, shape=shape)
    assert redactor.tokens_in(restored, shape) == ()
    assert 'say \\"hi\\"\\n' in str(restored) or 'say \\\\"hi' in str(restored)


@pytest.mark.requirement("RED-04")
def test_a_value_has_one_placeholder_in_its_scope_and_another_elsewhere() -> None:
    first = placeholder(KEY, "PERSON", "Ada Lovelace")
    assert first == placeholder(KEY, "PERSON", "Ada Lovelace")
    assert first != placeholder(b"x" * 32, "PERSON", "Ada Lovelace")
    assert first != placeholder(KEY, "PERSON", "Ada King")
    shouted = placeholder(KEY, "PERSON", "ADA  LOVELACE")
    assert shouted != first  # restored byte for byte
    assert shouted[: len("PERSON_") + 6] == first[: len("PERSON_") + 6]  # the same person to the model


@pytest.mark.requirement("RED-05")
@pytest.mark.parametrize(
    "written",
    ["{}", "{}'s", "**{}**", "`{}`", '"{}"', "<b>{}</b>", "x?to={}&y", "({}).", "{}\n"],
)
@pytest.mark.parametrize("how", ["same", "lower", "upper", "title", "space", "dash", "escaped", "percent", "double"])
def test_what_models_do_to_a_placeholder_does_not_hide_it(written: str, how: str) -> None:
    token = placeholder(KEY, "PERSON", "Ada Lovelace")
    mangled = {
        "same": token, "lower": token.lower(), "upper": token.upper(), "title": token.title(),
        "space": token.replace("_", " "), "dash": token.replace("_", "-"), "escaped": token.replace("_", "\\_"),
        "percent": token.replace("_", "%5F"), "double": token.replace("_", "__"),
    }[how]  # fmt: skip
    assert redactor.tokens_in([written.format(mangled)], NO_SHAPE) == (token,)


@pytest.mark.requirement("RED-05")
def test_a_placeholder_that_was_cut_glued_or_invented_is_inert() -> None:
    token = placeholder(KEY, "PERSON", "Ada Lovelace")
    other = "a" if token[-1] != "a" else "b"
    for near in (token[:-1], token[:-1] + other, token + "s", "x" + token, "PERSON_aaaaaaaaaa"):
        found = [canonical_token(match) for match in CANDIDATE.finditer(near)]
        assert token not in found
    foreign = placeholder(b"x" * 32, "PERSON", "Ada Lovelace")
    tree, changed = redactor.restore(
        [foreign], {token: Minted(token, "PERSON", "Ada")}, entities=frozenset(), pointer=None, shape=NO_SHAPE
    )
    assert (tree, changed) == ([foreign], False)


@pytest.mark.requirement("RED-05")
@given(
    st.lists(st.integers(min_value=1, max_value=9), max_size=60),
    st.text(max_size=30) | st.sampled_from(["PERSON", "person ", "SECRET_", "IP%5", "Address-"]),
    st.sampled_from(["{}", "{}'s", "**{}**", "<b>{}</b>"]),
    st.sampled_from(["_", " ", "-", "\\_", "%5F", "__", "\u00a0"]),
)
def test_a_stream_never_cuts_a_placeholder_and_loses_nothing(
    sizes: list[int], around: str, written: str, how: str
) -> None:
    token = placeholder(KEY, "PERSON", "Ada Lovelace")
    other = written.format(token)
    text = f"{around} {token}, {other} and person {around} {other.replace('_', how)}"
    hold = RestoreHold()
    pieces: list[str] = []
    at = 0
    for size in [*sizes, len(text)]:
        pieces.append(hold.feed(text[at : at + size]))
        at += size
    pieces.append(hold.finish())
    assert "".join(pieces) == text
    whole = [canonical_token(match) for match in CANDIDATE.finditer(text)]
    assert [canonical_token(match) for piece in pieces for match in CANDIDATE.finditer(piece)] == whole


@pytest.mark.requirement("RED-06")
def test_structure_keys_and_short_numbers_stay() -> None:
    tree = {"id": "ada@example.com", "count": 12345, "price": 99.5, "first_name": "Ada", "ok": True}
    after = fields(redact(tree, shape=Shape(keep=("id",))).tree)
    assert {name: after[name] for name in ("id", "count", "price", "ok")} == {
        "id": "ada@example.com", "count": 12345, "price": 99.5, "ok": True,
    }  # fmt: skip
    assert str(after["first_name"]).startswith("PERSON_")
    untouched = {"a": [1, "plain"]}
    assert redact(untouched).tree is untouched


@pytest.mark.requirement("RED-06")
def test_a_key_that_is_itself_personal_data_is_replaced() -> None:
    redacted = redact({"ada@example.com": {"balance": 5}})
    assert "ada@" not in str(redacted.tree)
    assert "balance" in str(redacted.tree)


@pytest.mark.requirement("RED-07")
def test_a_card_in_a_numbers_place_stays_a_number_and_is_no_card() -> None:
    after = fields(redact({"card": 4111111111111111, "id": 1723456789012}).tree)
    number = after["card"]
    assert isinstance(number, int)
    assert number != 4111111111111111
    assert len(str(number)) == 16
    assert not luhn(str(number))
    assert after["id"] == 1723456789012
    assert redact({"card": 4111111111111111}, profile=treating("block")).blocked == (("CARD", "/card"),)


@pytest.mark.requirement("RED-07")
@given(st.integers(min_value=12, max_value=19), st.text(max_size=20))
def test_surrogate_digits_keep_their_length_and_never_pass_luhn(digits: int, value: str) -> None:
    text = surrogate_digits(KEY, digits, value)
    assert len(text) == digits
    assert text[0] != "0"
    assert not luhn(text)


@pytest.mark.requirement("RED-11")
def test_a_block_names_entity_and_place_and_never_the_value() -> None:
    redacted = redact({"to": ["x", "mail ada@example.com"]}, profile=treating("block"))
    assert redacted.blocked == (("EMAIL", "/to/1"),)
    assert "ada" not in str(redacted.blocked)


@pytest.mark.requirement("RED-08")
def test_treatments_do_what_they_say() -> None:
    text = "mail ada@example.com"
    assert redact(text, profile=treating("keep")).tree == text
    assert redact(text, profile=treating("drop")).tree == "mail "
    assert redact(text, profile=treating("mask")).tree == "mail ***********.com"
    assert redact(text, profile=Profile(name="off", inspects=False, default=Rule("placeholder", 0.5))).tree != text


@pytest.mark.requirement("RED-08")
def test_profiles_add_up_to_the_strictest() -> None:
    one = Profile(name="a", inspects=True, default=Rule("placeholder", 0.5), entities={"IP": Rule("keep", 0.5)})
    two = Profile(name="b", inspects=True, default=Rule("placeholder", 0.3), entities={"CARD": Rule("block", 0.9)})
    both = combine([one, two])
    assert both.rule("IP") == Rule("placeholder", 0.3)
    assert both.rule("CARD") == Rule("block", 0.5)  # what the other one treats from 0.5 on is blocked from there
    assert both.rule("EMAIL") == Rule("placeholder", 0.3)
    off = Profile(name="off", inspects=False, default=Rule("placeholder", 0.5))
    assert combine([off, one]).rule("IP") == Rule("keep", 0.5)
    assert combine([off, one]).inspects


@pytest.mark.requirement("RED-08")
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a: {default: erase}", "unknown treatment `erase`"),
        ("a: {entities: {EMIAL: drop}}", "unknown entity `EMIAL`"),
        ("a: {treshold: 1}", "unknown key `treshold`"),
        ("a: {threshold: 2}", "`threshold` must be"), ("[]", "expected a map"),
        ("a: 1", "expected a map"), ("a: {inspect: 3}", "`inspect` must be"), ("x: [", "not usable YAML"),
    ],
)  # fmt: skip
def test_a_wrong_profiles_file_is_refused_by_line(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "redaction.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ProfilesInvalid) as caught:
        load_profiles(path)
    assert said in str(caught.value)
    assert "redaction.yaml:1" in str(caught.value)


@pytest.mark.requirement("RED-08")
def test_the_shipped_profiles_load() -> None:
    profiles = load_profiles(Path(__file__).parents[2] / "policies" / "redaction.yaml")
    assert set(profiles) == {"standard", "strict", "off"}
    assert not profiles["off"].inspects
    assert profiles["strict"].default.threshold < profiles["standard"].default.threshold
