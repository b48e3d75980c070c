"""The word vectors of the language model, looked up as the network wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


class Table(Protocol):
    """What is read of spaCy's vectors."""

    @property
    def data(self) -> NDArray[np.float32]:
        """A row for each vector."""
        ...

    def find(self, *, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the row of each key, -1 where there is none."""
        ...


class WordVectors:
    """Vectors by word; `key` is spaCy's hash of a word, which remembers no word."""

    def __init__(self, table: Table, key: Callable[[str], int]) -> None:
        self._table = table
        self._key = key

    def of(self, words: Sequence[str]) -> NDArray[np.float32]:
        """Return a row for each word: of its own form, else as written in a name, else in lower case, else zeros."""
        rows = np.full(len(words), -1, np.int64)
        for form in (str, str.title, str.lower):
            missing = [at for at, row in enumerate(rows.tolist()) if row < 0]
            if not missing:
                break
            keys = np.array([self._key(form(words[at])) for at in missing], dtype=np.uint64)
            rows[missing] = self._table.find(keys=keys)
        found = np.zeros((len(words), self._table.data.shape[1]), np.float32)
        known = rows >= 0
        found[known] = self._table.data[rows[known]]
        return found
