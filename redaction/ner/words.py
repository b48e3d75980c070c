"""What the network sees of a word: its form, its beginnings and ends, each as rows of a small table.

Features are hashed into tables (bloom embeddings: Serrà and Karatzoglou 2017), so that a word nobody has seen
still has an ending and a shape that somebody has.
"""

from __future__ import annotations

import hashlib
import re
import string
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Rows of each feature's table: the word, its shape, beginnings of 2 and 3, ends of 2, 3 and 4 letters.
TABLE_ROWS: Final = (6000, 400, 700, 2500, 500, 2000, 3000)
#: Each feature is the sum of so many rows; two features that share one row seldom share both.
ROWS_EACH: Final = 2
_REPEATS: Final = re.compile(r"(.)\1{2,}")
_OTHER: Final = re.compile(r"(?!X)[^\W\d_]|\d")
_WORD_CHARACTERS_MAX: Final = 40
#: Features whose rows are kept, of each kind; when there are more, all of that kind are forgotten.
_KNOWN_MAX: Final = 20_000
_ASCII: Final = str.maketrans(
    string.ascii_letters + string.digits,
    "x" * len(string.ascii_lowercase) + "X" * len(string.ascii_uppercase) + "d" * len(string.digits),
)

Rows = tuple[int, ...]


class _Column:
    """One kind of feature: its table's rows, by feature."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._known: dict[str, Rows] = {}

    def rows(self, feature: str) -> Rows:
        known = self._known.get(feature)
        if known is None:
            digest = hashlib.blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            known = int.from_bytes(digest[:4], "little") % self._size, int.from_bytes(digest[4:], "little") % self._size
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            self._known[feature] = known
        return known


_COLUMNS: Final = tuple(map(_Column, TABLE_ROWS))


def rows_of(words: Sequence[str]) -> NDArray[np.int64]:
    """Return the table rows of each word: shape (words, features, rows each)."""
    found = [
        column.rows(feature)
        for word in words
        for column, feature in zip(_COLUMNS, _features(word[:_WORD_CHARACTERS_MAX]), strict=True)
    ]
    return np.array(found, dtype=np.int64).reshape(len(words), len(TABLE_ROWS), ROWS_EACH)


def _features(word: str) -> tuple[str, ...]:
    lower = word.lower()
    return (lower, _shape(word), lower[:2], lower[:3], lower[-2:], lower[-3:], lower[-4:])


def _shape(word: str) -> str:
    if word.isascii():
        return _REPEATS.sub(r"\1\1\1", word.translate(_ASCII))
    cased = "".join("X" if one.isupper() else one for one in word)
    shape = _OTHER.sub(lambda one: "d" if one.group().isdecimal() else "x", cased)
    return _REPEATS.sub(r"\1\1\1", shape)
