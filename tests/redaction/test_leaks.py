"""Ways values slipped through once: each goes through the whole engine, and nothing of the value is left."""

from __future__ import annotations

import base64
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import jiter
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redaction import redactor
from redaction.encoded import find_encoded
from redaction.finding import Finding, Redacted, Scope, Shape
from redaction.overlap import resolved
from redaction.patterns import find_forms
from redaction.placeholder import placeholder
from redaction.profile import Profile, Rule
from redaction.traits import ANYTHING
from redaction.view import view_of
from tests.redaction.detectors import PatternDetector

if TYPE_CHECKING:
    from redaction.finding import Treatment
    from redaction.presidio import PresidioDetector

KEY = b"k" * 32
SCOPE = Scope(id="run/r1", key=KEY)
ARGUMENTS = Shape(embedded=("arguments",))
NO_SHAPE = Shape()
TOKEN = placeholder(KEY, "PERSON", "Ada Lovelace")
LONG_JWT = "eyJhbGciOiJIUzI1NiJ9.eyJ" + "c3ViIjoiMTIz" * 300 + "." + "dozjgNryP4J3jVmN" * 3
ROWS = ", ".join(f'"k{n}":"user{n}@example.com"' for n in range(300)).replace(", ", ",")

#: What is sent, and what must not be left of it anywhere.
LEAKS: list[tuple[str, object, str]] = [
    ("card before a date", "card 4111 1111 1111 1111 12/27 cvv 123", "1111"),
    ("card after a number", "order 5 4111 1111 1111 1111", "1111"),
    ("card before its code", "4111111111111111 123", "41111111"),
    ("card with long dashes", "4111–1111–1111–1111", "1111"),
    ("card with points", "4111.1111.1111.1111", "1111"),
    ("card of the other grouping", "Amex 3782 822463 10005 exp 10/29", "822463"),
    ("card with unseen joiners", "4111\u034f1111\u034f1111\u034f1111", "1111"),
    ("card glued to letters", "x4111111111111111y", "1111"),
    ("card as a float", {"card": jiter.from_json(b"4111111111111111.0", float_mode="lossless-float")}, "4111"),
    ("card in an exponent", {"card": jiter.from_json(b"4.111111111111111e15", float_mode="lossless-float")}, "4.111"),
    ("e-mail before a dash", "bob@example.com-please", "bob"),
    ("e-mail before digits", "bob@example.com2024", "bob"),
    ("e-mail in punycode", "bob@example.xn--p1ai", "bob"),
    ("e-mail of O'Connor", "o'connor@example.com", "connor"),
    ("e-mail with a long local part", "b" * 100 + "@example.com", "bbbb"),
    ("e-mail escaped in JSON", r'{"a":"bob\u0040example.com"}', "bob"),
    ("e-mail escaped in HTML", "bob&#64;example.com", "bob"),
    ("e-mail escaped twice over", "bob%2540example.com", "bob"),
    ("secret as a key", {"sk-proj-abcdefghijklmnopqrstuvwx1234": 1}, "sk-proj"),
    ("e-mail as a key", {"ada@example.com": 1}, "ada"),
    ("secret in quotes with signs in it", 'password="ab,cd;efgh ij"', "efgh"),
    ("secret in escaped JSON", '{\\"api_key\\":\\"9f8e7d6c5b4a\\"}', "9f8e"),
    ("secret that begins like a variable", "password=$ecret123!", "ecret123"),
    ("secret as a number", {"password": 12345678}, "12345678"),
    ("token longer than a segment", f'{{"jwt":"{LONG_JWT}"}}', "c3ViIjoi"),
    ("key block without an end", "-----BEGIN PRIVATE KEY-----\n" + "MIIE" * 4000, "MIIE"),
    ("JSON on one long line", "{" + ROWS + "}", "@example"),
    ("base64", "eyJlbWFpbCI6ImJvYkBleGFtcGxlLmNvbSJ9", "ImJvYk"),
    ("bitcoin", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "1A1z"),
    ("web hook", "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXX", "T0000"),
    ("run token in a path", "http://h/r/ogr_WyJydW5fMSIsMSwxNzAwXQ.abcdefghijklmnopqrstuvwx/v1", "ogr_"),
]  # fmt: skip

