"""The text as a reader sees it, with the way back: full-width digits, hidden characters, look-alikes, `%40`."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

#: One printable ASCII character as URLs (also twice over), JSON strings and HTML may write it.
_ESCAPED: Final = re.compile(
    r"(?:%(?:25)?|\\u00)([2-7][0-9A-Fa-f])|&#x([2-7][0-9A-Fa-f]);|&#(3[2-9]|[4-9]\d|1[01]\d|12[0-6]);"
)
_MAY_BE_ESCAPED: Final = re.compile(r"%|\\u00|&#")
#: Characters nobody sees that are not of category Cf: joiners, fillers, variation selectors.
_UNSEEN: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u2800\u3164\uffa0") | frozenset(
    chr(place) for place in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0), 0x20E3)
)
_DASHES: Final = frozenset("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d")
#: Letters of other scripts that look like Latin ones (Unicode TS 39 confusables, the everyday part).
_LOOK_ALIKES: Final = str.maketrans(
    "авекмнорстухіјѕԁԛԝАВЕКМНОРСТУХІЈЅαεικνορτυχΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
    "abekmhopctyxijsdqwABEKMHOPCTYXIJSaeikvoptuxABEZHIKMNOPTYX",
)
_ESCAPE_CHARACTERS_MAX: Final = 6
_WORD: Final = re.compile(r"[\w.@\-]+")
_LATIN: Final = re.compile(r"[A-Za-z@]")
_OTHER: Final = re.compile(r"[\u0370-\u04ff]")


@dataclass(frozen=True, slots=True)
class View:
    """`text` as seen; `origin[i]` is where character i came from, with the end at `origin[-1]`."""

    text: str
    origin: tuple[int, ...] | None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the original span of `text[start:end]`, hidden characters inside it included."""
        if self.origin is None:
            return start, end
        return self.origin[start], max(self.origin[end - 1] + 1, self._end(end))

    def _end(self, end: int) -> int:
        if self.origin is None:
            return end
        # what came from one original character leaves as one
        last = self.origin[end - 1]
        following = next((place for place in self.origin[end:] if place > last), last + 1)
        return following if following - last <= _ESCAPE_CHARACTERS_MAX else last + 1


def view_of(text: str) -> View:
    """Return the normalised view of `text`; plain ASCII without escapes is its own view."""
    if text.isascii() and _MAY_BE_ESCAPED.search(text) is None:
        return View(text, None)
    characters: list[str] = []
    origin: list[int] = []
    place = 0
    while place < len(text):
        match = _ESCAPED.match(text, place)
        if match is not None:
            hexadecimal = match.group(1) or match.group(2)
            shown, width = chr(int(hexadecimal, 16) if hexadecimal else int(match.group(3))), len(match.group())
        else:
            shown, width = _shown(text[place]), 1
        characters.extend(shown)
        origin.extend([place] * len(shown))
        place += width
    origin.append(len(text))
    seen = "".join(characters)
    if not seen.isascii():
        seen = _WORD.sub(_latin, seen) if _OTHER.search(seen) else seen
    if seen == text:
        return View(text, None)
    return View(seen, tuple(origin))


def _latin(word: re.Match[str]) -> str:
    # a word wholly of another script is a word of that script
    written = word.group()
    return written.translate(_LOOK_ALIKES) if _LATIN.search(written) and _OTHER.search(written) else written


def _shown(character: str) -> str:
    if character.isascii():
        return character
    if character in _UNSEEN or unicodedata.category(character) == "Cf":
        return ""
    if character in _DASHES:
        return "-"
    if (digit := unicodedata.decimal(character, None)) is not None:
        return str(digit)
    return unicodedata.normalize("NFKC", character)
