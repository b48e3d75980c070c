"""The language model and both finders, loaded once."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, cast

import pytest
import spacy
from spacy.strings import get_string_id

from redaction.model import ModelUnusable, default_folder, network_data, verify
from redaction.ner.network import Network
from redaction.ner.vectors import Table, WordVectors
from redaction.presidio import PresidioDetector

if TYPE_CHECKING:
    from spacy.language import Language


@pytest.fixture(scope="session")
def language() -> Language:
    try:
        verify(default_folder())
    except ModelUnusable:
        subprocess.run([sys.executable, "-m", "gateway.cli", "model", "install"], check=True, timeout=300)
    return spacy.load(
        default_folder(), exclude=["tok2vec", "tagger", "parser", "attribute_ruler", "lemmatizer", "senter"]
    )


@pytest.fixture(scope="session")
def network(language: Language) -> Network:
    table = cast("Table", language.vocab.vectors)  # pyright: ignore[reportUnknownMemberType] - spaCy has no type for it
    return Network(network_data(), WordVectors(table, get_string_id))


@pytest.fixture(scope="session")
def detector(language: Language) -> PresidioDetector:
    del language  # which has brought the model
    return PresidioDetector(default_folder())
