"""What makes detection fast changes no find: patterns that are skipped, numbers read without a parser."""

from __future__ import annotations

import random
import string

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redaction.forms import Forms
from redaction.phones import is_international, is_national
from redaction.stream import Segmenter, segments_of
from redaction.traits import ANYTHING, traits_of
from redaction.view import view_of
from tests.redaction.traffic import string_at
from tests.redaction.values import KINDS, carried

FORMS = Forms()
#: What finds begin with, stand beside or are made of.
PIECES = (
    "born", "D.O.B.", "SSN", "social security", "phone", "bearer", "Basic", "password", "key", "token", "\u017fecret",
    "is", "VIN", "IBAN", "GB82WEST", "St", "Main", "Hauptstraße", "rue de", "Via", "Paris", "http://", "postgres://u:",
    "@", "eyJ", ".ey", "sk-", "xoxb-", "ogr_", "AKIA", "0x", "bc1", ":", "=", "-", "+", ".", ",", "/", "(", ")", " ",
    "\n", "\u0131e29", "é", "\u0664", "²", "1", "12", "123", "4111", "12345", "123456", "1234567890", "AB", "a", "X",
    "deadbeef", "ZZ9", "Q" * 12, "00",
)  # fmt: skip
#: What ends a line or a sentence, what only looks so, and what lies between.
ENDS = (
    ". ", ".\n", "! ", "?\t", "\n", "Mr. ", "Mrs.\n", "Prof. ", "xMr. ", "1. ", "e.g. ", "A. ", "é. ", "_a. ", "-", "a",
    " ", "word ", "x" * 90, "some words of lower case ", "-----BEGIN ", "-----END A-----", ",", "7",
)  # fmt: skip
#: What the tables know besides the four regions numbers are read in without a code; two that they do not know.
CODES = ("1", "7", "20", "31", "34", "39", "44", "49", "55", "61", "65", "81", "86", "91", "212", "290", "354", "599",
         "800", "979", "999", "0")  # fmt: skip


def _same(text: str) -> None:
    assert FORMS.with_traits(text, traits_of(text)) == FORMS.with_traits(text, ANYTHING)


@pytest.mark.requirement("RED-40")
def test_patterns_that_are_skipped_would_have_found_nothing_in_values_and_traffic() -> None:
    of = random.Random("traits")
    for kind in KINDS:
        for place in range(60):
            _same(view_of(carried(kind, place, of)[0]).text)
    for place in range(3000):
        _same(string_at(place, of)[1])


@pytest.mark.requirement("RED-40")
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_patterns_that_are_skipped_would_have_found_nothing_in_awkward_texts(text: str) -> None:
    _same(view_of(text).text)


@pytest.mark.slow
@pytest.mark.requirement("RED-40")
def test_patterns_that_are_skipped_would_have_found_nothing_in_twenty_thousand_texts() -> None:
    of = random.Random("traits at large")
    for place in range(10_000):
        _same(view_of("".join(of.choices(PIECES, k=of.randrange(1, 16)))).text)
        _same(view_of(string_at(place, of)[1][: of.randrange(200)] + of.choice(PIECES)).text)


@pytest.mark.requirement("RED-40")
@given(st.lists(st.sampled_from(ENDS), max_size=40).map("".join))
def test_a_text_that_is_cut_in_one_pass_is_cut_as_a_stream_is(text: str) -> None:
    segmenter = Segmenter()
    assert segments_of(text) == segmenter.feed(text) + segmenter.finish()


def _parsed(written: str, region: str | None) -> bool:
    try:
        number = phonenumbers.parse(written, region)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_valid_number(number) or (region is None and phonenumbers.is_possible_number(number))


def _same_phone(digits: str) -> None:
    assert is_international(f"+{digits}") == _parsed(f"+{digits}", None), digits
    assert is_national(digits) == any(_parsed(digits, region) for region in ("US", "GB", "DE", "FR")), digits


@pytest.mark.requirement("RED-40")
@pytest.mark.parametrize("code", CODES)
def test_phone_numbers_are_what_their_library_says(code: str) -> None:
    of = random.Random(f"phones/{code}")
    for _ in range(40):
        rest = of.choice(["", "", "0", "00", "1", "011", "800"]) + "".join(
            of.choices(string.digits, k=of.randrange(1, 14))
        )
        _same_phone(code + rest)
        _same_phone(rest)


@pytest.mark.requirement("RED-40")
@pytest.mark.parametrize("region", ["US", "CA", "JM", "GB", "JE", "DE", "FR"])
def test_numbers_of_every_kind_are_what_their_library_says(region: str) -> None:
    of = random.Random(f"numbers/{region}")
    for kind in range(11):
        example = phonenumbers.example_number_for_type(region, kind)
        if example is None:
            continue
        own = phonenumbers.national_significant_number(example)
        for _ in range(20):
            digits = own[: of.randrange(3, len(own) + 1)]
            digits += "".join(of.choices(string.digits, k=len(own) - len(digits)))
            for prefix in ("", "0", "1", "44", "49", "33", "001", "01149"):
                _same_phone(prefix + digits)
