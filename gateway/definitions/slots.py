"""What a schema says of the places of a tree: whether a value may stand there, and which formats are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import unquote

import jsonschema_rs

from gateway import body
from gateway.definitions.schema import SchemaUnusable, bounded
from redaction.finding import within

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from redaction.finding import Slot, Slots

    Tree = dict[str, object]

_REGEX_BYTES_MAX: Final = 1024 * 1024
#: Schemas looked at for one place; there are more only where alternatives multiply.
_SCHEMAS_MAX: Final = 256
_HELD: Final = ("$defs", "definitions")
_CERTAIN: Final = ("allOf",)
_PERHAPS: Final = ("anyOf", "oneOf", "then", "else")


@dataclass(frozen=True)
class Place:
    """One place: the schemas that all count there, and those of which one has to."""

    root: Tree
    certain: tuple[object, ...]
    perhaps: tuple[object, ...]

    @property
    def formats(self) -> frozenset[str]:
        """The formats any of its schemas names."""
        spread = _spread(self.root, [(each, True) for each in (*self.certain, *self.perhaps)])
        return frozenset(found for one, _ in spread if isinstance(found := one.get("format"), str))

    @property
    def closed(self) -> bool:
        """Whether its schema names the values that may stand there."""
        spread = _spread(self.root, [(each, True) for each in self.certain])
        return any(sure and ("enum" in one or "const" in one) for one, sure in spread)

    def fits(self, value: object) -> bool:
        """Return whether `value` may stand there; nothing fits a schema that cannot be run."""
        return self._validator is not None and self._validator.is_valid(body.plain(value))

    @cached_property
    def _validator(self) -> jsonschema_rs.Validator | None:
        schema: Tree = {name: self.root[name] for name in (*_HELD, "$schema") if name in self.root}
        schema["allOf"] = [*self.certain, *([{"anyOf": list(self.perhaps)}] if self.perhaps else [])]
        try:
            return jsonschema_rs.validator_for(
                schema, offline=True, validate_formats=True,
                pattern_options=jsonschema_rs.RegexOptions(
                    size_limit=_REGEX_BYTES_MAX, dfa_size_limit=_REGEX_BYTES_MAX
                ),
            )  # fmt: skip
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError):
            return None


@dataclass(frozen=True)
class SchemaSlots:
    """The places of a value that has a schema, `prefix` being the JSON pointer of the value in its tree."""

    schema: object
    prefix: str = ""

    @cached_property
    def _root(self) -> Tree:
        try:
            whole = bounded(self.schema)
        except SchemaUnusable:
            return {}
        return cast("Tree", whole) if isinstance(whole, dict) else {}

    @cached_property
    def _places(self) -> dict[tuple[int, ...], Place]:
        return {}

    def at(self, pointer: str) -> Slot | None:
        """Return what the schema says of a place, `None` where it says nothing."""
        if pointer != self.prefix and not pointer.startswith(f"{self.prefix}/"):
            return None
        root = self._root
        found: list[tuple[object, bool]] = [(root, True)] if root else []
        for part in pointer[len(self.prefix) :].split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            found = [below for one, sure in _spread(root, found) for below in _step(one, name, sure=sure)]
        certain = tuple(one for one, sure in found if sure and _is_object(one))
        perhaps = tuple(one for one, sure in found if not sure and _is_object(one))
        if not certain and not perhaps:
            return None
        # the items of a list are one place: a validator is made once
        key = (*map(id, certain), 0, *map(id, perhaps))
        return self._places.get(key) or self._places.setdefault(key, Place(root, certain, perhaps))


@dataclass(frozen=True, slots=True)
class Unknown:
    """A place of which nobody knows what it asks for: nothing but what stands there is sure to fit."""

    value: object
    formats: frozenset[str] = frozenset()
    closed: bool = True

    def fits(self, value: object) -> bool:
        """Return whether `value` is what stands there."""
        return value == self.value


@dataclass(frozen=True, slots=True)
class UnknownSlots:
    """The places of a value that has a schema which is not known, `prefix` being its JSON pointer."""

    tree: object
    prefix: str = ""

    def at(self, pointer: str) -> Unknown | None:
        """Return a place as it is, `None` where it is not of this value."""
        if not within(pointer, self.prefix):
            return None
        found = self.tree
        for part in pointer[len(self.prefix) :].split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict):
                found = cast("Tree", found).get(name)
            else:
                listed = _listed(found)
                found = listed[int(name)] if name.isdigit() and int(name) < len(listed) else None
        return Unknown(found)


def advice(slots: Slots | None, pointer: str) -> str:
    """Return what to do about a find that has no place at a JSON pointer."""
    if slots is not None and isinstance(slots.at(pointer), Unknown):
        return (
            "the question it answers is not known any more (too large, or too old), so nothing can stand for it "
            "that fits; leave it out, or have the server ask again"
        )
    return "remove it and ask again"


@dataclass(frozen=True)
class JoinedSlots:
    """The places of a tree parts of which have schemas, each with its own pointer."""

    parts: tuple[Slots, ...]

    def at(self, pointer: str) -> Slot | None:
        """Return what the schema of the part that holds a place says of it."""
        return next((found for part in self.parts if (found := part.at(pointer)) is not None), None)


def joined(schemas: Mapping[str, object]) -> Slots | None:
    """Return the places of parts by their pointers, `None` where no part has a schema."""
    parts = tuple(SchemaSlots(schema, pointer) for pointer, schema in schemas.items() if _is_object(schema))
    return JoinedSlots(parts) if parts else None


def _spread(root: Tree, schemas: Iterable[tuple[object, bool]]) -> Iterator[tuple[Tree, bool]]:
    """Yield the schemas, and those inside them that look at the same value; whether each has to count."""
    waiting = list(schemas)
    seen: set[int] = set()
    while waiting and len(seen) < _SCHEMAS_MAX:
        one, sure = waiting.pop()
        if not isinstance(one, dict) or id(cast("object", one)) in seen:
            continue
        schema = cast("Tree", one)
        seen.add(id(schema))
        yield schema, sure
        if isinstance(reference := schema.get("$ref"), str):
            waiting.append((_target(root, reference), sure))
        waiting += [(each, sure) for keyword in _CERTAIN for each in _listed(schema.get(keyword))]
        waiting += [(each, False) for keyword in _PERHAPS for each in _listed(schema.get(keyword))]


def _step(schema: Tree, name: str, *, sure: bool) -> Iterator[tuple[object, bool]]:
    """Yield the schemas of a member, or an item, of what `schema` is for."""
    properties = schema.get("properties")
    if isinstance(properties, dict) and name in properties:
        yield cast("Tree", properties)[name], sure
    elif isinstance(more := schema.get("additionalProperties"), dict):
        yield cast("object", more), sure
    if isinstance(patterns := schema.get("patternProperties"), dict):
        yield from ((one, False) for one in cast("Tree", patterns).values())
    if name.isdigit():
        first = _listed(schema.get("prefixItems"))
        if int(name) < len(first):
            yield first[int(name)], sure
        elif isinstance(items := schema.get("items"), dict):
            yield cast("object", items), sure


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _listed(value: object) -> list[object]:
    if isinstance(value, list):
        return cast("list[object]", value)
    return [cast("object", value)] if isinstance(value, dict) else []


def _target(root: Tree, reference: str) -> object:
    if not reference.startswith("#"):
        return None
    at: Tree = root
    for part in reference[1:].split("/")[1:]:
        found = at.get(unquote(part).replace("~1", "/").replace("~0", "~"))
        at = cast("Tree", found) if isinstance(found, dict) else {}
    return at
