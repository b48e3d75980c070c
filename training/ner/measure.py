"""Recall and precision: an entity counts as found when half its characters are covered by one of its kind."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from redaction.ner.agreement import LENIENCE
from redaction.ner.network import ENTITIES
from training.ner.reading import Listener, words_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from spacy.language import Language

    from redaction.ner.network import Network
    from training.ner.generate import Sample, Span

_HALF = 0.5
#: What the profile `standard` counts.
SCORE_MIN = 0.5
#: What a kind counts for when one training is compared with another.
_WEIGHTS = {"PERSON": 2.0, "LOCATION": 1.0, "ORGANIZATION": 0.5}


@dataclass(slots=True)
class Counts:
    """Should be found: `gold`, of it `found`, `covered` by a find of any kind; was found: `guessed`, of it `right`."""

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

    @property
    def f2(self) -> float:
        weighed = 4 * self.precision + self.recall
        return 5 * self.precision * self.recall / weighed if weighed else 0.0


def count(into: Counts, entity: str, gold: Sequence[Span], guessed: Sequence[Span]) -> None:
    """Add one text's entities of a kind; `gold` and `guessed` hold those of all kinds."""
    wanted = _characters(one for one in gold if one[2] == entity)
    given = _characters(one for one in guessed if one[2] == entity)
    everything = _characters(guessed)
    for start, end, label in gold:
        if label == entity:
            into.gold += 1
            into.found += _share(start, end, given) >= _HALF
            into.covered += _share(start, end, everything) >= _HALF
    for start, end, label in guessed:
        if label == entity:
            into.guessed += 1
            into.right += _share(start, end, wanted) >= _HALF


def _share(start: int, end: int, characters: set[int]) -> float:
    return sum(at in characters for at in range(start, end)) / max(1, end - start)


def _characters(spans: Iterable[Span]) -> set[int]:
    return {at for start, end, _ in spans for at in range(start, end)}


class Measure:
    """Texts, tokenized once, on which networks are compared while they are trained."""

    def __init__(self, language: Language, texts: Mapping[str, Sequence[Sample]]) -> None:
        listener = Listener(language)
        self._texts = {name: [(one, language.make_doc(one.text)) for one in listed] for name, listed in texts.items()}
        self._heard = {
            name: np.concatenate(listener.heard([document for _, document in listed])).astype(np.float32)
            for name, listed in self._texts.items()
        }

    def of(self, network: Network) -> tuple[float, str]:
        """Return the weighed mean of F2 over texts and kinds, and the figures to print."""
        said: list[str] = []
        total = weights = 0.0
        for name, listed in self._texts.items():
            counts: defaultdict[str, Counts] = defaultdict(Counts)
            words = [words_of(document) for _, document in listed]
            for (one, document), scores in zip(listed, network.scores_with(words, self._heard[name]), strict=True):
                guessed = [
                    (
                        document[found.start].idx,
                        document[found.end - 1].idx + len(document[found.end - 1]),
                        found.entity,
                    )
                    for found in network.spans(scores, LENIENCE)
                    if found.score >= SCORE_MIN
                ]
                for entity in ENTITIES:
                    count(counts[entity], entity, one.spans, guessed)
            for entity, weight in _WEIGHTS.items():
                total += weight * counts[entity].f2
                weights += weight
                said.append(f"{name} {entity} {counts[entity].recall:.3f}/{counts[entity].precision:.3f}")
        return total / weights, ", ".join(said)
