"""The language model's own greedy search for names, over whole batches: same entities, a third of the time.

spaCy's transition-based recognizer (Lample et al. 2016, "Neural Architectures for Named Entity Recognition") takes
one action a word: begin, inside, last, unit or out. Outside an entity the scores depend on the word alone, inside one
on its first word, the word before and the word. So all actions outside are one matrix product, and all entities that
could begin are followed at once, word by word. spaCy's loop asks the interpreter's lock several times a word instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from spacy.tokens import Doc
    from thinc.api import Model

    Floats = NDArray[np.float32]
    Integers = NDArray[np.int64]

#: What spaCy has besides the moves it names: a word that was blocked before, which none here is.
_BLOCKED: Final = "U-"
_NEVER: Final = np.float32(-1e30)


class Layered(Protocol):
    """What is read of a network of spaCy's."""

    @property
    def layers(self) -> Sequence[Model[Any, Any]]:
        """Its parts in order."""
        ...


class Recognizer(Protocol):
    """What is read of spaCy's recognizer."""

    @property
    def model(self) -> Layered:
        """Its layers: words to vectors, vectors to features by place, features to scores."""
        ...

    @property
    def move_names(self) -> Sequence[str]:
        """Its actions, `B-PERSON` and so on, the last one `O`."""
        ...


class Transitions:
    """Finds the entities of documents with a trained recognizer's weights. Raises `ValueError` for other models."""

    def __init__(self, recognizer: Recognizer) -> None:
        moves = recognizer.move_names
        names = [*moves[:-1], _BLOCKED, moves[-1]]
        words, features, scores = recognizer.model.layers
        self._words: Model[list[Doc], Floats] = words
        self._features: Model[Floats, Floats] = features
        self._weights = cast("Floats", scores.get_param("W"))
        self._bias = cast("Floats", scores.get_param("b"))
        self._feature_bias = cast("Floats", features.get_param("b"))
        if names[-1] != "O" or len(names) != len(self._bias) or features.get_dim("nF") != 3:  # noqa: PLR2004 - three words
            raise ValueError("not a recognizer whose search is known here")
        padding = np.squeeze(cast("Floats", features.get_param("pad")), 0)
        self._outside = padding[1] + padding[2] + self._feature_bias
        self.labels = sorted({name[2:] for name in names if len(name) > len(_BLOCKED)})
        begins = [names.index(f"B-{label}") for label in self.labels]
        units = [names.index(f"U-{label}") for label in self.labels]
        #: The moves outside an entity in the model's order, which decides between equals.
        moves_outside = sorted([*begins, *units, len(names) - 1])
        self._moves = np.array(moves_outside)
        self._begins = np.isin(self._moves, begins)
        self._outs = self._moves == len(names) - 1
        places = {label: place for place, label in enumerate(self.labels)}
        self._label = np.array([places.get(name[2:], -1) for move, name in enumerate(names) if move in moves_outside])
        self._inside = np.array([names.index(f"I-{label}") for label in self.labels])
        self._last = np.array([names.index(f"L-{label}") for label in self.labels])

    def entities(self, documents: Sequence[Doc]) -> list[list[tuple[int, int, str]]]:
        """Return, for each document, its entities as first word, word after the last, and the model's label."""
        lengths = np.array([len(document) for document in documents])
        if not lengths.sum():
            return [[] for _ in documents]
        features = self._features.predict(self._words.predict(list(documents)))[1:]
        ends = np.cumsum(lengths)
        final = np.zeros(len(features), dtype=bool)
        final[ends[lengths > 0] - 1] = True
        spaces = np.concatenate([document.to_array(["IS_SPACE"]).ravel() for document in documents]).astype(bool)
        chosen = self._outside_moves(features, final, spaces)
        after = self._ends_of(features, final, chosen)
        found: list[list[tuple[int, int, str]]] = []
        for begin, end in zip(ends - lengths, ends, strict=True):
            listed: list[tuple[int, int, str]] = []
            at = begin
            for word in np.flatnonzero(~self._outs[chosen[begin:end]]) + begin:
                if word >= at:
                    at = after[word]
                    listed.append((int(word - begin), int(at - begin), self.labels[int(self._label[chosen[word]])]))
            found.append(listed)
        return found

    def _outside_moves(self, features: Floats, final: NDArray[np.bool_], spaces: NDArray[np.bool_]) -> Integers:
        hidden = _largest(features[:, 0] + self._outside)
        scores = hidden @ self._weights[self._moves].T + self._bias[self._moves]
        scores[np.ix_(final, self._begins)] = _NEVER
        scores[np.ix_(spaces, ~self._outs)] = _NEVER
        return scores.argmax(axis=1)

    def _ends_of(self, features: Floats, final: NDArray[np.bool_], chosen: Integers) -> Integers:
        """Return, for each word at which an entity would begin, the word after that entity."""
        after = np.arange(len(features)) + 1
        begin = np.flatnonzero(self._begins[chosen])
        label = self._label[chosen[begin]]
        at = begin + 1
        while len(begin):
            hidden = _largest(features[at, 0] + features[begin, 1] + features[at - 1, 2] + self._feature_bias)
            inside = self._scored(hidden, self._inside[label])
            closes = final[at] | (self._scored(hidden, self._last[label]) > inside)
            after[begin[closes]] = at[closes] + 1
            begin, label, at = begin[~closes], label[~closes], at[~closes] + 1
        return after

    def _scored(self, hidden: Floats, moves: Integers) -> Floats:
        return (hidden * self._weights[moves]).sum(axis=1) + self._bias[moves]


def _largest(pieces: Floats) -> Floats:
    # one piece after the other: NumPy is slow at the largest of two
    best = pieces[..., 0]
    for at in range(1, pieces.shape[-1]):
        best = np.maximum(best, pieces[..., at])
    return best
