"""One segmenter for whole texts and streams, so that cutting a text anywhere never changes what is found.

A segment ends at a line end or a sentence end; long ones at a space that stands beside no digit or
capital; what has none of these (JSON on one line, tables) between two items; tokens and PEM blocks are
kept whole. No cut is made before everything that could decide otherwise has been seen, so feeding piece by
piece gives the same segments as feeding at once, and a segment is its own only segment.
"""

from __future__ import annotations

import re
from typing import Final

from redaction.placeholder import CANDIDATE_CHARACTERS_MAX, ENTITIES

SOFT_CHARACTERS: Final = 300
HARD_CHARACTERS: Final = 2000
#: The longest text without any divider that stays whole: longer than any token that is one value.
RUN_CHARACTERS_MAX: Final = 16_384
PEM_CHARACTERS_MAX: Final = 16_384

_FED_CHARACTERS: Final = 2048

_LINE_OR_SENTENCE: Final = re.compile(r"\n|[.!?]\s")
_ABBREVIATION: Final = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Prof|Sr|Jr|No|Nr)|\b[A-Za-z]|\d)\.$")
#: The same with what `_is_end` asks; a group for what it says no to.
_END_OR_NOT: Final = re.compile(
    r"\n|[!?]\s|\.(?<!\d\.)(?<!\b[A-Za-z]\.)(?<!\b(?:Mr|Ms|Dr|St|Sr|Jr|No|Nr)\.)(?<!\bMrs\.)(?<!\bProf\.)\s|(\.\s)"
)
_BEGIN: Final = "-----BEGIN "
_END: Final = re.compile(r"-----END [A-Z0-9 ]{1,64}-----")
_PEM_END_CHARACTERS_MAX: Final = 128
_NOT_BESIDE: Final = frozenset(":=,;")
#: How many characters without a digit should follow a cut, best first: `date of | birth 1972` would hide what it is.
_CLEAR_OF_DIGITS: Final = (24, 12, 0)
_DIGIT: Final = re.compile(r"\d")
#: Where a long text without sentences may be cut, best first; never between two digits but in need.
_BETWEEN_ITEMS: Final = re.compile(r"""(?<=["}\]]),|,(?=["{\[])""")
_DIVIDER: Final = re.compile(r"[,;|\t&](?!\d)|(?<!\d)[,;|\t&]")
_SPACE: Final = re.compile(r"\s(?!\d)|(?<!\d)\s")
_ANY_DIVIDER: Final = re.compile(r"[\s,;|&]")
_SPACE_OR_LINE: Final = re.compile(r"[ \n]")


class Segmenter:
    """Cuts one text; `feed` what arrives, `finish` at its end."""

    def __init__(self) -> None:
        self._buffer = ""

    def feed(self, text: str) -> list[str]:
        """Return the segments completed by `text`; joined with `finish` they are the text."""
        segments: list[str] = []
        # cutting in between changes nothing, and keeps the work for a long text in proportion to its length
        for place in range(0, len(text), _FED_CHARACTERS):
            self._buffer += text[place : place + _FED_CHARACTERS]
            while (end := _cut(self._buffer)) is not None:
                segments.append(self._buffer[:end])
                self._buffer = self._buffer[end:]
        return segments

    def finish(self) -> list[str]:
        """Return what is left."""
        rest, self._buffer = self._buffer, ""
        return [rest] if rest else []


def segments_of(text: str) -> list[str]:
    """Return all segments of a whole text."""
    if len(text) < SOFT_CHARACTERS and not _LINE_OR_SENTENCE.search(text) and _BEGIN not in text:
        return [text] if text else []
    segments: list[str] = []
    at = _cut_at_ends(text, segments) if _BEGIN not in text else 0
    segmenter = Segmenter()
    return segments + segmenter.feed(text[at:] if at else text) + segmenter.finish()


def _cut_at_ends(text: str, segments: list[str]) -> int:
    """Cut `text` while lines and sentences end soon enough; return where the segmenter must go on.

    The same cuts in one pass: behind each of them the segmenter begins anew.
    """
    at = 0
    for match in _END_OR_NOT.finditer(text):
        if match.lastindex:
            continue
        end = match.end()
        if end - at > SOFT_CHARACTERS + 1:
            break
        segments.append(text[at:end])
        at = end
    return at


