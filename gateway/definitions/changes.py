"""What changed between two versions of a definition, field by field, and whether it can do harm.

Risky is what a model is told anew, what it may now send that it could not, what is less demanded of it or
of the result, and what loses a warning. Benign is a title, an example, a stricter schema. What nobody has
said anything about is risky.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, cast

from gateway import body
from gateway.definitions.scan import is_hidden_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.definitions.definition import Tree

Weight = Literal["benign", "risky"]

CHANGES_MAX: Final = 200
_ABSENT: Final = object()
#: Keywords that only describe, where no hidden character is in them.
_SAID: Final = frozenset({"title", "examples", "example", "deprecated", "$comment"})
#: Keywords whose greater value allows more, and those whose greater value allows less.
_UPPER: Final = frozenset({"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains"})
_LOWER: Final = frozenset({"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains"})
#: Hints and the value of each that warns (MCP 2025-11-25, ToolAnnotations); an absent one has its default.
_WARNING: Final = {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": False, "openWorldHint": True}
_SCHEMAS: Final = frozenset({"inputSchema", "outputSchema"})
_MAPS: Final = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One changed place: `why` in a few words, before and after as text (empty: not there)."""

    place: str
    weight: Weight
    why: str
    before: str
    after: str

    @property
    def lines(self) -> list[str]:
        """Both texts as a unified diff."""
        pair = (self.before.splitlines(), self.after.splitlines())
        return list(difflib.unified_diff(*pair, "before", "after", lineterm="", n=2))


def changes_of(before: Tree, after: Tree) -> list[Change]:
    """Return what changed, risky first; at most `CHANGES_MAX`, of which the last says that there are more."""
    found = sorted(_members(before, after, ""), key=lambda one: one.weight != "risky")
    if len(found) > CHANGES_MAX:
        more = Change(place="-", weight="risky", why="there are more changes than are shown", before="", after="")
        return [*found[: CHANGES_MAX - 1], more]
    return found


def _members(before: Tree, after: Tree, place: str) -> Iterator[Change]:
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key, _ABSENT), after.get(key, _ABSENT)
        if old is not _ABSENT and new is not _ABSENT and body.canonical(old) == body.canonical(new):
            continue
        here = f"{place}.{key}" if place else key
        if key in _SCHEMAS and (pair := _both(old, new)) is not None:
            yield from _schemas(*pair, here)
        elif key == "annotations":
            yield from _annotations(_tree(old), _tree(new))
        elif key == "title":
            yield _change(here, old, new, "benign", "its title")
        elif key == "outputSchema" and old is _ABSENT:
            yield _change(here, old, new, "benign", "its results are now described")
        else:
            yield _change(here, old, new, "risky", _WHY.get(key, "what clients may act on"))


_WHY: Final = {
    "description": "what models are told", "instructions": "what models are told", "name": "its name",
    "icons": "what people see of it", "inputSchema": "its arguments", "outputSchema": "its results are not described",
    "arguments": "its arguments",
}  # fmt: skip


def _annotations(before: Tree, after: Tree) -> Iterator[Change]:
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key, _ABSENT), after.get(key, _ABSENT)
        if old is not _ABSENT and new is not _ABSENT and body.canonical(old) == body.canonical(new):
            continue
        place = f"annotations.{key}"
        if key in _WARNING:
            warned, warns = (value is _WARNING[key] or value is _ABSENT for value in (old, new))
            calmer = warned and not warns
            yield _change(place, old, new, "risky" if calmer else "benign",
                          "it now says to do less harm" if calmer else "it says no less of its effects")  # fmt: skip
        else:
            yield _change(place, old, new, "benign" if key == "title" else "risky", "a hint")


def _schemas(before: Tree, after: Tree, place: str) -> Iterator[Change]:
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key, _ABSENT), after.get(key, _ABSENT)
        if old is not _ABSENT and new is not _ABSENT and body.canonical(old) == body.canonical(new):
            continue
        here = f"{place}.{key}"
        if key in _MAPS:
            yield from _named(_tree(old), _tree(new), here)
        elif (pair := _both(old, new)) is not None:
            yield from _schemas(*pair, here)
        else:
            weight, why = _keyword(key, old, new)
            yield _change(here, old, new, weight, why)


def _named(before: Tree, after: Tree, place: str) -> Iterator[Change]:
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key, _ABSENT), after.get(key, _ABSENT)
        here = f"{place}.{key}"
        if (pair := _both(old, new)) is not None:
            yield from _schemas(*pair, here)
        elif old is _ABSENT:
            yield _change(here, old, new, "risky", "a new argument")
        elif new is _ABSENT:
            yield _change(here, old, new, "risky", "an argument is no longer described")
        elif old != new:
            yield _change(here, old, new, "risky", "another schema")


def _keyword(key: str, old: object, new: object) -> tuple[Weight, str]:
    if key in _SAID:
        return "benign", "words for people"
    if key in _UPPER | _LOWER:
        return _limit(key, old, new)
    match key:
        case "required":
            added = set(_texts(new)) - set(_texts(old))
            found: tuple[Weight, str] = "risky", "newly required" if added else "no longer required"
        case "type" if _texts(new) and (old is _ABSENT or set(_texts(new)) <= set(_texts(old))):
            found = "benign", "a narrower type"
        case "type":
            found = "risky", "a wider or another type"
        case "enum" if new is not _ABSENT and (old is _ABSENT or _values(new) <= _values(old)):
            found = "benign", "fewer values"
        case "additionalProperties" if new is False:
            found = "benign", "unknown arguments are refused now"
        case "pattern" | "const" | "format" if old is _ABSENT:
            found = "benign", "a new limit"
        case "description":
            found = "risky", "what models are told"
        case _:
            found = "risky", "what may be sent"
    return found


def _limit(key: str, old: object, new: object) -> tuple[Weight, str]:
    if new is _ABSENT:
        return "risky", "a limit is gone"
    if old is _ABSENT:
        return "benign", "a new limit"
    first, second = body.plain(old), body.plain(new)
    if not isinstance(first, int | float) or not isinstance(second, int | float):
        return "risky", "another limit"
    tighter = second <= first if key in _UPPER else second >= first
    return ("benign", "a tighter limit") if tighter else ("risky", "a looser limit")


def _change(place: str, old: object, new: object, weight: Weight, why: str) -> Change:
    before, after = _text(old), _text(new)
    if is_hidden_text(after):
        weight, why = "risky", "it holds characters that nobody sees"
    return Change(place=place, weight=weight, why=why, before=before, after=after)


def _text(value: object) -> str:
    if value is _ABSENT:
        return ""
    return value if isinstance(value, str) else body.canonical(value).decode()


def _both(old: object, new: object) -> tuple[Tree, Tree] | None:
    if isinstance(old, dict) and isinstance(new, dict):
        return cast("Tree", old), cast("Tree", new)
    return None


def _values(value: object) -> set[bytes]:
    return {body.canonical(one) for one in _list(value)}


def _tree(value: object) -> Tree:
    return cast("Tree", value) if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def _texts(value: object) -> list[str]:
    return [value] if isinstance(value, str) else [one for one in _list(value) if isinstance(one, str)]
