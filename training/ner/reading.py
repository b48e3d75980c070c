"""Texts as the network sees them: words, rows of features, vectors, labels; tokenized as in the gateway, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import spacy
from spacy.strings import get_string_id

from redaction.model import default_folder
from redaction.ner.lists import Lists
from redaction.ner.network import ENTITIES, LABELS, heard_of
from redaction.ner.tokens import part_at_signs
from redaction.ner.transitions import Transitions
from redaction.ner.vectors import WordVectors
from redaction.ner.words import rows_of
from training.ner.names import lists

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from spacy.language import Language
    from spacy.tokens import Doc

    from redaction.ner.transitions import Recognizer
    from redaction.ner.vectors import Table
    from training.ner.generate import Sample, Span

_UNUSED = ["tok2vec", "tagger", "parser", "attribute_ruler", "lemmatizer", "senter"]
_AT_ONCE = 256


def tokenizer() -> tuple[Language, WordVectors]:
    """Return the language model's tokenizer and word vectors; it must be installed."""
    language = spacy.load(default_folder(), exclude=_UNUSED)
    part_at_signs(language)
    return language, WordVectors(cast("Table", language.vocab.vectors), get_string_id)


class Listener:
    """What the language model makes of words, for the second reading."""

    def __init__(self, language: Language) -> None:
        self._transitions = Transitions(cast("Recognizer", language.get_pipe("ner")))

    def heard(self, documents: Sequence[Doc]) -> list[NDArray[np.float16]]:
        """Return a row for each word, text by text."""
        lengths = [len(document) for document in documents]
        rows = heard_of(self._transitions.read(documents), lengths)
        return np.split(rows.astype(np.float16), np.cumsum(lengths)[:-1])


class Read:
    """Texts to learn from: of each, where its words stand in the table of different words, and their labels."""

    def __init__(self, language: Language, vectors: WordVectors, texts: Sequence[Sample]) -> None:
        listener = Listener(language)
        self.heard: list[NDArray[np.float16]] = []
        place: dict[str, int] = {}
        self.words: list[NDArray[np.int64]] = []
        self.labels: list[NDArray[np.int64]] = []
        for begin in range(0, len(texts), _AT_ONCE):
            some = [(one, language.make_doc(one.text)) for one in texts[begin : begin + _AT_ONCE]]
            documents = [(one, document) for one, document in some if len(document)]
            for one, document in documents:
                self.words.append(np.array([place.setdefault(token.text, len(place)) for token in document]))
                self.labels.append(labels_of(document, one.spans))
            self.heard += listener.heard([document for _, document in documents])
        self.rows = rows_of(list(place))
        self.vectors = np.concatenate([vectors.of(list(place)), Lists(lists()).of(list(place))], axis=1)

    def batches(self, chance: random.Random, words_max: int) -> Iterator[list[int]]:
        """Yield the texts in a new order, some `words_max` words at a time."""
        order = list(range(len(self.words)))
        chance.shuffle(order)
        taken: list[int] = []
        count = 0
        for at in order:
            taken.append(at)
            count += len(self.words[at])
            if count >= words_max:
                yield taken
                taken, count = [], 0
        if taken:
            yield taken


def labels_of(document: Doc, spans: Sequence[Span]) -> NDArray[np.int64]:
    """Return the label of each word; a word that an entity touches is of it."""
    found = np.zeros(len(document), dtype=np.int64)
    for start, end, entity in spans:
        inside = [
            token.i for token in document if token.idx < end and token.idx + len(token) > start and not token.is_space
        ]
        if not inside or entity not in ENTITIES:
            continue
        begin = LABELS.index(f"B-{entity}")
        found[inside[0] : inside[-1] + 1] = begin + 1
        found[inside[0]], found[inside[-1]] = begin, begin + 2
        if len(inside) == 1:
            found[inside[0]] = begin + 3
    return found


def words_of(document: Doc) -> list[str]:
    """Return the words of `document`."""
    return [cast("str", token.text) for token in document]
