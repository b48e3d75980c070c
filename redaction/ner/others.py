"""Names in texts of further languages, by their own models; each reads only what is written in its language."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Final

import spacy

from redaction.language import language_of
from redaction.ner.engine import tokenizable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from spacy.language import Language

#: What these models call people and places; what is neither is left to nobody.
_LABELS: Final = {"PER": "PERSON", "LOC": "LOCATION", "ORG": "ORGANIZATION"}
_UNUSED: Final = ("tok2vec", "tagger", "morphologizer", "parser", "attribute_ruler", "lemmatizer", "senter")
_BATCH: Final = 64
#: What such a find counts for; they are trained on encyclopedias, as the English one is not.
SCORE: Final = 0.6


class OtherNames:
    """The models of further languages, loaded from `folders` by language (ISO 639-1)."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        with warnings.catch_warnings():
            # one of an older spaCy works as tests/redaction/test_languages.py shows, and spaCy says that it may not
            warnings.filterwarnings("ignore", message=r"\[W095\]", category=UserWarning)
            self._models: dict[str, Language] = {
                name: spacy.load(folder, exclude=list(_UNUSED)) for name, folder in folders.items()
            }

    def find(self, texts: Iterable[str]) -> dict[str, list[tuple[int, int, str]]]:
        """Return the names in those texts that are written in one of the languages: from, to, entity."""
        found: dict[str, list[tuple[int, int, str]]] = {}
        by_language: dict[str, list[str]] = {}
        if not self._models:
            return found
        for text in dict.fromkeys(texts):
            if (language := language_of(text)) in self._models:
                by_language.setdefault(language, []).append(text)
        for language, some in by_language.items():
            found |= self._named(self._models[language], some)
        return found

    @staticmethod
    def _named(model: Language, texts: Sequence[str]) -> dict[str, list[tuple[int, int, str]]]:
        documents = model.pipe([tokenizable(text) for text in texts], batch_size=_BATCH)
        return {
            text: [
                (span.start_char, span.end_char, _LABELS[span.label_])
                for span in document.ents
                # one capitalised word at the beginning is how sentences begin
                if span.label_ in _LABELS and not (span.start == 0 and span.end == 1)
            ]
            for text, document in zip(texts, documents, strict=True)
        }
