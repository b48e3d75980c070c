"""The text as a reader sees it, with the way back: full-width digits, hidden characters, look-alikes, `%40`."""

from __future__ import annotations

import contextlib
import re
import unicodedata
from dataclasses import dataclass
from typing import Final

#: One printable ASCII character as URLs, JSON strings (both also several times over), programs and HTML may write it;
#: HTML also without its end, where nothing goes on that would belong to it.
_ESCAPED: Final = re.compile(
    r"(?:%(?:25){0,3}|\\{1,4}u00|\\{1,2}x)([2-7][0-9A-Fa-f])"
    r"|&(?:amp;)?#[xX]0{0,4}([2-7][0-9A-Fa-f])(?:;|(?![0-9A-Fa-f]))"
    r"|&(?:amp;)?#0{0,4}(3[2-9]|[4-9]\d|1[01]\d|12[0-6])(?:;|(?!\d))"
)
#: What HTML has names for that stands in addresses and numbers.
_NAMED: Final = re.compile(r"&(?:amp;)?(commat|period|lowbar|plus|num|colon|sol|hyphen|dash|nbsp|equals|percnt);")
_NAMES: Final = {
    "commat": "@", "period": ".", "lowbar": "_", "plus": "+", "num": "#", "colon": ":", "sol": "/", "hyphen": "-",
    "dash": "-", "nbsp": " ", "equals": "=", "percnt": "%",
}  # fmt: skip
#: What Markdown and patterns set a backslash before.
_SET_APART: Final = re.compile(r"\\{1,3}(?=[@._+\-])")
#: ASCII that nobody sees and a model reads: the tags of Unicode. Flags have a few of them.
_TAGS: Final = re.compile("[\U000e0020-\U000e007e]{6,}")
_TAG: Final = 0xE0000
#: So many marks stand over one letter at most.
_MARKS_MAX: Final = 8
#: One other character as URLs (RFC 3986, UTF-8) and JSON strings (RFC 8259, also in two halves) write it.
_IN_BYTES: Final = re.compile(r"%(?:25)?(?:[CcDd][0-9A-Fa-f]|[EeFf][0-7A-Fa-f])(?:%(?:25)?[89ABab][0-9A-Fa-f]){1,3}")
_IN_HALVES: Final = re.compile(
    r"\\{1,4}u[dD][89abAB][0-9A-Fa-f]{2}\\{1,4}u[dD][c-fC-F][0-9A-Fa-f]{2}|\\{1,4}u[0-9A-Fa-f]{4}"
)
_HEXADECIMAL: Final = re.compile(r"[0-9A-Fa-f]{4}")
#: A line end or tab inside JSON inside a string, also twice over: no letter of the word after it.
_BLANK: Final = re.compile(r"\\{1,3}[nrt]")
#: Where something may be written otherwise than it is seen.
_TELLING: Final = re.compile(r"[%\\&\x00-\x08\x0b\x0c\x0e-\x1f]|[^\x00-\x7e]")
#: Characters nobody sees that are not of category Cf: joiners, fillers, variation selectors.
_UNSEEN: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u2800\u3164\uffa0") | frozenset(
    chr(place) for place in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0), 0x20E3)
)
#: Controls beyond ASCII, but for the one that ends a line.
_CONTROLS: Final = frozenset(map(chr, range(0x80, 0xA0))) - {"\x85"}
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
    plainly = text.isascii() and "%" not in text and "\\" not in text and "&" not in text
    if plainly and text.replace("\n", "").replace("\t", "").replace("\r", "").isprintable():
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
        if not shown and ends and unicodedata.combining(text[place]):
            ends[-1] = plain  # it stands over the character before
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
        if character >= "\U000e0020" and (tags := _TAGS.match(text, place)) is not None:
            return "".join(chr(ord(one) - _TAG) for one in tags.group()), len(tags.group())
        return "" if unicodedata.combining(character) and _over_ascii(text, place) else _shown(character), 1
    if (match := _ESCAPED.match(text, place)) is not None:
        hexadecimal = match.group(1) or match.group(2)
        return chr(int(hexadecimal, 16) if hexadecimal else int(match.group(3))), len(match.group())
    if character == "&" and (match := _NAMED.match(text, place)) is not None:
        return _NAMES[match.group(1)], len(match.group())
    if character == "%" and (match := _IN_BYTES.match(text, place)) is not None:
        return _in_bytes(match.group())
    return _in_json(text, place) if character == "\\" else (character, 1)


def _in_json(text: str, place: int) -> tuple[str, int]:
    if (match := _BLANK.match(text, place)) is not None:
        return "\n", len(match.group())
    if (match := _IN_HALVES.match(text, place)) is not None:
        halves = bytes.fromhex("".join(_HEXADECIMAL.findall(match.group())))
        with contextlib.suppress(UnicodeDecodeError):
            return _shown(halves.decode("utf-16-be")), len(match.group())
    if (match := _SET_APART.match(text, place)) is not None:
        return "", len(match.group())
    return "\\", 1


def _over_ascii(text: str, place: int) -> bool:
    """Return whether the mark at `place` stands over a character of ASCII."""
    base = place - 1
    while base >= max(0, place - _MARKS_MAX) and unicodedata.combining(text[base]):
        base -= 1
    return base >= 0 and (text[base].isascii() or unicodedata.combining(text[base]) != 0)


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
        return character if character.isprintable() else ""
    if character in _UNSEEN or unicodedata.category(character) == "Cf" or character in _CONTROLS:
        return ""
    if character in _DASHES:
        return "-"
    if (digit := unicodedata.decimal(character, None)) is not None:
        return str(digit)
    return unicodedata.normalize("NFKC", character)
