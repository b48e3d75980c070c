"""Requirements of the name finders: id, text, source."""

from __future__ import annotations

from tests.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("NER-01", "The language model's entities are those spaCy finds with it.", "issue 8; facts 1"),
)