#: What looks like one of those and is none.
HARMLESS = [
    "2026-11-21 12:30:45", "0.4111111111111111", "4111111111111111.55", "self.limit.build(field)",
    "token = get_token()", "password: ${PASSWORD}", "api_key: <your key>", "sk-fading-circle-wrapper",
    "max_tokens: 4096", "pk_user_identifier",
    "aGVsbG8gd29ybGQgYWxsIGlzIHdlbGw=", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",
]  # fmt: skip


def everything(treatment: Treatment = "placeholder") -> Profile:
    return Profile(name="all", inspects=True, default=Rule(treatment, 0.5))


def redact(
    tree: object, detector: PresidioDetector, *, shape: Shape = NO_SHAPE, profile: Profile | None = None
) -> Redacted:
    planned = redactor.plan(tree, shape, profile or everything())
    found = detector.find(planned.texts)
    return redactor.finish(planned, dict(zip(planned.texts, found, strict=True)), SCOPE)


def restored(redacted: Redacted, shape: Shape = NO_SHAPE) -> object:
    originals = {one.token: one for one in redacted.minted}
    return redactor.restore(redacted.tree, originals, entities=frozenset(), pointer=None, shape=shape)[0]


@pytest.mark.requirement("RED-16")
@pytest.mark.parametrize(("tree", "left"), [row[1:] for row in LEAKS], ids=[row[0] for row in LEAKS])
def test_nothing_of_the_value_is_left_and_texts_come_back_whole(
    detector: PresidioDetector, tree: object, left: str
) -> None:
    redacted = redact(tree, detector)
    assert redacted.changed
    assert left not in str(redacted.tree)
    if isinstance(tree, str):
        assert restored(redacted) == tree


@pytest.mark.requirement("RED-13")
@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_a_value_is_left_alone(detector: PresidioDetector, text: str) -> None:
    assert detector.find([text]) == [()]


@pytest.mark.requirement("RED-16")
def test_a_key_given_twice_in_embedded_json_hides_nothing(detector: PresidioDetector) -> None:
    twice = {"arguments": '{"to":"bob@example.com","to":"x"}'}
    redacted = redact(twice, detector, shape=ARGUMENTS)
    assert "bob" not in str(redacted.tree)
    assert restored(redacted, ARGUMENTS) == twice


@pytest.mark.requirement("RED-06")
def test_embedded_json_keeps_its_numbers_by_their_text(detector: PresidioDetector) -> None:
    tree = {"arguments": '{"to":"bob@example.com","a":1.0,"b":1e400,"c":123456789012345678901234567890}'}
    redacted = redact(tree, detector, shape=ARGUMENTS)
    assert str(redacted.tree).endswith(',"a":1.0,"b":1e400,"c":123456789012345678901234567890}\'}')


@pytest.mark.requirement("RED-16")
def test_what_stands_beside_a_placeholder_is_found_and_the_placeholder_stays(detector: PresidioDetector) -> None:
    text = f"{TOKEN} and John Smith met at {TOKEN} bob@example.com, password={TOKEN}"
    redacted = redact(text, detector)
    after = cast("str", redacted.tree)
    assert after.count(TOKEN) == 3
    assert "Smith" not in after
    assert "bob" not in after
    assert {one.entity for one in redacted.minted} == {"PERSON", "EMAIL"}


@pytest.mark.requirement("RED-16")
def test_names_come_out_of_the_signs_around_them(detector: PresidioDetector) -> None:
    for text in ("approver John Smith/Mary Jones agreed", "Customer: John Smith | VIP"):
        assert not {"Smith", "Mary", "Jones"} & set(cast("str", redact(text, detector).tree).replace("/", " ").split())


@pytest.mark.requirement("RED-16")
@pytest.mark.parametrize("treatment", ["mask", "drop"])
def test_a_key_is_never_left_because_it_cannot_be_masked_or_dropped(treatment: Treatment) -> None:
    planned = redactor.plan({"ada@example.com": 1, "bob@example.com": 2}, NO_SHAPE, everything(treatment))
    found = dict(zip(planned.texts, PatternDetector().find(planned.texts), strict=True))
    redacted = redactor.finish(planned, found, SCOPE)
    assert "@" not in str(redacted.tree)
    assert sorted(cast("dict[str, int]", redacted.tree).values()) == [1, 2]
    assert redacted.minted == ()


