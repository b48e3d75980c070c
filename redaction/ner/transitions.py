"""The language model's own greedy search for names, over whole batches: same entities, a third of the time.

spaCy's transition-based recognizer (Lample et al. 2016, "Neural Architectures for Named Entity Recognition") takes
one action a word: begin, inside, last, unit or out. Outside an entity the scores depend on the word alone, inside one
on its first word, the word before and the word. So all actions outside are one matrix product, and all entities that
could begin are followed at once, word by word. spaCy's loop asks the interpreter's lock several times a word instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import numpy as np

from redaction.ner.lexemes import FEATURES, Lexemes
from redaction.ner.windows import Maxout, Windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from spacy.tokens import Doc
    from thinc.api import Model

    Floats = NDArray[np.float32]
    Integers = NDArray[np.int64]

_UNKNOWN: Final = "not a recognizer whose search is known here"
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
        self._weights = cast("Floats", scores.get_param("W"))
        self._bias = cast("Floats", scores.get_param("b"))
        if names[-1] != "O" or len(names) != len(self._bias) or features.get_dim("nF") != 3:  # noqa: PLR2004 - three words
            raise ValueError(_UNKNOWN)
        self._lexemes, self._windows = _read(words)
        linear = _parts(words)[-1]
        self._linear, self._linear_bias = cast("Floats", linear.get_param("W")).T, cast("Floats", linear.get_param("b"))
        #: what a word adds as the one at hand, as an entity's first, as the one before: pieces one after the other
        self._slots = [_pieces(one).T for one in cast("Floats", features.get_param("W"))]
        self._feature_bias = _pieces(cast("Floats", features.get_param("b")))
        padding = np.squeeze(cast("Floats", features.get_param("pad")), 0)
        self._outside = _pieces(padding[1]) + _pieces(padding[2]) + self._feature_bias
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
        return self.read(documents)[0]

    def read(self, documents: Sequence[Doc]) -> tuple[list[list[tuple[int, int, str]]], Floats]:
        """Return the same, and what the model makes of each word in its context: a row for each of all words."""
        lengths = np.array([len(document) for document in documents])
        if not lengths.sum():
            return [[] for _ in documents], np.zeros((0, self._linear.shape[0]), np.float32)
        rows, spaces = self._lexemes.of([document for document in documents if len(document)])
        context = self._windows.of(rows, lengths.tolist())
        hidden = context @ self._linear
        hidden += self._linear_bias
        ends = np.cumsum(lengths)
        final = np.zeros(len(hidden), dtype=bool)
        final[ends[lengths > 0] - 1] = True
        here = cast("Floats", hidden @ self._slots[0])
        chosen = self._outside_moves(here, final, spaces)
        after = self._ends_of(hidden, here, final, chosen)
        found: list[list[tuple[int, int, str]]] = []
        for begin, end in zip(ends - lengths, ends, strict=True):
            listed: list[tuple[int, int, str]] = []
            at = begin
            for word in np.flatnonzero(~self._outs[chosen[begin:end]]) + begin:
                if word >= at:
                    at = after[word]
                    listed.append((int(word - begin), int(at - begin), self.labels[int(self._label[chosen[word]])]))
            found.append(listed)
        return found, context

    def _outside_moves(self, here: Floats, final: NDArray[np.bool_], spaces: NDArray[np.bool_]) -> Integers:
        scores = _largest(cast("Floats", here + self._outside)) @ self._weights[self._moves].T + self._bias[self._moves]
        scores[np.ix_(final, self._begins)] = _NEVER
        scores[np.ix_(spaces, ~self._outs)] = _NEVER
        return scores.argmax(axis=1)

    def _ends_of(self, hidden: Floats, here: Floats, final: NDArray[np.bool_], chosen: Integers) -> Integers:
        """Return, for each word at which an entity would begin, the word after that entity."""
        after = np.arange(len(hidden)) + 1
        begin = np.flatnonzero(self._begins[chosen])
        label = self._label[chosen[begin]]
        first = hidden[begin] @ self._slots[1] + self._feature_bias
        at = begin + 1
        while len(begin):
            inner = _largest(cast("Floats", here[at] + first + hidden[at - 1] @ self._slots[2]))
            inside = self._scored(inner, self._inside[label])
            closes = final[at] | (self._scored(inner, self._last[label]) > inside)
            after[begin[closes]] = at[closes] + 1
            begin, label, first, at = begin[~closes], label[~closes], first[~closes], at[~closes] + 1
        return after

    def _scored(self, hidden: Floats, moves: Integers) -> Floats:
        return (hidden * self._weights[moves]).sum(axis=1) + self._bias[moves]


def _read(words: Model[Any, Any]) -> tuple[Lexemes, Windows]:
    """Return the two parts of the layers that make rows of words. Raises `ValueError` for others."""
    parts = _parts(_parts(words)[0])
    if len(parts) != 2:  # noqa: PLR2004 - words by themselves, words in their context
        raise ValueError(_UNKNOWN)
    embed, context = parts
    layers = _below(context)
    maxouts = [one for one in layers if one.name == "maxout"]
    norms = [one for one in layers if one.name == "layernorm"]
    seen = [one.attrs["window_size"] for one in layers if one.name == "expand_window"]
    columns = [tuple(one.attrs["columns"]) for one in _below(embed) if one.name == "extract_features"]
    if columns != [FEATURES] or not len(maxouts) == len(norms) == len(seen) or set(seen) != {1}:
        raise ValueError(_UNKNOWN)
    windows = Windows([
        Maxout(*(cast("Floats", part) for part in (one.get_param("W"), one.get_param("b"), norm.get_param("G"),
                                                   norm.get_param("b"))))
        for one, norm in zip(maxouts, norms, strict=True)
    ])  # fmt: skip
    return Lexemes(embed, context.get_dim("nO")), windows


def _parts(layer: Model[Any, Any]) -> list[Model[Any, Any]]:
    return cast("list[Model[Any, Any]]", layer.layers)  # pyright: ignore[reportUnknownMemberType] - a list of anything


def _below(layer: Model[Any, Any]) -> list[Model[Any, Any]]:
    return cast("list[Model[Any, Any]]", list(layer.walk()))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] - as above


def _pieces(array: Floats) -> Floats:
    """Return the features of two pieces each with all first pieces before all second ones."""
    return np.ascontiguousarray(np.moveaxis(array, 1, 0)).reshape(-1, *array.shape[2:])


def _largest(pieces: Floats) -> Floats:
    half = pieces.shape[1] // 2
    return np.maximum(pieces[:, :half], pieces[:, half:])
