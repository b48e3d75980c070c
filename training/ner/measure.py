"""Recall and precision: an entity counts as found when half its characters are covered by one of its kind."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from redaction.ner.network import ENTITIES
from redaction.ner.vectors import WordVectors

HALF = 0.5


@dataclass(slots=True)
class Counts:
    """How many of what should be found was found, of what was found should have been."""

    gold: int = 0
    found: int = 0
    covered: int = 0
    guessed: int = 0
    right: int = 0

    @property
    def recall(self) -> float:
        return self.found / max(1, self.gold)

    @property
    def cover(self) -> float:
        return self.covered / max(1, self.gold)

    @property
    def precision(self) -> float:
        return self.right / max(1, self.guessed)


def count(into: Counts, entity: str, gold: list, guessed: list) -> None:
    """Add one text's entities of a kind; `gold` and `guessed` hold those of all kinds."""
    wanted = characters(one for one in gold if one[2] == entity)
    given = characters(one for one in guessed if one[2] == entity)
    everything = characters(guessed)
    for start, end, label in gold:
        if label == entity:
            into.gold += 1
            half = HALF * (end - start)
            into.found += sum(at in given for at in range(start, end)) >= half
            into.covered += sum(at in everything for at in range(start, end)) >= half
    for start, end, label in guessed:
        if label == entity:
            into.guessed += 1
            into.right += sum(at in wanted for at in range(start, end)) >= HALF * (end - start)


def characters(spans) -> set[int]:
    return {at for start, end, _ in spans for at in range(start, end)}


class Measure:
    """Development texts, tokenized once, to see how far training is."""

    def __init__(self, language, texts) -> None:
        self._vectors = WordVectors(language.vocab.vectors.data, language.vocab.vectors.find, language.vocab.strings.add)
        self._texts = {}
        for name, listed in texts.items():
            documents = [language.make_doc(one.text) for one in listed]
            words = [[t.text for t in document] for document in documents]
            self._texts[name] = (listed, documents, words, [self._vectors.of(one) for one in words])

    def of(self, network, lenience: float = 0.0):
        """Return the mean of F2 over texts and kinds, persons doubled, and what to print."""
        said, total, parts = [], 0.0, 0.0
        for name, (listed, documents, words, vectors) in self._texts.items():
            counts = defaultdict(Counts)
            scores = network.scores(words, vectors)
            for one, document, row in zip(listed, documents, scores, strict=True):
                guessed = [
                    (document[t.start].idx, document[t.end - 1].idx + len(document[t.end - 1]), t.entity)
                    for t in network.spans(row, lenience)
                ]
                for entity in ENTITIES:
                    count(counts[entity], entity, list(one.spans), guessed)
            for entity, weight in (("PERSON", 2.0), ("LOCATION", 1.0), ("ORGANIZATION", 0.5)):
                c = counts[entity]
                p, r = c.precision, c.recall
                total += weight * (5 * p * r / (4 * p + r) if p + r else 0)
                parts += weight
                said.append(f"{name} {entity[:3]} R {r:.3f} P {p:.3f}")
        return total / parts, f"{total / parts:.4f} " + " | ".join(said)
