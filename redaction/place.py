"""What a shape says of the places of a tree, step by step from its root: no path is compared twice."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from redaction.finding import Shape

#: What is still to come of a path, and what it is then: a `Shape` as the place at hand sees it.
_Rest = tuple[str, tuple[str, ...]]

#: Separates the parts of a shape's path; a dot that belongs to a key is written `\\.`.
_DOT: Final = re.compile(r"(?<!\\)\.")
_BELOW: Final = ("**",)
_ANY: Final = "*"
_NOTHING: Final[frozenset[_Rest]] = frozenset()
#: Keys under which a protocol has one of its own words, never a text, an id or a name that somebody chose.
_WORDS: Final = frozenset({
    "type", "role", "status", "phase", "execution", "effort", "reasoning_effort", "summary", "generate_summary",
    "service_tier", "verbosity", "truncation", "format", "output_format", "detail", "mode", "object", "quality", "size",
    "background", "search_context_size", "prompt_cache_retention", "finish_reason", "stop_reason", "method",
    "jsonrpc", "resultType", "cacheScope", "reason", "encoding_format", "tool_choice",
})  # fmt: skip


class Place:
    """A place in a tree. `keeps`, `embeds`, `fixes`, `seals`: what its shape says of it (`redaction.finding.Shape`).

    `words`: it keeps what is one of a protocol's own words, and nothing else.
    `name` is the same for places of which the same is said, of themselves and of all below them.
    """

    __slots__ = ("_named", "_numbered", "_other", "_rests", "embeds", "fixes", "keeps", "name", "seals", "words")

    def __init__(self, rests: frozenset[_Rest]) -> None:
        here = {kind for kind, rest in rests if not rest}
        self.keeps, self.embeds, self.seals = "keep" in here, "embedded" in here, "sealed" in here
        self.words = "word" in here
        self.fixes = self.seals or "fixed" in here
        self._rests = [(kind, rest) for kind, rest in rests if rest]
        self.name = hashlib.blake2b(repr(sorted(rests)).encode(), digest_size=16).digest()
        self._named: dict[str, Place | None] = {rest[0]: None for _, rest in self._rests if rest[0] not in {_ANY, "**"}}
        self._numbered = any(part.isdecimal() for part in self._named)
        self._other: Place | None = None if self._rests else self if not rests else place_of(_NOTHING)

    def at(self, part: str | int) -> Place:
        """Return the place one step below, at a key or an index."""
        if self._named and (isinstance(part, str) or self._numbered):
            key = str(part)
            if key in self._named:
                place = self._named[key]
                if place is None:
                    place = self._named[key] = self._below(key)
                return place
        if self._other is None:
            self._other = self._below("")
        return self._other

    def _below(self, key: str) -> Place:
        rests: set[_Rest] = set()
        for kind, rest in self._rests:
            if rest == _BELOW:
                rests |= {(kind, rest), (kind, ())}
            elif rest[0] in (_ANY, key):
                rests.add((kind, rest[1:]))
        return place_of(frozenset(rests))


@lru_cache(maxsize=4096)
def place_of(rests: frozenset[_Rest]) -> Place:
    """Return the place of which so much is said."""
    return Place(rests)


@lru_cache(maxsize=256)
def root_of(shape: Shape) -> Place:
    """Return the root of a tree of this shape."""
    said = {"keep": shape.keep, "embedded": shape.embedded, "fixed": shape.fixed, "sealed": shape.sealed}
    return place_of(frozenset(_said(kind, _parts(path)) for kind, paths in said.items() for path in paths))


def _said(kind: str, parts: tuple[str, ...]) -> _Rest:
    return ("word" if kind == "keep" and parts[-1] in _WORDS else kind), parts


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part.replace("\\.", ".") for part in _DOT.split(path))


#: A place of which nothing is said.
NOWHERE: Final = place_of(_NOTHING)
