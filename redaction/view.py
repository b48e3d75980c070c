"""The text as a reader sees it, with the way back: full-width digits, hidden characters, look-alikes, `%40`."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

_PERCENT: Final = re.compile(r"%([2-7][0-9A-Fa-f])")
#: Letters of other scripts that look like Latin ones (Unicode TS 39 confusables, the everyday part).
_LOOK_ALIKES: Final = str.maketrans(
    "авекмнорстухіјѕԁԛԝАВЕКМНОРСТУХІЈЅαεικνορτυχΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
    "abekmhopctyxijsdqwABEKMHOPCTYXIJSaeikvoptuxABEZHIKMNOPTYX",
)
_MIXED: Final = re.compile(r"[\w.@\-]*(?:[A-Za-z@][\w.@\-]*[\u0370-\u04ff]|[\u0370-\u04ff][\w.@\-]*[A-Za-z@])[\w.@\-]*")


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
        return min(following, last + 3) if following - last <= 3 else last + 1  # noqa: PLR2004 - `%40` is three


def view_of(text: str) -> View:
    """Return the normalised view of `text`; plain ASCII without `%` is its own view."""
    if text.isascii() and "%" not in text:
        return View(text, None)
    characters: list[str] = []
    origin: list[int] = []
    place = 0
    while place < len(text):
        match = _PERCENT.match(text, place)
        if match is not None:
            shown, width = chr(int(match.group(1), 16)), 3
        else:
            shown, width = _shown(text[place]), 1
        characters.extend(shown)
        origin.extend([place] * len(shown))
        place += width
    origin.append(len(text))
    seen = "".join(characters)
    if not seen.isascii():
        seen = _MIXED.sub(lambda mixed: mixed.group().translate(_LOOK_ALIKES), seen)
    if seen == text:
        return View(text, None)
    return View(seen, tuple(origin))


def _shown(character: str) -> str:
    if character.isascii():
        return character
    if unicodedata.category(character) == "Cf":
        return ""
    if (digit := unicodedata.decimal(character, None)) is not None:
        return str(digit)
    return unicodedata.normalize("NFKC", character)
