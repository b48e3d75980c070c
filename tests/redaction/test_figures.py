"""Values of every kind in every carrier, and strings that name nobody: counted."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from redaction.stream import segments_of
from tests.redaction.detectors import PatternDetector
from tests.redaction.traffic import string_at
from tests.redaction.values import CARRIERS, KINDS, carried

if TYPE_CHECKING:
    from redaction.finding import Detector
    from redaction.presidio import PresidioDetector

#: What a sample of each kind is in `make test`, and what is asked for in full.
SAMPLE = 40
FULL = 5000
THRESHOLD = 0.5
STRINGS = 10_000


def left_of(text: str, detector: Detector) -> tuple[str, set[str]]:
    """Return what is left of a text, and what was found in it."""
    left, entities = "", set[str]()
    segments = segments_of(text)
    for segment, found in zip(segments, detector.find(segments), strict=True):
        at = 0
        for one in found:
            if one.score >= THRESHOLD:
                left += segment[at : one.start] + "\0"
                at = one.end
                entities.add(one.entity)
        left += segment[at:]
    return left, entities


def misses(kind: str, count: int) -> list[str]:
    of, detector, missed = random.Random(f"figures/{kind}"), PatternDetector(), list[str]()
    for place in range(count):
        text, value, entity = carried(kind, place, of)
        left, entities = left_of(text, detector)
        whole = value not in left and quote(value) not in left
        pieces = [piece for piece in value.replace("-", " ").split() if len(piece) > 3 and piece[-1].isdigit()]
        # what stands beside `key:` is a secret first
        if not whole or any(piece in left for piece in pieces) or not {entity, "SECRET"} & entities:
            missed.append(text)
    return missed


@pytest.mark.requirement("RED-22")
@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_of_values_of_every_kind_is_found_in_every_carrier(kind: str) -> None:
    assert len(CARRIERS) == 20
    assert misses(kind, SAMPLE) == []


@pytest.mark.slow
@pytest.mark.requirement("RED-22")
@pytest.mark.parametrize("kind", KINDS)
def test_five_thousand_values_of_every_kind_are_found_without_a_miss(kind: str) -> None:
    assert misses(kind, FULL) == []


def false_finds(count: int, detector: Detector) -> Counter[str]:
    of = random.Random("traffic")
    strings = [string_at(place, of) for place in range(count)]
    found: Counter[str] = Counter()
    for start in range(0, count, 500):
        batch = strings[start : start + 500]
        for (kind, text), finds in zip(batch, detector.find([text for _, text in batch]), strict=True):
            wanted = [one for one in finds if one.score >= THRESHOLD and one.entity not in ("ORGANIZATION", "MAC")]
            if wanted:
                found[f"{kind}: {wanted[0].entity} {wanted[0].recognizer} {text[:90]}"] += 1
    return found


@pytest.mark.requirement("RED-13")
def test_less_than_one_of_two_hundred_strings_of_agent_traffic_holds_a_find_by_form() -> None:
    found = false_finds(STRINGS // 2, PatternDetector())
    assert found.total() < STRINGS // 2 * 0.005, found.most_common(30)


@pytest.mark.slow
@pytest.mark.requirement("RED-13")
def test_less_than_one_of_two_hundred_strings_of_agent_traffic_holds_any_find(detector: PresidioDetector) -> None:
    found = false_finds(STRINGS, detector)
    assert found.total() < STRINGS * 0.005, found.most_common(60)
