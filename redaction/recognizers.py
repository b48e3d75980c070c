"""Recognizers that users write in YAML, and which countries' numbers are looked for.

RecognizersInvalid    the file is not usable; the message lists every reason with its line
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from redaction.checksums import BY_NAME
from redaction.finding import Finding
from redaction.national import COUNTRIES
from redaction.placeholder import ENTITIES
from redaction.slowness import slow_patterns
from redaction.yaml_file import YamlUnusable, read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_TOP: Final = frozenset({"countries", "recognizers"})
_KEYS: Final = frozenset(
    {"name", "entity", "score", "patterns", "context", "context_required", "checksum", "deny", "allow"}
)
_RECOGNIZERS_MAX: Final = 200
_PATTERN_CHARACTERS_MAX: Final = 1000
_LISTED_MAX: Final = 10_000
#: How far a context word may stand from a find, in characters, and what finding one adds to the score.
_AROUND: Final = 48
_CONTEXT_ADDS: Final = 0.35
_SIGNS: Final = re.compile(r"[\W_]+")


class RecognizersInvalid(Exception):  # noqa: N818 - says what is known of the file
    """The file holds no usable recognizers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognizer:
    """One kind of value of a user's own. `deny` are values always found, `allow` values never found."""

    name: str
    entity: str = "CUSTOM"
    score: float = 0.6
    patterns: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    context_required: bool = False
    checksum: str = ""
    deny: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognizers:
    """What is looked for besides what everybody looks for."""

    countries: tuple[str, ...] = COUNTRIES
    own: tuple[Recognizer, ...] = ()

    @property
    def digest(self) -> str:
        """Return what names their meaning."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]


class Searcher:
    """Applies users' recognizers to texts."""

    def __init__(self, own: tuple[Recognizer, ...]) -> None:
        self._own = [(one, _compiled(one), _words(one.context), frozenset(map(_plain, one.allow))) for one in own]

    def find(self, text: str) -> Iterator[Finding]:
        """Yield every value of a user's own kinds, overlapping ones included."""
        for one, patterns, words, allowed in self._own:
            for denied, pattern in patterns:
                for match in pattern.finditer(text):
                    start, end = match.span(1 if match.re.groups and match.group(1) is not None else 0)
                    if end > start and _plain(text[start:end]) not in allowed:
                        score = 1.0 if denied else _score(one, words, text, start, end)
                        if score:
                            yield Finding(start, end, one.entity, score, one.name)


def load_recognizers(path: Path) -> Recognizers:
    """Return what `path` says. Raises `RecognizersInvalid`; a pattern that a text can make slow is refused."""
    try:
        tree = read_yaml(path, "recognizers")
    except YamlUnusable as error:
        raise RecognizersInvalid(str(error)) from None
    if tree is None:
        return Recognizers()
    reading = _Reading()
    found = reading.all(tree)
    if reading.problems:
        raise RecognizersInvalid("\n".join(f"{path.name}:{problem}" for problem in reading.problems))
    return found


