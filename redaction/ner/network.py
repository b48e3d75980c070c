"""The network's arithmetic: words to scores of labels, scores to spans. NumPy only; weights are read as data.

embed    rows of hashed features, summed, and the word's vector → one maxout layer, once for each different word
context  residual windows of three words, as often as the file says
score    a softmax over begin, inside, last, unit of each entity, and outside
decode   the best sequence of labels that is one (Viterbi), each span with its probability
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from redaction.ner.words import rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from redaction.ner.vectors import WordVectors

    Floats = NDArray[np.float32]

ENTITIES: Final = ("PERSON", "LOCATION", "ORGANIZATION")
#: `O`, then B, I, L, U of each entity.
LABELS: Final = ("O", *(f"{position}-{entity}" for entity in ENTITIES for position in "BILU"))
#: Words whose first layer is kept; when there are more, all are forgotten.
WORDS_KNOWN_MAX: Final = 40_000
_EPSILON: Final = np.float32(1e-8)
_NEVER: Final = np.float32(-1e9)


@dataclass(frozen=True, slots=True)
class Tagged:
    """Words `start` to `end` (exclusive) of one text are an entity, with this probability."""

    start: int
    end: int
    entity: str
    score: float


def kinds(scores: Floats) -> Floats:
    """Return the probability of each kind of entity at each word."""
    chances = np.exp(scores[:, 1:])
    return chances[:, 0::4] + chances[:, 1::4] + chances[:, 2::4] + chances[:, 3::4]


class Network:
    """The weights of one trained file, and the words it has seen. Raises `ValueError` for a file of another form."""

    def __init__(self, data: bytes, vectors: WordVectors) -> None:
        with np.load(io.BytesIO(data), allow_pickle=False) as weights:
            plain = {name: weights[name].astype(np.float32) for name in weights.files}
        maxouts = ("embed_W", "embed_b", "window_W", "window_b")
        self._weights: dict[str, Floats] = {
            name: _laid(array) if name.startswith(maxouts) else array for name, array in plain.items()
        }
        self._depth = sum(name.startswith("window_W") for name in self._weights)
        self._vectors = vectors
        self._known: dict[str, int] = {}
        self._rows = np.zeros((WORDS_KNOWN_MAX, self._weights["embed_G"].shape[0]), np.float32)

    def scores(self, texts: Sequence[Sequence[str]]) -> list[Floats]:
        """Return, for each text, the log probability of each label for each word."""
        lengths = [len(words) for words in texts]
        if not any(lengths):
            return [np.zeros((0, len(LABELS)), np.float32) for _ in texts]
        hidden = self._windows(self._embedded([word for words in texts for word in words]), lengths)
        logits = hidden @ self._weights["score_W"].T + self._weights["score_b"]
        logits -= logits.max(axis=1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return np.split(logits, np.cumsum(lengths)[:-1])

    @staticmethod
    def spans(scores: Floats, lenience: float = 0.0) -> list[Tagged]:
        """Return the entities of one text; `lenience` (in log probability) is taken from `O` before decoding."""
        if not len(scores):
            return []
        charged = scores.copy()
        charged[:, 0] -= np.float32(lenience)
        return _spans_of(_best(charged), scores)

    def _embedded(self, words: Sequence[str]) -> Floats:
        known = self._known
        unseen = [word for word in dict.fromkeys(words) if word not in known]
        if len(known) + len(unseen) > WORDS_KNOWN_MAX:
            known.clear()
            unseen = list(dict.fromkeys(words))
        if len(unseen) > WORDS_KNOWN_MAX:
            raise ValueError(f"more than {WORDS_KNOWN_MAX} different words at once")
        if unseen:
            rows = rows_of(unseen)
            columns = [self._weights[f"table_{at}"][rows[:, at]].sum(axis=1) for at in range(rows.shape[1])]
            begin = len(known)
            self._rows[begin : begin + len(unseen)] = self._maxout(
                np.concatenate([*columns, self._vectors.of(unseen)], axis=1), "embed"
            )
            known.update((word, begin + at) for at, word in enumerate(unseen))
        return self._rows[[known[word] for word in words]]

    def _windows(self, embedded: Floats, lengths: list[int]) -> Floats:
        # texts stand apart by as many empty rows as the windows reach
        pad, width = self._depth, embedded.shape[1]
        hidden = np.zeros((len(embedded) + pad * (len(lengths) + 1), width), np.float32)
        inside = np.arange(len(embedded)) + pad * np.repeat(1 + np.arange(len(lengths)), lengths)
        hidden[inside] = embedded
        for layer in range(self._depth):
            seen = np.zeros((len(hidden), 3 * width), np.float32)
            seen[1:, :width] = hidden[:-1]
            seen[:, width : 2 * width] = hidden
            seen[:-1, 2 * width :] = hidden[1:]
            hidden = hidden + self._maxout(seen, "window", f"_{layer}")
        return hidden[inside]

    def _maxout(self, seen: Floats, name: str, layer: str = "") -> Floats:
        weights = self._weights
        flat = seen @ weights[f"{name}_W{layer}"].T
        flat += weights[f"{name}_b{layer}"]
        width = len(weights[f"{name}_G{layer}"])
        best = flat[:, :width]
        for piece in range(width, flat.shape[1], width):
            best = np.maximum(best, flat[:, piece : piece + width])
        best -= best.mean(axis=1, keepdims=True)
        best /= np.sqrt(np.einsum("ij,ij->i", best, best)[:, None] / np.float32(width) + _EPSILON)
        best *= weights[f"{name}_G{layer}"]
        best += weights[f"{name}_n{layer}"]
        return best


def _laid(weights: Floats) -> Floats:
    """Return a maxout layer's weights or bias with its pieces one after the other: quicker to take the largest of."""
    if weights.ndim == 3:  # noqa: PLR2004 - width, pieces, inputs
        return np.ascontiguousarray(weights.transpose(1, 0, 2)).reshape(-1, weights.shape[2])
    return weights.T.ravel()


