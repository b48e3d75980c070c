"""Schemas of tools, compiled once and safe to run: bounded in time whatever a server and an agent send.

No reference leaves the schema, patterns run in linear time, and a schema whose checking could take
exponential time is refused when it is pinned, not when it is used. JSON Schema 2020-12 unless the schema
names another draft (MCP 2025-11-25, tools).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast
from urllib.parse import unquote

import jsonschema_rs

from gateway import body

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.definitions.definition import Tree

NODES_MAX: Final = 5_000
DEPTH_MAX: Final = 32
#: How many ways may lead through a schema, its references followed: what checking one value can cost.
WAYS_MAX: Final = 20_000
_REGEX_BYTES_MAX: Final = 1024 * 1024
#: Keywords whose schemas look at the same value, and those whose schemas look at parts of it.
_SAME_ONE: Final = ("not", "if", "then", "else", "propertyNames", "contentSchema")
_SAME_MANY: Final = ("allOf", "anyOf", "oneOf")
_SAME_NAMED: Final = ("dependentSchemas", "dependencies")
_PART_ONE: Final = (
    "items", "additionalProperties", "unevaluatedProperties", "unevaluatedItems", "contains", "additionalItems",
)  # fmt: skip
_PART_MANY: Final = ("prefixItems", "items")
_PART_NAMED: Final = ("properties", "patternProperties")
_HELD: Final = ("$defs", "definitions")
_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")


class SchemaUnusable(Exception):  # noqa: N818 - says what is known
    """The schema cannot be held against anything; the message says why."""


class Checker:
    """Checks values against one schema. Making it raises `SchemaUnusable`."""

    def __init__(self, schema: object) -> None:
        copy = bounded(schema)
        #: as it is held against values: bounded, and never coming back to itself
        self.schema: object = copy
        try:
            self._validator = jsonschema_rs.validator_for(
                cast("Tree", copy), offline=True, validate_formats=False,
                pattern_options=jsonschema_rs.RegexOptions(
                    size_limit=_REGEX_BYTES_MAX, dfa_size_limit=_REGEX_BYTES_MAX
                ),
            )  # fmt: skip
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError):
            raise SchemaUnusable("it is no valid JSON Schema, or has a pattern that cannot be run safely") from None

    def violation(
        self, value: object, *, veiled: Callable[[str], bool] | None = None, nulls: bool = False
    ) -> str | None:
        """Return what is wrong with a value in one sentence without content of it, `None` when nothing is.

        Texts that are `veiled` stand for others: no text keyword is held against them. With `nulls` a null
        stands for what was left out.
        """
        plain = body.plain(value)
        if self._validator.is_valid(plain):
            return None
        for error in self._validator.iter_errors(plain):
            if nulls and error.instance is None:
                continue
            if veiled is None or not _is_veiled(error.instance, veiled):
                return _said(error)
        return None


def bounded(schema: object) -> object:
    """Return a copy of a schema that never comes back to itself. Raises `SchemaUnusable` for one too large to run."""
    copy = body.plain(schema)
    _Walk(copy).check()
    return copy


def _is_veiled(instance: object, veiled: Callable[[str], bool]) -> bool:
    return any(veiled(text) for text in _texts(instance))


def _texts(tree: object) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    for part in _parts(tree):
        yield from _texts(part)


def _said(error: jsonschema_rs.ValidationError) -> str:
    """Return an error in words of the schema alone: values and unknown names are the caller's."""
    place = ".".join(_asked_for([str(part) for part in error.schema_path])) or "the whole"
    match error.kind:
        case jsonschema_rs.ValidationErrorKind.Required(property=missing):
            return f"`{missing}` is required in `{place}`"
        case jsonschema_rs.ValidationErrorKind.AdditionalProperties():
            return f"`{place}` has a member its schema does not know"
        case kind:
            return f"`{place}` does not fit its `{kind.name}`"


def _asked_for(path: list[str]) -> Iterator[str]:
    """Yield the names of the properties on the way of a schema path; they are the schema's own words."""
    at = 0
    while at < len(path) - 1:
        if path[at] == "properties":
            yield path[at + 1]
            at += 1
        elif path[at] in {"items", "prefixItems"}:
            yield "*"
        at += 1