class _Reading:
    """Reads one file; gathers every problem as `line: what`."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def all(self, tree: object) -> Recognizers:
        said = self._map(tree, _TOP, "the file", 1)
        countries = self._texts(said, "countries", 1, "the file")
        for country in countries:
            if country not in COUNTRIES:
                self._problem(
                    said, "countries", 1, f"unknown country `{country}`; expected some of {', '.join(COUNTRIES)}"
                )
        listed = said.get("recognizers", [])
        if not isinstance(listed, list) or len(cast("list[object]", listed)) > _RECOGNIZERS_MAX:
            self._problem(said, "recognizers", 1, f"`recognizers` must be a list of at most {_RECOGNIZERS_MAX}")
            listed = []
        own: list[Recognizer] = []
        for one in cast("list[object]", listed):
            line = _start(one, _line(said, "recognizers", 1))
            found = self._one(one, line)
            if found.name in {other.name for other in own}:
                self.problems.append(f"{line}: recognizer `{found.name}` stands here twice")
            own.append(found)
        return Recognizers(countries=tuple(countries) if "countries" in said else COUNTRIES, own=tuple(own))

    def _one(self, tree: object, line: int) -> Recognizer:
        said = self._map(tree, _KEYS, "a recognizer", line)
        name = said.get("name")
        if not isinstance(name, str) or not name:
            self.problems.append(f"{line}: a recognizer without `name`")
            name = "?"
        what = f"recognizer `{name}`"
        patterns = self._texts(said, "patterns", line, what)
        deny = self._texts(said, "deny", line, what)
        if not patterns and not deny:
            self.problems.append(f"{line}: {what}: expected `patterns` or `deny`")
        self._usable(said, patterns, line, what)
        entity, checksum, score = said.get("entity", "CUSTOM"), said.get("checksum", ""), said.get("score", 0.6)
        if entity not in ENTITIES:
            self._problem(
                said, "entity", line, f"{what}: unknown entity `{entity}`; expected one of {', '.join(ENTITIES)}"
            )
        if checksum and checksum not in BY_NAME:
            self._problem(
                said, "checksum", line, f"{what}: unknown checksum `{checksum}`; expected one of {', '.join(BY_NAME)}"
            )
        if isinstance(score, bool) or not isinstance(score, int | float) or not 0 < score <= 1:
            self._problem(said, "score", line, f"{what}: `score` must be a number over 0, up to 1")
            score = 1.0
        required = said.get("context_required", False)
        context = self._texts(said, "context", line, what)
        if not isinstance(required, bool) or (required and not context):
            self._problem(
                said, "context_required", line, f"{what}: `context_required` must be true or false, and needs `context`"
            )
        return Recognizer(
            name=name, entity=str(entity), score=float(score), patterns=tuple(patterns), context=tuple(context),
            context_required=required is True, checksum=str(checksum), deny=tuple(deny),
            allow=tuple(self._texts(said, "allow", line, what)),
        )  # fmt: skip

    def _usable(self, said: Mapping[str, object], patterns: list[str], line: int, what: str) -> None:
        sound: list[str] = []
        for pattern in patterns:
            try:
                empty = re.compile(pattern).match("") is not None
            except (re.error, RecursionError, OverflowError):
                self._problem(said, "patterns", line, f"{what}: `{pattern}` is not a regular expression")
                continue
            if empty or len(pattern) > _PATTERN_CHARACTERS_MAX:
                self._problem(
                    said, "patterns", line, f"{what}: `{pattern[:60]}` matches nothing at all, or is too long"
                )
            else:
                sound.append(pattern)
        for pattern in slow_patterns(sound):
            self._problem(
                said, "patterns", line, f"{what}: `{pattern}` can be made slow by a text; bound its repetitions"
            )

    def _map(self, tree: object, known: frozenset[str], what: str, line: int) -> Mapping[str, object]:
        if not isinstance(tree, dict):
            self.problems.append(f"{line}: {what}: expected a map")
            return {}
        said = cast("dict[str, object]", tree)
        for key in said:
            if key not in known:
                self._problem(
                    said, key, line, f"{what}: unknown key `{key}`; expected one of {', '.join(sorted(known))}"
                )
        return said

    def _texts(self, said: Mapping[str, object], key: str, line: int, what: str) -> list[str]:
        listed = said.get(key, [])
        if isinstance(listed, list) and all(isinstance(one, str) and one for one in cast("list[object]", listed)):
            texts = cast("list[str]", listed)
            if len(texts) <= _LISTED_MAX:
                return [str(one) for one in texts]
        self._problem(said, key, line, f"{what}: `{key}` must be a list of at most {_LISTED_MAX} texts")
        return []

    def _problem(self, said: object, key: str, line: int, what: str) -> None:
        self.problems.append(f"{_line(said, key, line)}: {what}")


def _compiled(one: Recognizer) -> list[tuple[bool, re.Pattern[str]]]:
    found = [(False, re.compile(pattern)) for pattern in one.patterns]
    if one.deny:
        longest_first = sorted(map(re.escape, one.deny), key=len, reverse=True)
        found.append((True, re.compile(rf"(?i)(?<!\w)(?:{'|'.join(longest_first)})(?!\w)")))
    return found


def _words(context: tuple[str, ...]) -> re.Pattern[str] | None:
    return re.compile(rf"(?i)(?:{'|'.join(map(re.escape, context))})") if context else None


def _score(one: Recognizer, words: re.Pattern[str] | None, text: str, start: int, end: int) -> float:
    """Return how surely it is one; 0 where checksum or context say that it is none."""
    if one.checksum:
        plain = _SIGNS.sub("", text[start:end]).upper()
        try:
            if not plain or not BY_NAME[one.checksum](plain):
                return 0.0
        except ValueError:
            return 0.0
    if words is not None:
        if words.search(text, max(0, start - _AROUND), start) or words.search(text, end, end + _AROUND):
            return min(1.0, one.score + _CONTEXT_ADDS)
        if one.context_required:
            return 0.0
    return one.score


def _plain(value: str) -> str:
    return " ".join(value.casefold().split())


def _line(tree: object, name: object, otherwise: int) -> int:
    place = getattr(tree, "lc", None)
    try:
        return otherwise if place is None else cast("int", place.key(name)[0]) + 1
    except (KeyError, TypeError):
        return otherwise


def _start(tree: object, otherwise: int) -> int:
    place = getattr(tree, "lc", None)
    line = getattr(place, "line", None)
    return otherwise if not isinstance(line, int) else line + 1
