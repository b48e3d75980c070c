"""Values split over fields beside one another: a card number in four of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from redaction.patterns import is_card, is_iban

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_DIGITS: Final = re.compile(r"\d{2,8}")
_LETTERED: Final = re.compile(r"[A-Z0-9]{1,8}")
_COUNTRY: Final = re.compile(r"[A-Z]{2}\d{2}")
_CHARACTERS_MAX: Final = 10
_PIECES_MIN: Final = 2
#: How people divide card numbers; two numbers of eight digits are two numbers.
_CARD_PIECES: Final = frozenset({(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (4, 4, 5)})
_IBAN_PIECES_MAX: Final = 9
#: Longer lists of numbers are data; some of them would pass for a card.
LIST_PIECES_MAX: Final = 9


def split_values(fields: Iterable[tuple[str | int, object]]) -> dict[str | int, str]:
    """Return the names of the fields of one object or list that are a value together, each with its entity."""
    found: dict[str | int, str] = {}
    run: list[tuple[str | int, str]] = []
    for name, value in (*fields, ("", None)):
        piece = _piece(value)
        if piece:
            run.append((name, piece))
        elif run:
            for names, entity in _values(run):
                found |= dict.fromkeys(names, entity)
            run = []
    return found


def _values(run: Sequence[tuple[str | int, str]]) -> Iterator[tuple[list[str | int], str]]:
    place = 0
    while place < len(run) - 1:
        count, entity = _value_at([piece for _, piece in run[place : place + _IBAN_PIECES_MAX]])
        if count:
            yield [name for name, _ in run[place : place + count]], entity
        place += count or 1


def _value_at(pieces: list[str]) -> tuple[int, str]:
    text = ""
    for count, piece in enumerate(pieces, 1):
        text += piece
        if count < _PIECES_MIN:
            continue
        if tuple(map(len, pieces[:count])) in _CARD_PIECES and text.isdigit() and is_card(text):
            return count, "CARD"
        if _COUNTRY.match(text) and is_iban(text):
            return count, "IBAN"
    return 0, ""


def _piece(value: object) -> str:
    if isinstance(value, str):
        text = value.strip() if len(value) <= _CHARACTERS_MAX else ""
        return text if text and _LETTERED.fullmatch(text) else ""
    if isinstance(value, int) and not isinstance(value, bool):
        text = str(value) if 0 <= value < 10**_CHARACTERS_MAX else ""
        return text if _DIGITS.fullmatch(text) else ""
    return ""
