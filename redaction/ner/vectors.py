"""The word vectors of the language model, looked up as the network wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


class WordVectors:
    """Vectors by word. `find` is spaCy's look-up of keys, `key` its hash of a word."""

    def __init__(
        self, table: NDArray[np.float32], find: Callable[..., NDArray[np.int64]], key: Callable[[str], int]
    ) -> None:
        self._table = table
        self._find = find
        self._key = key

    def of(self, words: Sequence[str]) -> NDArray[np.float32]:
        """Return a row for each word: of its own form, else as written in a name, else in lower case, else zeros."""
        rows = np.full(len(words), -1, np.int64)
        for form in (str, str.title, str.lower):
            missing = [at for at, row in enumerate(rows.tolist()) if row < 0]
            if not missing:
                break
            keys = np.array([self._key(form(words[at])) for at in missing], dtype=np.uint64)
            rows[missing] = self._find(keys=keys)
        found = np.zeros((len(words), self._table.shape[1]), np.float32)
        known = rows >= 0
        found[known] = self._table[rows[known]]
        return found
