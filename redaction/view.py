"""The text as a reader sees it, with the way back: full-width digits, hidden characters, look-alikes, `%40`."""

from __future__ import annotations

import contextlib
import re
import unicodedata
from dataclasses import dataclass
from typing import Final

#: One printable ASCII character as URLs (also twice over), JSON strings and HTML may write it.
_ESCAPED: Final = re.compile(
    r"(?:%(?:25)?|\\u00)([2-7][0-9A-Fa-f])|&#x([2-7][0-9A-Fa-f]);|&#(3[2-9]|[4-9]\d|1[01]\d|12[0-6]);"
)
#: One other character as URLs (RFC 3986, UTF-8) and JSON strings (RFC 8259, also in two halves) write it.
_IN_BYTES: Final = re.compile(r"%(?:25)?(?:[CcDd][0-9A-Fa-f]|[EeFf][0-7A-Fa-f])(?:%(?:25)?[89ABab][0-9A-Fa-f]){1,3}")
_IN_HALVES: Final = re.compile(r"\\u[dD][89abAB][0-9A-Fa-f]{2}\\u[dD][c-fC-F][0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}")
#: A line end or tab inside JSON inside a string, also twice over: no letter of the word after it.
_BLANK: Final = re.compile(r"\\{1,3}[nrt]")
#: Where something may be written otherwise than it is seen.
_TELLING: Final = re.compile(r"[%\\&]|[^\x00-\x7f]")
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
_WORD: Final = re.compile(r"[\w.@\-]+")
_LATIN: Final = re.compile(r"[A-Za-z@]")
_OTHER: Final = re.compile(r"[\u0370-\u04ff]")


@dataclass(frozen=True, slots=True)
class View:
    """`text` as seen; character i of it was written at `starts[i]` to `ends[i]`, `None`: just there."""

    text: str
    starts: tuple[int, ...] | None = None
    ends: tuple[int, ...] = ()

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the original span of `text[start:end]`, hidden characters inside it included."""
        return (start, end) if self.starts is None else (self.starts[start], self.ends[end - 1])


def view_of(text: str) -> View:
    """Return the normalised view of `text`; plain ASCII without escapes is its own view."""
    if text.isascii() and "%" not in text and "\\" not in text and "&#" not in text:
        return View(text)
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    plain = 0
    for match in _TELLING.finditer(text):
        place = match.start()
        if place < plain:
            continue
        shown, width = _read(text, place)
        if width == 1 and shown == text[place]:
            continue
        parts += (text[plain:place], shown)
        starts += (*range(plain, place), *[place] * len(shown))
        ends += (*range(plain + 1, place + 1), *[place + width] * len(shown))
        plain = place + width
    parts.append(text[plain:])
    starts += range(plain, len(text))
    ends += range(plain + 1, len(text) + 1)
    seen = "".join(parts)
    if not seen.isascii():
        seen = _WORD.sub(_latin, seen) if _OTHER.search(seen) else seen
    return View(text) if seen == text else View(seen, tuple(starts), tuple(ends))


def _read(text: str, place: int) -> tuple[str, int]:
    """Return what is seen of what is written at `place`, and how many characters that is."""
    character = text[place]
    if character not in "%\\&":
        return _shown(character), 1
    if (match := _ESCAPED.match(text, place)) is not None:
        hexadecimal = match.group(1) or match.group(2)
        return chr(int(hexadecimal, 16) if hexadecimal else int(match.group(3))), len(match.group())
    if character == "%" and (match := _IN_BYTES.match(text, place)) is not None:
        return _in_bytes(match.group())
    return _in_json(text, place) if character == "\\" else (character, 1)


def _in_json(text: str, place: int) -> tuple[str, int]:
    if (match := _BLANK.match(text, place)) is not None:
        return "\n", len(match.group())
    if (match := _IN_HALVES.match(text, place)) is not None:
        halves = bytes.fromhex(match.group().replace("\\u", ""))
        with contextlib.suppress(UnicodeDecodeError):
            return _shown(halves.decode("utf-16-be")), len(match.group())
    return "\\", 1


def _in_bytes(written: str) -> tuple[str, int]:
    step = 5 if written.startswith("%25") else 3
    content = bytes.fromhex(written.replace("%25", "%").replace("%", ""))
    # the first byte says how many there are (RFC 3629)
    count = 2 if content[0] < 0xE0 else 3 if content[0] < 0xF0 else 4  # noqa: PLR2004
    try:
        return _shown(content[:count].decode()), count * step
    except UnicodeDecodeError:
        return written[0], 1


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
