"""Both name finders as Presidio's NLP engine: the language model's recognizer and our own network, on one tokenization.

The network reads everything, the language model what the network is in doubt of, and that the network reads again,
knowing what the language model made of it. No taggers, parsers or pipeline of spaCy's.
"""

from __future__ import annotations

import re
from itertools import compress
from typing import TYPE_CHECKING, Final, cast

import numpy as np
import spacy
from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine
from spacy.strings import get_string_id
from spacy.tokens import Span
from thinc.api import use_ops  # pyright: ignore[reportUnknownVariableType] - its options have no types

from redaction.model import ModelUnusable, network_data
from redaction.ner.agreement import LENIENCE, agreed, in_doubt, may_hold
from redaction.ner.network import Network, Tagged, heard_of, kinds
from redaction.ner.tokens import part_at_signs, read_less
from redaction.ner.transitions import Transitions
from redaction.ner.vectors import WordVectors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from spacy.language import Language
    from spacy.tokens import Doc

    from redaction.ner.transitions import Recognizer
    from redaction.ner.vectors import Table

LANGUAGE: Final = "en"
#: The language model's labels that name somebody or some place.
_LABELS: Final = {"PERSON": "PERSON", "GPE": "LOCATION", "LOC": "LOCATION", "FAC": "LOCATION", "ORG": "ORGANIZATION"}
ENTITIES_NAMED: Final = tuple(sorted(set(_LABELS.values())))
_UNUSED: Final = ["tok2vec", "tagger", "parser", "attribute_ruler", "lemmatizer", "senter"]
_BATCH: Final = 64
#: Different words a tokenizer may have seen; it keeps each, so it is loaded anew then (a second, some 100 MiB less).
WORDS_MAX: Final = 300_000
#: spaCy's tokenizer is quadratic in runs of symbols; they name nobody.
_SYMBOL_RUN: Final = re.compile(r"[^\w\s]{8,}")
_LONG_WORD: Final = re.compile(r"\S{200,}")


class Names(NlpEngine):
    """Finds names for Presidio. Raises `ModelUnusable` for a model it cannot work with."""

    def __init__(self, folder: Path, *, words_max: int = WORDS_MAX) -> None:
        self._folder = folder
        self._words_max = words_max
        self._language: Language | None = None
        self._transitions: Transitions | None = None
        self._network: Network | None = None
        self._nothing: NlpArtifacts | None = None

    def load(self) -> None:
        """Load tokenizer, recognizer and network."""
        # BLAS as NumPy brings it: four times as fast here as the one thinc brings
        with use_ops("numpy", use_blis=False):
            language = spacy.load(self._folder, exclude=_UNUSED)
        part_at_signs(language)
        read_less(language)
        recognizer = cast("Recognizer", language.get_pipe("ner"))
        try:
            self._transitions = Transitions(recognizer)
        except (ValueError, KeyError) as error:
            raise ModelUnusable(f"the recognizer in `{self._folder}` is of another kind: {error}") from None
        table = cast("Table", language.vocab.vectors)  # pyright: ignore[reportUnknownMemberType] - spaCy has no type for it
        self._network = Network(network_data(), WordVectors(table, get_string_id))
        self._language = language
        self._nothing = None

    def is_loaded(self) -> bool:
        """Return whether `load` was called."""
        return self._language is not None

    def process_text(self, text: str, language: str) -> NlpArtifacts:
        """Return the artifacts of one text."""
        return next(iter(self.process_batch([text], language)))[1]

    def process_batch(
        self, texts: Iterable[str], language: str, batch_size: int = _BATCH, n_process: int = 1, **kwargs: object
    ) -> Iterator[tuple[str, NlpArtifacts]]:
        """Yield the artifacts of each text."""
        del n_process, kwargs
        if len(cast("Language", self._language).vocab) > self._words_max:
            self.load()
        loaded = cast("Language", self._language)
        wanted = list(texts)
        for begin in range(0, len(wanted), batch_size):
            some = wanted[begin : begin + batch_size]
            documents = [loaded.make_doc(tokenizable(text)) for text in some]
            for text, document, found in zip(some, documents, self._entities(documents), strict=True):
                yield text, self._artifacts(document, found, language)

    def nothing(self) -> NlpArtifacts:
        """Return the artifacts of a text that cannot hold a name."""
        if self._nothing is None:
            self._nothing = self._artifacts(cast("Language", self._language).make_doc(""), [], LANGUAGE)
        return self._nothing

    def is_stopword(self, word: str, language: str) -> bool:
        """Return whether `word` is a stop word."""
        del language
        return cast("Language", self._language).vocab[word].is_stop

    def is_punct(self, word: str, language: str) -> bool:
        """Return whether `word` is punctuation."""
        del language
        return cast("Language", self._language).vocab[word].is_punct

    def get_supported_entities(self) -> list[str]:
        """Return what the name finders name."""
        return list(ENTITIES_NAMED)

    def get_supported_languages(self) -> list[str]:
        """Return the one language."""
        return [LANGUAGE]

    def _entities(self, documents: Sequence[Doc]) -> Iterator[list[Tagged]]:
        network = cast("Network", self._network)
        texts = [[token.text for token in document] for document in documents]
        scores = network.scores(texts)
        chances = np.split(kinds(np.concatenate(scores)), np.cumsum([len(words) for words in texts])[:-1])
        held = [may_hold(kind, words) for kind, words in zip(chances, texts, strict=True)]
        asked = [one and in_doubt(kind, words) for one, kind, words in zip(held, chances, texts, strict=True)]
        sure = [one and not ask for one, ask in zip(held, asked, strict=True)]
        ours = iter(network.spans_of(list(compress(scores, sure)), LENIENCE))
        answers = iter(self._heard(list(compress(documents, asked)), list(compress(texts, asked))))
        for one, ask in zip(sure, asked, strict=True):
            yield next(answers) if ask else next(ours) if one else []

    def _heard(self, documents: Sequence[Doc], texts: Sequence[Sequence[str]]) -> Iterator[list[Tagged]]:
        """Yield what is found in texts that the language model was asked of: by the second reading, and by it."""
        network = cast("Network", self._network)
        heard = cast("Transitions", self._transitions).read(documents)
        scores = network.scores_with(texts, heard_of(heard, [len(words) for words in texts]))
        ours = network.spans_of(scores, LENIENCE)
        for row, words, found, listed in zip(scores, texts, ours, heard[0], strict=True):
            theirs = [Tagged(start, end, _LABELS[label], 1.0) for start, end, label in listed if label in _LABELS]
            yield agreed(kinds(row), words, found, theirs)

    def _artifacts(self, document: Doc, found: list[Tagged], language: str) -> NlpArtifacts:
        spans = [Span(document, one.start, one.end, label=one.entity) for one in found]
        return NlpArtifacts(
            entities=spans,
            scores=[one.score for one in found],
            tokens=document,
            tokens_indices=[],
            lemmas=[],
            nlp_engine=self,
            language=language,
        )


def tokenizable(text: str) -> str:
    """Return a text that no tokenizer is slow with, of the same length, so that spans stay where they are."""
    text = _SYMBOL_RUN.sub(lambda run: " " * len(run.group()), text)
    return _LONG_WORD.sub(lambda word: " " * len(word.group()), text)
