"""The language model's first layer, computed once for each different word: it sees words by themselves.

What is remembered of a word is a row of numbers under its hashes, never the word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from thinc.api import Model

    Floats = NDArray[np.float32]
    Hashes = NDArray[np.uint64]

#: Words whose row is kept; when there are more, all are forgotten.
WORDS_KNOWN_MAX: Final = 40_000
#: What the layer reads of a word, in the order of the model's own columns.
FEATURES: Final = ("NORM", "PREFIX", "SUFFIX", "SHAPE")
_COLUMNS: Final[list[int | str]] = ["ORTH", *FEATURES, "IS_SPACE"]


class Document(Protocol):
    """What is read of a document of spaCy's."""

    @property
    def vocab(self) -> object:
        """Its vocabulary, which has the vectors."""
        ...

    def to_array(self, columns: list[int | str], /) -> NDArray[Any]:
        """Return a row of attributes for each word."""
        ...


class _Words:
    """Different words where the model expects a document."""

    def __init__(self, hashes: Hashes, vocab: object) -> None:
        self._hashes = hashes
        self.vocab = vocab

    def __len__(self) -> int:
        return len(self._hashes)

    def to_array(self, columns: int | list[str]) -> Hashes:
        """Return the features asked for: by name all, by number the word itself."""
        return self._hashes[:, 1:] if isinstance(columns, list) else self._hashes[:, 0]


class Lexemes:
    """Rows of words; `embed` is the layer."""

    def __init__(self, embed: Model[Any, Any], width: int) -> None:
        self._embed = embed
        self._known: dict[tuple[int, int], int] = {}
        self._rows = np.zeros((WORDS_KNOWN_MAX, width), np.float32)

    def of(self, documents: Sequence[Document]) -> tuple[Floats, NDArray[np.bool_]]:
        """Return a row for each word of `documents`, and which of them are spaces. Raises `ValueError` for too many."""
        hashes = cast("Hashes", np.concatenate([document.to_array(_COLUMNS) for document in documents]))
        # everything else follows from a word and what its tokenizer takes it to be short for
        names = list(zip(hashes[:, 0].tolist(), hashes[:, 1].tolist(), strict=True))
        places = {name: place for place, name in enumerate(names) if name not in self._known}
        if len(self._known) + len(places) > WORDS_KNOWN_MAX:
            self._known.clear()
            places = {name: place for place, name in enumerate(names)}
        if len(places) > WORDS_KNOWN_MAX:
            raise ValueError(f"more than {WORDS_KNOWN_MAX} different words at once")
        if places:
            unseen = _Words(hashes[list(places.values())][:, :-1], documents[0].vocab)
            begin = len(self._known)
            self._rows[begin : begin + len(places)] = self._embed.predict([unseen])[0]
            self._known.update((name, begin + at) for at, name in enumerate(places))
        return self._rows[[self._known[name] for name in names]], hashes[:, -1].astype(bool)
