"""Texts as the network sees them: words, rows of features, vectors, labels; tokenized as in the gateway, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import spacy
from spacy.strings import get_string_id

from redaction.model import default_folder
from redaction.ner.network import ENTITIES, LABELS
from redaction.ner.tokens import part_at_signs
from redaction.ner.vectors import WordVectors
from redaction.ner.words import rows_of

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from spacy.language import Language
    from spacy.tokens import Doc

    from redaction.ner.vectors import Table
    from training.ner.generate import Sample, Span

_UNUSED = ["tok2vec", "tagger", "parser", "attribute_ruler", "lemmatizer", "senter", "ner"]


def tokenizer() -> tuple[Language, WordVectors]:
    """Return the language model's tokenizer and word vectors; it must be installed."""
    language = spacy.load(default_folder(), exclude=_UNUSED)
    part_at_signs(language)
    return language, WordVectors(cast("Table", language.vocab.vectors), get_string_id)


class Read:
    """Texts to learn from: of each, where its words stand in the table of different words, and their labels."""

    def __init__(self, language: Language, vectors: WordVectors, texts: Sequence[Sample]) -> None:
        place: dict[str, int] = {}
        self.words: list[NDArray[np.int64]] = []
        self.labels: list[NDArray[np.int64]] = []
        for one in texts:
            document = language.make_doc(one.text)
            if len(document):
                self.words.append(np.array([place.setdefault(token.text, len(place)) for token in document]))
                self.labels.append(labels_of(document, one.spans))
        self.rows = rows_of(list(place))
        self.vectors = vectors.of(list(place))

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