class _Walk:
    """One look through a copy of a schema, before anything is compiled.

    Where a schema comes back to itself the copy ends: recursive values are checked for one turn, so that no
    depth of a value multiplies what checking it costs.
    """

    def __init__(self, schema: object) -> None:
        self._root = schema
        self._nodes = 0
        self._anchors: dict[str, object] = {}
        self._ways: dict[int, int] = {}
        self._open: set[int] = set()

    def check(self) -> None:
        """Raise `SchemaUnusable` where checking could leave the schema or its time."""
        root = self._root
        if not isinstance(root, dict | bool):
            raise SchemaUnusable("it is no object")
        self._count(cast("object", root), 0)
        self._name_parts(cast("object", root), top=True)
        self._count_ways(cast("object", root))

    def _count(self, tree: object, depth: int) -> None:
        self._nodes += 1
        if self._nodes > NODES_MAX or depth > DEPTH_MAX:
            raise SchemaUnusable(f"it has more than {NODES_MAX} parts or {DEPTH_MAX} levels")
        for part in _parts(tree):
            self._count(part, depth + 1)

    def _name_parts(self, schema: object, *, top: bool = False) -> None:
        """Note anchors; refuse what would make one reference mean different things in different places."""
        if not isinstance(schema, dict):
            return
        named = cast("Tree", schema)
        if "$id" in named and not top:
            raise SchemaUnusable("a part of it has an `$id` of its own")
        for keyword in ("$anchor", "$dynamicAnchor"):
            anchor = named.get(keyword)
            if isinstance(anchor, str) and self._anchors.setdefault(anchor, named) is not named:
                raise SchemaUnusable("two parts of it have one anchor")
        for part in (*_applied(named), *_held(named)):
            self._name_parts(part)

    def _count_ways(self, schema: object) -> int:
        """Return how many ways lead through a schema."""
        if not isinstance(schema, dict):
            return 1
        named = cast("Tree", schema)
        if (known := self._ways.get(id(named))) is not None:
            return known
        self._open.add(id(named))
        ways = 1 + sum(self._count_ways(part) for part in self._following(named))
        self._open.discard(id(named))
        if ways > WAYS_MAX:
            raise SchemaUnusable("checking it could take too long")
        self._ways[id(named)] = ways
        return ways

    def _following(self, schema: Tree) -> Iterator[object]:
        yield from _applied(schema)
        for keyword in _REFERENCES:
            if keyword in schema:
                target = self._target(schema[keyword])
                if id(target) in self._open:
                    del schema[keyword]
                else:
                    yield target

    def _target(self, reference: object) -> object:
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise SchemaUnusable("it refers to something outside of it")
        if not reference.startswith("#/"):
            found = self._root if reference == "#" else self._anchors.get(reference[1:])
        else:
            found = _at(self._root, reference[2:].split("/"))
        if not isinstance(found, dict | bool):
            raise SchemaUnusable("it refers to something that is not there")
        return cast("object", found)


def _at(tree: object, parts: list[str]) -> object:
    for part in parts:
        name = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(tree, dict):
            tree = cast("Tree", tree).get(name)
        elif isinstance(tree, list) and name.isdigit() and int(name) < len(cast("list[object]", tree)):
            tree = cast("list[object]", tree)[int(name)]
        else:
            return None
    return tree


def _parts(tree: object) -> Iterator[object]:
    if isinstance(tree, dict):
        yield from cast("Tree", tree).values()
    elif isinstance(tree, list):
        yield from cast("list[object]", tree)


def _held(schema: Tree) -> Iterator[object]:
    """Yield the schemas a schema only holds, for others to refer to."""
    for keyword in _HELD:
        yield from _parts(schema.get(keyword))


def _applied(schema: Tree) -> Iterator[object]:
    """Yield the schemas inside a schema that are held against a value, or parts of it."""
    for keyword in (*_SAME_ONE, *_PART_ONE):
        if isinstance(part := schema.get(keyword), dict):
            yield cast("object", part)
    for keyword in (*_SAME_MANY, *_PART_MANY):
        if isinstance(parts := schema.get(keyword), list):
            yield from cast("list[object]", parts)
    for keyword in (*_SAME_NAMED, *_PART_NAMED):
        if isinstance(parts := schema.get(keyword), dict):
            yield from cast("Tree", parts).values()
