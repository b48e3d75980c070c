"""What parts of trees held that were looked at before: a history that is sent again is not walked again.

Remembered are numbers alone: where in a part something was found (by position, not by key), what kind of thing, which
placeholder stands for it. Not a word of the part itself, and its name is a keyed hash of it, of everything that had a
say in the result, and of the trust domain that had it looked at.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from redaction.finding import Minted
from redaction.masking import masked
from redaction.surrogates import token_of
from redaction.walk import embedded_in, written

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from redaction.finding import Scope
    from redaction.walk import Part, Path

#: What is remembered at most, and what it may take.
PARTS_MAX: Final = 50_000
BYTES_MAX: Final = 16 * 1024 * 1024
_PART_BYTES: Final = 400
_SPAN_BYTES: Final = 350


@dataclass(frozen=True, slots=True)
class Span:
    """A value in a text, and what stands there instead: a placeholder, nothing, or (`None`) the value masked."""

    start: int
    end: int
    entity: str
    instead: str | None
    is_minted: bool
    #: whether it may be a stand-in of the scope itself
    is_suspect: bool


@dataclass(frozen=True, slots=True)
class Spans:
    """The values in one text; the whole of it may be a stand-in of the scope."""

    spans: tuple[Span, ...]
    is_suspect: bool


#: The places of changed texts: by position in an object or list, through a text of JSON as through what it holds.
Places = dict[int, "Places | Spans"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a part held."""

    changes: Places | Spans | None
    counts: Mapping[str, int]
    passed: Mapping[str, int]


@dataclass(slots=True)
class Record:
    """What is noted of a part while it is walked: paths, texts and values of what was changed."""

    changed: list[tuple[Path, str, Spans]] = field(default_factory=list["tuple[Path, str, Spans]"])
    is_repeatable: bool = True

    def seen(self, part: Part, counts: Mapping[str, int], passed: Mapping[str, int]) -> Seen | None:
        """Return what is to be remembered, `None` where it could not be done again."""
        if not self.is_repeatable:
            return None
        changes = _changes_of(part, self.changed) if self.changed else None
        return Seen(changes, counts, passed) if changes is not None or not self.changed else None