@pytest.mark.requirement("RED-16")
def test_an_entry_is_not_lost_to_another_of_the_same_new_name() -> None:
    token = placeholder(KEY, "EMAIL", "ada@example.com")
    tree = {token: 1, "ada@example.com": 2}
    planned = redactor.plan(tree, NO_SHAPE, everything())
    found = dict(zip(planned.texts, PatternDetector().find(planned.texts), strict=True))
    redacted = redactor.finish(planned, found, SCOPE)
    assert sorted(cast("dict[str, int]", redacted.tree).values()) == [1, 2]
    assert "@" not in str(redacted.tree)


@pytest.mark.requirement("RED-03")
def test_keys_come_back_with_the_rest() -> None:
    tree = {"ada@example.com": {"card": "4111 1111 1111 1111"}, "GB82WEST12345698765432": [1]}
    planned = redactor.plan(tree, NO_SHAPE, everything())
    found = dict(zip(planned.texts, PatternDetector().find(planned.texts), strict=True))
    redacted = redactor.finish(planned, found, SCOPE)
    assert "ada" not in str(redacted.tree)
    assert restored(redacted) == tree


@pytest.mark.requirement("RED-08")
def test_a_kept_kind_of_secret_is_still_looked_into() -> None:
    profile = Profile(name="x", inspects=True, default=Rule("placeholder", 0.5), entities={"SECRET": Rule("keep", 0.5)})
    planned = redactor.plan({"password": "ada@example.com"}, NO_SHAPE, profile)
    found = dict(zip(planned.texts, PatternDetector().find(planned.texts), strict=True))
    assert "ada" not in str(redactor.finish(planned, found, SCOPE).tree)


def _finding(start: int, length: int, entity: str) -> Finding:
    return Finding(start, start + length, entity, 0.9, "x")


KINDS = st.sampled_from(["SECRET", "CARD", "EMAIL", "PERSON", "ADDRESS"])
SPANS = st.builds(_finding, st.integers(0, 30), st.integers(1, 12), KINDS)


@pytest.mark.requirement("RED-17")
@given(st.lists(SPANS, max_size=8))
def test_overlaps_are_resolved_and_nothing_found_is_uncovered(found: list[Finding]) -> None:
    after = resolved(found)
    assert all(one.end <= other.start for one, other in pairwise(after))
    covered = {place for one in after for place in range(one.start, one.end)}
    assert covered == {place for one in found for place in range(one.start, one.end)}


@pytest.mark.requirement("RED-17")
@given(st.text(alphabet="a4@. \u200b\u034f４%0\\u&#6;1é–ﬁ", max_size=40), st.data())
def test_a_view_leads_back_into_its_text(text: str, data: st.DataObject) -> None:
    view = view_of(text)
    if not view.text:
        return
    start = data.draw(st.integers(0, len(view.text) - 1))
    end = data.draw(st.integers(start + 1, len(view.text)))
    begin, stop = view.span(start, end)
    assert 0 <= begin < stop <= len(text)
    assert view.text[start:end] in view_of(text[begin:stop]).text


@pytest.mark.requirement("RED-16")
@given(st.text(max_size=60))
def test_base64_is_a_find_only_with_a_value_in_it(content: str) -> None:
    def mail_only(text: str) -> list[Finding]:
        return [one for one in find_forms(text, ANYTHING) if one.entity == "EMAIL"]

    def encoded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    if not mail_only(content):
        assert list(find_encoded(encoded(content), mail_only)) == []
    (found,) = find_encoded(f"see {encoded('mail ada@example.com now')} here", mail_only)
    assert (found.entity, found.start, found.end) == ("SECRET", 4, 4 + 32)


@pytest.mark.requirement("RED-16")
@pytest.mark.parametrize("words", range(40))
def test_a_long_text_is_not_cut_between_a_value_and_the_words_that_say_what_it_is(words: int) -> None:
    text = "and so " * words + "his date of birth 14 March 1955 is noted, " + "and so " * 40
    planned = redactor.plan([text], NO_SHAPE, everything())
    found = dict(zip(planned.texts, PatternDetector().find(planned.texts), strict=True))
    assert "March 1955" not in str(redactor.finish(planned, found, SCOPE).tree)
