"""The network's arithmetic: words to scores of labels, scores to spans. NumPy only; weights are read as data.

embed    rows of hashed features, summed, the word's vector, the lists it stands in → one maxout layer, once for each
         different word
first    residual windows of three words, as often as the file says, and a softmax over begin, inside, last, unit of
         each entity, and outside
second   the same of a text that the language model was asked of, with what that made of each word joined to the word
decode   the best sequence of labels that is one (Viterbi), each span with its probability
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from redaction.ner.lists import LISTS, Lists
from redaction.ner.windows import Maxout, Windows
from redaction.ner.words import TABLE_ROWS, rows_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from redaction.ner.vectors import WordVectors

    Floats = NDArray[np.float32]

ENTITIES: Final = ("PERSON", "LOCATION", "ORGANIZATION")
#: `O`, then B, I, L, U of each entity.
LABELS: Final = ("O", *(f"{position}-{entity}" for entity in ENTITIES for position in "BILU"))
#: The kinds of things the language model tells apart.
HEARD: Final = (
    "CARDINAL", "DATE", "EVENT", "FAC", "GPE", "LANGUAGE", "LAW", "LOC", "MONEY", "NORP", "ORDINAL", "ORG", "PERCENT",
    "PERSON", "PRODUCT", "QUANTITY", "TIME", "WORK_OF_ART",
)  # fmt: skip
#: Words whose first layer is kept; when there are more, all are forgotten.
WORDS_KNOWN_MAX: Final = 40_000
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


def heard_of(read: tuple[Sequence[Sequence[tuple[int, int, str]]], Floats], lengths: Sequence[int]) -> Floats:
    """Return a row for each word: what the language model makes of it, and which of its entities begins or goes on."""
    entities, context = read
    said = np.zeros((len(context), 2 * len(HEARD)), np.float32)
    begin = 0
    for listed, length in zip(entities, lengths, strict=True):
        for first, end, label in listed:
            place = 2 * HEARD.index(label)
            said[begin + first, place] = 1
            said[begin + first + 1 : begin + end, place + 1] = 1
        begin += length
    return np.concatenate([context, said], axis=1)


class _Reading:
    """Windows over words, and chances of labels from them."""

    def __init__(self, weights: Mapping[str, Floats], name: str) -> None:
        depth = sum(one.startswith(f"{name}_W") for one in weights)
        self._windows = Windows([_maxout(weights, name, f"_{at}") for at in range(depth)])
        self._weights, self._bias = weights[f"{name}_score_W"].T, weights[f"{name}_score_b"]

    def of(self, words: Floats, lengths: Sequence[int]) -> list[Floats]:
        if not len(words):
            return [np.zeros((0, len(LABELS)), np.float32) for _ in lengths]
        logits = self._windows.of(words, lengths) @ self._weights + self._bias
        logits -= logits.max(axis=1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return np.split(logits, np.cumsum(lengths)[:-1])


class Network:
    """The weights of one trained file, and the words it has seen. Raises `ValueError` for a file of another form."""

    def __init__(self, data: bytes, vectors: WordVectors) -> None:
        with np.load(io.BytesIO(data), allow_pickle=False) as weights:
            self._lists = Lists({name: weights[name] for name in LISTS})
            plain = {name: weights[name].astype(np.float32) for name in weights.files if name not in LISTS}
        self._tables = [plain[f"table_{at}"] for at in range(len(TABLE_ROWS))]
        self._embed = _maxout(plain, "embed", "")
        self._first = _Reading(plain, "first")
        self._join = _maxout(plain, "join", "")
        self._second = _Reading(plain, "second")
        self._vectors = vectors
        self._known: dict[str, int] = {}
        self._rows = np.zeros((WORDS_KNOWN_MAX, self._embed.width), np.float32)

    def scores(self, texts: Sequence[Sequence[str]]) -> list[Floats]:
        """Return, for each text, the log probability of each label for each word."""
        return self._first.of(self._embedded([word for words in texts for word in words]), [len(one) for one in texts])

    def scores_with(self, texts: Sequence[Sequence[str]], heard: Floats) -> list[Floats]:
        """Return the same by the second reading, which knows what was `heard` of each word: see `heard_of`."""
        words = self._embedded([word for words in texts for word in words])
        joined = self._join.of(np.concatenate([words, heard], axis=1))
        return self._second.of(joined, [len(one) for one in texts])

    @staticmethod
    def spans(scores: Floats, lenience: float = 0.0) -> list[Tagged]:
        """Return the entities of one text; `lenience` (in log probability) is taken from `O` before decoding."""
        return Network.spans_of([scores], lenience)[0]

    @staticmethod
    def spans_of(scores: Sequence[Floats], lenience: float = 0.0) -> list[list[Tagged]]:
        """Return the same of several texts."""
        charged = [row.copy() for row in scores]
        for row in charged:
            row[:, 0] -= np.float32(lenience)
        return [_spans_of(path, row) for path, row in zip(_best(charged), scores, strict=True)]

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
            columns = [table[rows[:, at]].sum(axis=1) for at, table in enumerate(self._tables)]
            begin = len(known)
            self._rows[begin : begin + len(unseen)] = self._embed.of(
                np.concatenate([*columns, self._vectors.of(unseen), self._lists.of(unseen)], axis=1)
            )
            known.update((word, begin + at) for at, word in enumerate(unseen))
        return self._rows[[known[word] for word in words]]


def _maxout(weights: Mapping[str, Floats], name: str, layer: str) -> Maxout:
    return Maxout(*(weights[f"{name}_{part}{layer}"] for part in "WbGn"))


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


def _best(scores: Sequence[Floats]) -> list[list[int]]:
    """Return, for each text, the labels of its best sequence."""
    paths: list[list[int]] = []
    unsure: list[int] = []
    for place, row in enumerate(scores):
        # where the best label of each word makes a sequence, it is the best sequence
        likeliest = row.argmax(axis=1)
        paths.append(likeliest.tolist())
        if len(likeliest) and likeliest.any() and not _is_sequence(likeliest):
            unsure.append(place)
    for place, path in zip(unsure, _searched([scores[place] for place in unsure]), strict=True):
        paths[place] = path
    return paths


def _is_sequence(labels: NDArray[np.int64]) -> bool:
    steps = _MOVES[np.concatenate([[-1], labels[:-1]]), labels]
    return not steps.any() and _ENDS[labels[-1]] == 0


def _searched(scores: Sequence[Floats]) -> list[list[int]]:
    """Return the same by a search (Viterbi 1967), all texts at once, word by word."""
    if not scores:
        return []
    order = sorted(range(len(scores)), key=lambda place: -len(scores[place]))
    lengths = [len(scores[place]) for place in order]
    held = np.zeros((lengths[0], len(order), len(LABELS)), np.float32)
    for at, place in enumerate(order):
        held[: lengths[at], at] = scores[place]
    total = held[0] + _MOVES[-1]
    came: list[NDArray[np.int64]] = []
    count = len(order)
    for word in range(1, lengths[0]):
        while lengths[count - 1] <= word:
            count -= 1
        ways = total[:count, :, None] + _MOVES[:-1]
        came.append(ways.argmax(axis=1))
        total[:count] = ways.max(axis=1) + held[word, :count]
    last = (total + _ENDS).argmax(axis=1)
    paths: list[list[int]] = [[] for _ in scores]
    for at, place in enumerate(order):
        label = int(last[at])
        path = [label]
        for best in reversed(came[: lengths[at] - 1]):
            label = int(best[at, label])
            path.append(label)
        paths[place] = path[::-1]
    return paths


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
