"""Masking: what stays readable, and who pays for the operator."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from redaction.masking import masked
from redaction.profile import load_profiles

if TYPE_CHECKING:
    from pathlib import Path

_LOADED = "import sys, {0}; print([name for name in ('spacy', 'presidio_analyzer', 'numpy') if name in sys.modules])"


@pytest.mark.requirement("RED-21")
@pytest.mark.parametrize("module", ["gateway.app", "gateway.cli.commands"])
def test_the_gateway_starts_without_the_language_libraries(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LOADED.format(module)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.requirement("RED-21")
@pytest.mark.parametrize(
    ("content", "masks"),
    [
        ("a: {default: placeholder}\n", False),
        ("a: {default: placeholder, entities: {PERSON: {treatment: mask}}}\n", True),
        ("a: {default: mask}\n", True),
        ("a: {inspect: false}\n", False),
    ],
)
def test_a_profile_says_whether_it_masks(tmp_path: Path, content: str, *, masks: bool) -> None:
    (tmp_path / "redaction.yaml").write_text(content)
    assert load_profiles(tmp_path / "redaction.yaml")["a"].masks is masks


@pytest.mark.requirement("RED-21")
@pytest.mark.parametrize(
    ("value", "expected"), [("4111111111111111", "************1111"), ("Ada", "***"), ("12345678", "********")]
)
def test_only_the_last_characters_of_a_long_value_stay(value: str, expected: str) -> None:
    assert masked(value) == expected
