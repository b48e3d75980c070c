"""What the network sees of a word: its form, its beginnings and ends, each as rows of a small table.

Features are hashed into tables (bloom embeddings: Serrà and Karatzoglou 2017), so that a word nobody has seen
still has an ending and a shape that somebody has.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Rows of each feature's table: the word, its shape, beginnings of 2 and 3, ends of 2, 3 and 4 letters.
TABLE_ROWS: Final = (6000, 400, 700, 2500, 500, 2000, 3000)
#: Each feature is the sum of so many rows; two features that share one row seldom share both.
ROWS_EACH: Final = 2
_SHAPES: Final = ((re.compile(r"[^\W\d_]"), "x"), (re.compile(r"\d"), "d"))
_REPEATS: Final = re.compile(r"(.)\1{2,}")
_WORD_CHARACTERS_MAX: Final = 40


def rows_of(words: Sequence[str]) -> NDArray[np.int64]:
    """Return the table rows of each word: shape (words, features, rows each)."""
    found = np.empty((len(words), len(TABLE_ROWS), ROWS_EACH), dtype=np.int64)
    for at, word in enumerate(words):
        for column, (feature, size) in enumerate(zip(_features(word[:_WORD_CHARACTERS_MAX]), TABLE_ROWS, strict=True)):
            digest = hashlib.blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            found[at, column, 0] = int.from_bytes(digest[:4], "little") % size
            found[at, column, 1] = int.from_bytes(digest[4:], "little") % size
    return found


def _features(word: str) -> tuple[str, ...]:
    lower = word.lower()
    return (lower, _shape(word), lower[:2], lower[:3], lower[-2:], lower[-3:], lower[-4:])


def _shape(word: str) -> str:
    cased = "".join("X" if one.isupper() else one for one in word)
    shape = re.sub(r"(?!X)[^\W\d_]", "x", cased)
    return _REPEATS.sub(r"\1\1\1", re.sub(r"\d", "d", shape))
