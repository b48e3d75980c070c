"""Recognizers of users: what they find, and files that are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from redaction.forms import Forms
from redaction.national import COUNTRIES, NationalIds
from redaction.recognizers import Recognizers, RecognizersInvalid, load_recognizers
from redaction.slowness import slow_patterns
from redaction.traits import ANYTHING

if TYPE_CHECKING:
    from pathlib import Path

FILE = r"""
countries: [DE, US]
recognizers:
  - name: badge
    patterns: ['\bB-\d{6}\b']
    context: [badge, employee]
    context_required: true
    allow: [B-000000]
  - name: member
    entity: NATIONALID
    score: 0.5
    patterns: ['\bM(\d{8})\b']
    checksum: luhn
  - name: project
    deny: [Nightfall, Red Harbour]
"""


def found(wanted: Recognizers, text: str) -> list[tuple[str, str, float, str]]:
    return [(one.entity, text[one.start : one.end], one.score, one.recognizer) for one in Forms(wanted).find(text)]


@pytest.mark.requirement("RED-24")
def test_users_recognizers_find_by_pattern_context_checksum_and_lists(tmp_path: Path) -> None:
    path = tmp_path / "recognizers.yaml"
    path.write_text(FILE, encoding="utf-8")
    wanted = load_recognizers(path)
    assert wanted.countries == ("DE", "US")
    assert found(wanted, "badge B-123456 of employee") == [("CUSTOM", "B-123456", pytest.approx(0.95), "badge")]
    assert found(wanted, "part B-123456") == []
    assert found(wanted, "badge B-000000") == []
    assert found(wanted, "M18181818 x") == [("NATIONALID", "18181818", 0.5, "member")]
    assert found(wanted, "M18181819 x") == []
    assert found(wanted, "about NIGHTFALL and red harbour") == [
        ("CUSTOM", "NIGHTFALL", 1.0, "project"), ("CUSTOM", "red harbour", 1.0, "project"),
    ]  # fmt: skip
    assert found(wanted, "nightfalls") == []
    assert wanted.digest != Recognizers().digest


@pytest.mark.requirement("RED-24")
def test_an_empty_file_changes_nothing_and_countries_choose_national_numbers(tmp_path: Path) -> None:
    path = tmp_path / "recognizers.yaml"
    path.write_text("# nothing yet\n", encoding="utf-8")
    assert load_recognizers(path) == Recognizers()
    assert Recognizers().countries == COUNTRIES
    assert list(NationalIds(["DE"]).find("DNI 12345678Z", ANYTHING)) == []
    assert [one.recognizer for one in NationalIds(["ES"]).find("DNI 12345678Z", ANYTHING)] == ["dni"]
    with pytest.raises(ValueError, match="unknown country `XY`"):
        NationalIds(["XY"])


@pytest.mark.requirement("RED-24")
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("countries: [XX]", "1: unknown country `XX`"), ("[]", "1: the file: expected a map"),
        ("recognizer: []", "1: the file: unknown key `recognizer`"),
        ("recognizers: 7", "1: `recognizers` must be a list"),
        ("recognizers:\n  - {name: a}", "2: recognizer `a`: expected `patterns` or `deny`"),
        ("recognizers:\n  - {patterns: [a1]}", "2: a recognizer without `name`"),
        ("recognizers:\n  - name: a\n    patterns: ['(']", "3: recognizer `a`: `(` is not a regular expression"),
        ("recognizers:\n  - name: a\n    patterns: ['x*']", "3: recognizer `a`: `x*` matches nothing at all"),
        ("recognizers:\n  - name: a\n    patterns: ['(a+)+$']", "3: recognizer `a`: `(a+)+$` can be made slow"),
        ("recognizers:\n  - {name: a, deny: [x], entity: NAME}", "unknown entity `NAME`"),
        ("recognizers:\n  - {name: a, deny: [x], checksum: mod3}", "unknown checksum `mod3`"),
        ("recognizers:\n  - {name: a, deny: [x], score: 2}", "`score` must be"),
        ("recognizers:\n  - {name: a, deny: [x], context_required: true}", "`context_required` must be"),
        ("recognizers:\n  - {name: a, deny: [x], allow: x}", "`allow` must be a list"),
        ("recognizers:\n  - {name: a, deny: [x]}\n  - {name: a, deny: [y]}", "3: recognizer `a` stands here twice"),
        ("x: [", "not usable YAML"),
    ],
)  # fmt: skip
def test_a_wrong_file_of_recognizers_is_refused_by_line(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "recognizers.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(RecognizersInvalid) as caught:
        load_recognizers(path)
    assert said in str(caught.value)
    assert "recognizers.yaml:" in str(caught.value)
    with pytest.raises(RecognizersInvalid, match="expected a readable file"):
        load_recognizers(tmp_path / "nowhere.yaml")


@pytest.mark.requirement("RED-12", "RED-24")
def test_patterns_that_a_text_can_make_slow_are_told_from_those_it_cannot() -> None:
    slow = [r"(\w+\s?)*$", r"(?:x|xx)+y", r"\d+-\d+-\d+-\d+-\d+!"]
    quick = [r"\bEMP-\d{6}\b", r"(?i)\bcase[ #]\d{1,10}\b", r"[A-Z]{2}\d{2,8}(?:-[A-Z])?"]
    assert slow_patterns([*quick, *slow[:2]]) == slow[:2]