class RestoreHold:
    """Holds back the end of a stream's text while it may be the beginning of a placeholder."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """Return what can be looked at whole; at most 42 characters stay held."""
        text = self._held + text
        keep = _possible_beginning(text)
        self._held = text[len(text) - keep :] if keep else ""
        return text[: len(text) - keep] if keep else text

    def finish(self) -> str:
        """Return what was held."""
        held, self._held = self._held, ""
        return held


def _cut(buffer: str) -> int | None:
    begin = buffer.find(_BEGIN, 0, HARD_CHARACTERS + len(_BEGIN))
    for match in _LINE_OR_SENTENCE.finditer(buffer, 0, SOFT_CHARACTERS + 1):
        if 0 <= begin < match.end():
            break
        if _is_end(buffer, match):
            return match.end()
    # a beginning that is seen whole before a soft cut can be made
    if 0 <= begin <= SOFT_CHARACTERS + 2 - len(_BEGIN):
        return _pem_end(buffer, begin)
    if len(buffer) <= SOFT_CHARACTERS + 1:
        return None
    return _soft_cut(buffer, begin)


def _is_end(buffer: str, match: re.Match[str]) -> bool:
    return match.group() == "\n" or not _ABBREVIATION.search(buffer, max(0, match.start() - 6), match.start() + 1)


def _pem_end(buffer: str, begin: int) -> int | None:
    end = _END.search(buffer, begin)
    if end is not None and end.end() - begin <= PEM_CHARACTERS_MAX:
        return end.end()
    longest = PEM_CHARACTERS_MAX + _PEM_END_CHARACTERS_MAX
    return begin + PEM_CHARACTERS_MAX if len(buffer) - begin > longest else None


def _soft_cut(buffer: str, begin: int) -> int | None:
    for clear in _CLEAR_OF_DIGITS:
        place = buffer.rfind(" ", 1, SOFT_CHARACTERS + 1 - clear)
        while place > 0:
            if _eligible(buffer, place) and not _DIGIT.search(buffer, place, place + clear):
                return place + 1
            place = buffer.rfind(" ", 1, place)
    end = min(len(buffer) - 1, HARD_CHARACTERS)
    if 0 <= begin < end:
        end = begin
    for match in _SPACE_OR_LINE.finditer(buffer, SOFT_CHARACTERS + 1, max(end, SOFT_CHARACTERS + 1)):
        if match.group() == "\n" or _eligible(buffer, match.start()):
            return match.end()
    if 0 <= begin < HARD_CHARACTERS:
        return begin
    # one beginning more than the cut, so that none is cut in two
    return _hard_cut(buffer) if len(buffer) > HARD_CHARACTERS + len(_BEGIN) else None


def _hard_cut(buffer: str) -> int | None:
    """Return where a text without ends of its own is cut: between two items, else after what divides."""
    for pattern in (_BETWEEN_ITEMS, _DIVIDER, _SPACE, _ANY_DIVIDER):
        last = None
        for match in pattern.finditer(buffer, SOFT_CHARACTERS, HARD_CHARACTERS):
            last = match
        if last is not None:
            return last.end()
    found = _ANY_DIVIDER.search(buffer, HARD_CHARACTERS, RUN_CHARACTERS_MAX)
    if found is not None:
        return found.start()
    return RUN_CHARACTERS_MAX if len(buffer) > RUN_CHARACTERS_MAX else None


def _eligible(buffer: str, place: int) -> bool:
    before, after = buffer[place - 1], buffer[place + 1]
    return not any(one.isdigit() or one.isupper() or one in _NOT_BESIDE for one in (before, after))


def _possible_beginning(text: str) -> int:
    """Return how many characters at the end may begin a placeholder, or a stand-in."""
    tail = text[-CANDIDATE_CHARACTERS_MAX:]
    run = _RUN.search(tail)
    held = len(run.group()) if run is not None and len(run.group()) < CANDIDATE_CHARACTERS_MAX else 0
    for word in _WORD.finditer(tail):
        partial = _PARTIAL.fullmatch(tail, word.start())
        if partial is None:
            continue
        name, more = partial.group(1).upper(), partial.group(2)
        if name in ENTITIES or (not more and any(entity.startswith(name) for entity in ENTITIES)):
            return max(held, len(tail) - word.start())
    return held


_WORD: Final = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]+")
_PARTIAL: Final = re.compile(r"([A-Za-z]+)((?:\\_{0,2}|_{1,2}|%5?[Ff]?|[ \-\u00a0])?[A-Za-z2-9]{0,10})")
#: What stand-ins consist of.
_RUN: Final = re.compile(r"[A-Za-z0-9@:/.\-]+\Z")
