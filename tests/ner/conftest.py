"""The language model, loaded once."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import spacy

from redaction.model import ModelUnusable, default_folder, verify

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