def _open(label: str) -> str:
    return label[2:] if label[0] in "BI" and label != "O" else ""


def _moves() -> Floats:
    """Return which label may follow which (0 or never); the last row is the beginning of a text."""
    allowed = np.full((len(LABELS) + 1, len(LABELS)), _NEVER, np.float32)
    for before, one in enumerate((*LABELS, "O")):
        for after, other in enumerate(LABELS):
            continues = other[2:] if other[0] in "IL" else ""
            if _open(one) == continues:
                allowed[before, after] = 0
    return allowed


_MOVES: Final = _moves()
_ENDS: Final = np.array([_NEVER if _open(label) else 0 for label in LABELS], np.float32)


def _best(scores: Floats) -> list[int]:
    # where the best label of each word makes a sequence, it is the best sequence
    likeliest = scores.argmax(axis=1)
    if not likeliest.any():
        return [0] * len(scores)
    steps = _MOVES[np.concatenate([[-1], likeliest[:-1]]), likeliest]
    if not steps.any() and _ENDS[likeliest[-1]] == 0:
        return likeliest.tolist()
    came: list[NDArray[np.int64]] = []
    total = scores[0] + _MOVES[-1]
    for row in scores[1:]:
        ways = total[:, None] + _MOVES[:-1]
        best = ways.argmax(axis=0)
        came.append(best)
        total = ways[best, np.arange(len(best))] + row
    label = int((total + _ENDS).argmax())
    path = [label]
    for best in reversed(came):
        label = int(best[label])
        path.append(label)
    return path[::-1]


def _spans_of(path: list[int], scores: Floats) -> list[Tagged]:
    found: list[Tagged] = []
    begun = 0
    for at, label in enumerate(path):
        if not label:
            continue
        kind, position = divmod(label - 1, 4)
        if position in {0, 3}:  # begin, unit
            begun = at
        if position in {2, 3}:  # last, unit
            chances = np.exp(scores[begun : at + 1, 4 * kind + 1 : 4 * kind + 5]).sum(axis=1)
            found.append(Tagged(begun, at + 1, ENTITIES[kind], float(chances.mean())))
    return found
