"""Lists of names that a word stands in: given names, family names, cities, the frequent ones and all.

A word that is a given name is one in lower case and in a sentence that says nothing of it, too. Kept as sorted
hashes (CRC-32 of the word in lower case), half a megabyte in all; one word in ten thousand is taken for a name that
it is not, as it may be anyway. Names that the finders are judged on were left out when the lists were made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from zlib import crc32

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

#: Under which names the lists stand in the network's file, and in which order a word has a column for each.
LISTS: Final = ("given_frequent", "given", "family_frequent", "family", "places_frequent", "places")


class Lists:
    """The lists of a network's file: sorted hashes by name. Raises `KeyError` for a file without one."""

    def __init__(self, hashes: Mapping[str, NDArray[np.uint32]]) -> None:
        self._hashes = [hashes[name] for name in LISTS]

    def of(self, words: Sequence[str]) -> NDArray[np.float32]:
        """Return a row for each word: 1 for each list that it stands in."""
        wanted = np.array([hash_of(word) for word in words], np.uint32)
        found = np.zeros((len(words), len(LISTS)), np.float32)
        for column, hashes in enumerate(self._hashes):
            places = np.minimum(np.searchsorted(hashes, wanted), len(hashes) - 1)
            found[:, column] = hashes[places] == wanted
        return found


def hash_of(word: str) -> int:
    """Return what stands for a word in a list."""
    return crc32(word.lower().encode("utf-8", "surrogatepass"))