class Memory:
    """Remembers parts, the least recently seen forgotten first. `key` makes their names nobody else's."""

    def __init__(self, key: bytes, parts_max: int = PARTS_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._key = key
        self._parts_max = parts_max
        self._bytes_max = bytes_max
        self._seen: OrderedDict[bytes, Seen] = OrderedDict()
        self._bytes = 0

    def of(self, domain: str, meaning: str, scope: Scope) -> Recall:
        """Return the memory of a trust domain; `meaning` names all that decides what is found and made of it."""
        said = f"{domain}\n{meaning}".encode("utf-8", "surrogatepass")
        key = hashlib.blake2b(said, key=self._key, digest_size=32).digest()
        return Recall(self, key, hashlib.blake2b(scope.key + scope.id.encode(), key=key, digest_size=16).digest())

    def find(self, name: bytes) -> Seen | None:
        """Return what is remembered under a name."""
        seen = self._seen.get(name)
        if seen is not None:
            self._seen.move_to_end(name)
        return seen

    def keep(self, name: bytes, seen: Seen) -> None:
        """Remember what a part held."""
        if (before := self._seen.pop(name, None)) is not None:
            self._bytes -= _size(before)
        self._seen[name] = seen
        self._bytes += _size(seen)
        while len(self._seen) > self._parts_max or self._bytes > self._bytes_max:
            self._bytes -= _size(self._seen.popitem(last=False)[1])


@dataclass(frozen=True, slots=True)
class Recall:
    """What a trust domain's calls under one profile can remember; of placeholders, only those of their scope."""

    memory: Memory
    key: bytes
    scope: bytes

    def name(self, part: Part) -> bytes | None:
        """Return what the part is remembered by, `None` where it has no plain form."""
        try:
            content = written(part.value)
        except (ValueError, TypeError, RecursionError):  # lone surrogates, what is no JSON, too deep
            return None
        hint = part.hint.encode("utf-8", "surrogatepass")
        hashed = hashlib.blake2b(len(hint).to_bytes(4) + hint + part.place.name, key=self.key, digest_size=32)
        hashed.update(content)
        return hashed.digest()

    def find(self, name: bytes) -> Seen | None:
        """Return what the part of this name held."""
        return self.memory.find(name) or self.memory.find(name + self.scope)

    def keep(self, name: bytes, seen: Seen) -> None:
        """Remember what the part of this name held."""
        self.memory.keep(name if seen.changes is None else name + self.scope, seen)


class Again:
    """Makes of a part what was made of it before, and notes what that mints."""

    def __init__(self, minted: dict[str, Minted], suspects: dict[str, None]) -> None:
        self._minted = minted
        self._suspects = suspects

    def value(self, value: object, changes: Places | Spans) -> object:
        """Return `value`, a part or something in it, with its changes."""
        if isinstance(changes, Spans):
            return self._text(cast("str", value), changes)
        if isinstance(value, str):
            return written(self.value(embedded_in(value), changes)).decode()
        fresh = cast("dict[str | int, object]", value).copy()  # or a list, whose positions are its keys
        names = list(fresh) if isinstance(value, dict) else range(len(fresh))
        for at, below in changes.items():
            name = names[at]
            inner = fresh[name]
            fresh[name] = self._text(inner, below) if isinstance(inner, str) and isinstance(below, Spans) else (
                self.value(inner, below))  # fmt: skip
        return fresh

    def _text(self, text: str, changes: Spans) -> str:
        if changes.is_suspect:
            self._suspects[token_of(text)] = None
        if len(changes.spans) == 1:
            (span,) = changes.spans
            return f"{text[: span.start]}{self._instead(text, span)}{text[span.end :]}"
        parts: list[str] = []
        at = 0
        for span in changes.spans:
            parts += (text[at : span.start], self._instead(text, span))
            at = span.end
        return "".join((*parts, text[at:]))

    def _instead(self, text: str, span: Span) -> str:
        instead = span.instead
        if span.is_suspect:
            self._suspects[token_of(text[span.start : span.end])] = None
        if instead is None:
            return masked(text[span.start : span.end])
        if span.is_minted and instead not in self._minted:
            self._minted[instead] = Minted(instead, span.entity, text[span.start : span.end])
        return instead


def _changes_of(part: Part, changed: Iterable[tuple[Path, str, Spans]]) -> Places | Spans | None:
    """Return the places of changed texts (path in the whole tree, text, values).

    `None` where one of them is not found again at its place: a file that was opened.
    """
    root: Places = {}
    for path, text, spans in changed:
        way = _way(part.value, path[len(part.path) :], text)
        if way is None:
            return None
        *above, last = (0, *way)
        places = root
        for at in above:
            places = cast("Places", places.setdefault(at, {}))
        places[last] = spans
    return root.get(0, {})


def _way(value: object, path: Path, text: str) -> tuple[int, ...] | None:
    """Return the positions that lead to a text."""
    way: list[int] = []
    for part in path:
        value = embedded_in(value) if isinstance(value, str) else value
        if isinstance(value, dict):
            fields = cast("dict[str | int, object]", value)
            if part not in fields:
                return None
            way.append(list(fields).index(part))
            value = fields[part]
        elif isinstance(value, list) and isinstance(part, int):
            way.append(part)
            value = cast("list[object]", value)[part]
        else:
            return None
    return tuple(way) if value == text else None


def _size(seen: Seen) -> int:
    return _PART_BYTES + (0 if seen.changes is None else _SPAN_BYTES * sum(map(_count, _spans(seen.changes))))


def _count(spans: Spans) -> int:
    return len(spans.spans) + 1


def _spans(changes: Places | Spans) -> Iterator[Spans]:
    if isinstance(changes, Spans):
        yield changes
        return
    for below in changes.values():
        yield from _spans(below)
