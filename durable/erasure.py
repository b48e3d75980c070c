"""Erasure of values from the vault: whoever is named in them cannot be put back any more, in no run and no replay."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from durable.seal import Keyring
    from durable.sql import Transaction, Writing

_ROWS: Final = 500
_PAGE: Final = (
    "SELECT scope, token, sealed FROM vault WHERE scope > $1 OR (scope = $1 AND token > $2) "
    "ORDER BY scope, token LIMIT $3"
)
_SIGNS: Final = re.compile(r"[^0-9A-Za-z]")
_DIGITS_MIN: Final = 6


class Wanted:
    """Knows the originals that hold one of `values`, however they are spaced, cased or punctuated."""

    def __init__(self, values: Iterable[str]) -> None:
        words = [re.escape(_plain(value)) for value in values if _plain(value)]
        self._words = re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)") if words else None
        digits = (_SIGNS.sub("", value) for value in values)
        self._digits = frozenset(one.lower() for one in digits if sum(map(str.isdigit, one)) >= _DIGITS_MIN)

    def __call__(self, original: str) -> bool:
        """Return whether `original` holds one of the values."""
        if self._words is not None and self._words.search(_plain(original)) is not None:
            return True
        return _SIGNS.sub("", original).lower() in self._digits


async def page(
    tx: Transaction, keyring: Keyring, wanted: Wanted, after: tuple[str, str]
) -> tuple[list[tuple[str, str]], tuple[str, str] | None]:
    """Return which of the next rows hold a value, and after which to go on, `None` at the end."""
    rows = await tx.rows(_PAGE, *after, _ROWS)
    found: list[tuple[str, str]] = []
    for row in rows:
        scope, token = row["scope"], row["token"]
        if wanted(keyring.unseal("vault", f"{scope}/{token}", row["sealed"]).decode()):
            found.append((scope, token))
    return found, None if len(rows) < _ROWS else (rows[-1]["scope"], rows[-1]["token"])


async def delete(tx: Writing, rows: Iterable[tuple[str, str]]) -> int:
    """Delete vault rows; returns how many there were."""
    return sum([await tx.execute("DELETE FROM vault WHERE scope = $1 AND token = $2", *row) for row in rows])


def _plain(value: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", value).casefold().split())
