"""Every field of the official SDKs' request types, each in a request of its own beside the same request without it.

The types are walked, nobody lists their fields: one that a new version brings is among them at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Final, Literal, NotRequired, Required, Union, cast, get_args, get_origin

from typing_extensions import get_type_hints, is_typeddict

if TYPE_CHECKING:
    from gateway.conversion.carried import Tree

#: What stands in a field whose text must be of a form, by its name.
_FORMED: Final[dict[str, object]] = {
    "file_data": "data:application/pdf;base64,AAAA", "url": "https://e.example/x", "data": "AAAA", "arguments": "{}",
    "input": {"a": 1}, "input_schema": {"type": "object"}, "schema": {"type": "object"},
    "parameters": {"type": "object"}, "signature": "", "ttl": "5m",
}  # fmt: skip


@dataclass(frozen=True)
class Added:
    """A field with a value, in `request`, that `before` has not; both are whole requests."""

    path: str
    value: object
    before: Tree
    request: Tree


def added(kind: object, whole: Tree) -> Iterator[Added]:
    """Yield each field of the type `kind`, of which `whole` is one, and of all types within it."""
    for path, value, before, after in _fields(kind, (), whole):
        yield Added(path, value, cast("Tree", before), cast("Tree", after))


def _fields(
    kind: object, seen: tuple[object, ...], base: Tree | None = None
) -> Iterator[tuple[str, object, object, object]]:
    """Yield path, value, and an instance of `kind` without and with it."""
    if not is_typeddict(cast("type", kind)) or kind in seen:
        return
    made = _least(kind) if base is None else base
    for name, hint in _hints(kind).items():
        without = {key: value for key, value in made.items() if key != name}
        for one in _alternatives(hint.type):
            if not hint.required:
                for value in _values(one, name):
                    yield name, value, without, {**without, name: value}
            for inner, many in _inner(one):
                for path, value, before, after in _fields(inner, (*seen, kind)):
                    yield (f"{name}.{path}", value, {**made, name: [before] if many else before},
                           {**made, name: [after] if many else after})  # fmt: skip


@dataclass(frozen=True)
class _Hint:
    type: object
    required: bool


def _hints(kind: object) -> dict[str, _Hint]:
    """Return the fields of a type; which are required stands in annotations that are not evaluated there."""
    total = cast("bool", kind.__total__)  # type: ignore[attr-defined] - of every TypedDict
    found: dict[str, _Hint] = {}
    for name, said in cast("dict[str, object]", get_type_hints(kind, include_extras=True)).items():
        hint, required = said, total
        while (origin := get_origin(hint)) in (Required, NotRequired, Annotated):
            required = origin is Required if origin is not Annotated else required
            hint = get_args(hint)[0]
        found[name] = _Hint(hint, required)
    return found


def _least(kind: object) -> Tree:
    """Return an instance with the required fields alone."""
    return {
        name: next(_values(next(_alternatives(hint.type)), name))
        for name, hint in _hints(kind).items()
        if hint.required
    }


def _alternatives(hint: object) -> Iterator[object]:
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        for one in get_args(hint):
            yield from _alternatives(one)
    elif origin is Annotated:
        yield from _alternatives(get_args(hint)[0])
    elif hint is not type(None):
        yield hint


def _inner(hint: object) -> Iterator[tuple[object, bool]]:
    """Yield the types that may stand in one, and whether in a list."""
    origin = get_origin(hint)
    if isinstance(origin, type) and issubclass(origin, Iterable) and not issubclass(origin, Mapping):
        yield from ((one, True) for one in _alternatives(get_args(hint)[0]))
    else:
        yield hint, False


def _values(hint: object, name: str) -> Iterator[object]:
    """Yield values of a type that is no union: for literals each of them."""
    origin = get_origin(hint)
    if name in _FORMED:
        yield _FORMED[name]
    elif origin is Literal:
        yield from get_args(hint)
    elif is_typeddict(cast("type", hint)):
        yield _least(hint)
    elif hint is bool:
        yield from (True, False)
    elif hint is int or hint is float:
        yield 1
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        yield {"k": "v"}
    elif origin is not None and get_args(hint):
        for one in _alternatives(get_args(hint)[0]):
            yield [next(_values(one, ""))]
    else:
        yield "said"
