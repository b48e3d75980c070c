"""Walks JSON trees: which texts there are, where, and how each is put back with its type kept."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from redaction.finding import Shape

Path = tuple[str | int, ...]

#: Numbers with fewer digits are no card, account or phone number of anyone.
NUMBER_DIGITS_MIN: Final = 12
#: Keys that may themselves be personal data (maps keyed by address or account); all others are structure.
_TELLING_KEY: Final = re.compile(r"@|\d{6,}|\s\S+\s|[A-Z]{2}\d{2}[A-Z0-9]{8,}")


@dataclass(frozen=True, slots=True)
class Text:
    """A string (or a long number) in a tree. `hint` is the key it stands under."""

    value: str
    hint: str
    pointer: str
    is_number: bool = False


#: What a visitor makes of a text: the same string when nothing changes, `None` to take it out.
Visitor = "Callable[[Text], str | None]"


def texts_in(tree: object, shape: Shape) -> list[Text]:
    """Return every text of `tree` that is not structure, embedded JSON opened."""
    found: list[Text] = []

    def note(text: Text) -> str:
        found.append(text)
        return text.value

    rewrite(tree, shape, note)
    return found


def rewrite(tree: object, shape: Shape, visit: Callable[[Text], str | None]) -> object:
    """Return `tree` with every text replaced by what `visit` returns; the same object when nothing changed."""
    return _Walk(_compiled(shape.keep), _compiled(shape.embedded), visit).value(tree, (), "")


@dataclass(frozen=True, slots=True)
class _Walk:
    keep: _Patterns
    embedded: _Patterns
    visit: Callable[[Text], str | None]

    def value(self, value: object, path: Path, hint: str) -> object:
        if isinstance(value, str):
            if not value or self.keep.fits(path):
                return value
            return self._string(value, path, hint)
        if isinstance(value, dict):
            return self._object(cast("dict[str, object]", value), path)
        if isinstance(value, list):
            return self._list(cast("list[object]", value), path, hint)
        if value is None or isinstance(value, bool) or self.keep.fits(path):
            return value
        return self._number(value, path, hint)

    def _string(self, value: str, path: Path, hint: str) -> object:
        if self.embedded.fits(path) and value.lstrip()[:1] in {"{", "["}:
            try:
                inner: object = json.loads(value)
            except (ValueError, RecursionError):
                inner = None
            if isinstance(inner, dict | list):
                changed = _Walk(_NOTHING, _NOTHING, self.visit).value(cast("object", inner), path, hint)
                if changed is inner:
                    return value
                return json.dumps(changed, ensure_ascii=False, separators=(",", ":"))
        return self.visit(Text(value, hint, pointer(path)))

    def _object(self, value: dict[str, object], path: Path) -> object:
        fresh: dict[str, object] = {}
        changed = False
        for key, inner in value.items():
            name = key
            if _TELLING_KEY.search(key) and not self.keep.fits((*path, key)):
                name = self.visit(Text(key, "", pointer((*path, key)))) or key
            after = self.value(inner, (*path, key), key)
            changed = changed or after is not inner or name != key
            fresh[name] = after
        return fresh if changed else value

    def _list(self, value: list[object], path: Path, hint: str) -> object:
        fresh = [self.value(inner, (*path, place), hint) for place, inner in enumerate(value)]
        return fresh if any(new is not old for new, old in zip(fresh, value, strict=True)) else value

    def _number(self, value: object, path: Path, hint: str) -> object:
        text = str(value)
        if sum(character.isdigit() for character in text) < NUMBER_DIGITS_MIN or not text.lstrip("-").isdigit():
            return value
        after = self.visit(Text(text, hint, pointer(path), is_number=True))
        return value if after == text or after is None else int(after)


@dataclass(frozen=True, slots=True)
class _Patterns:
    """Dotted paths, by number of parts; those with a closing `**` by their prefix."""

    exact: dict[int, tuple[tuple[str, ...], ...]]
    below: tuple[tuple[str, ...], ...]

    def fits(self, path: Path) -> bool:
        for pattern in self.exact.get(len(path), ()):
            if _fits(pattern, path):
                return True
        return any(len(path) > len(prefix) and _fits(prefix, path) for prefix in self.below)


def _fits(pattern: tuple[str, ...], path: Path) -> bool:
    return all(want in ("*", part) for want, part in zip(pattern, path, strict=False))


@lru_cache(maxsize=256)
def _compiled(paths: tuple[str, ...]) -> _Patterns:
    exact: dict[int, list[tuple[str, ...]]] = {}
    below: list[tuple[str, ...]] = []
    for path in paths:
        parts = tuple(path.split("."))
        if parts[-1] == "**":
            below.append(parts[:-1])
        else:
            exact.setdefault(len(parts), []).append(parts)
    return _Patterns({length: tuple(patterns) for length, patterns in exact.items()}, tuple(below))


_NOTHING: Final = _Patterns({}, ())


def pointer(path: Path) -> str:
    """Return `path` as a JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
