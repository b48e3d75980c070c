"""Every place of a protocol's official types that can hold a text, each with a planted text in an instance of its own.

The types are walked (TypedDicts and pydantic models), nobody lists their fields: one that a new version of an SDK
brings is among them at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import UnionType
from typing import Annotated, Any, Final, Literal, NotRequired, Required, Union, cast, get_args, get_origin

from pydantic import BaseModel
from typing_extensions import TypeAliasType, get_type_hints, is_typeddict

Tree = dict[str, object]
#: A field no version of a type has yet; at a path it is written `+`.
UNKNOWN: Final = "not_yet_known"
#: What stands in a required field whose text must be of a form, by its name.
_FORMED: Final[dict[str, object]] = {"url": "https://e.example/x", "arguments": "{}", "data": "AAAA"}

_NUMBERS: Final[dict[object, object]] = {bool: True, int: 1, float: 1.0}
_TEXTS: Final[frozenset[object]] = frozenset({str, object, Any})


@dataclass(frozen=True)
class Planted:
    """`tree` has the planted text at `path`; the type of each object on the way stands in brackets."""

    path: str
    tree: object


@dataclass(frozen=True)
class _Field:
    name: str
    type: object
    required: bool


@dataclass
class Planter:
    """Plants `text`; in a field that holds JSON by its name as JSON. `given` are instances of types to begin with."""

    text: str
    given: Mapping[object, Tree] = field(default_factory=dict[object, Tree])

    def planted(self, kind: object) -> Iterator[Planted]:
        """Yield every place of the type `kind`."""
        yield from self._places(kind, "", ())

    def _places(self, hint: object, name: str, seen: tuple[object, ...]) -> Iterator[Planted]:
        for one in alternatives(hint):
            if fields_of(one) is not None:
                if one not in seen:
                    yield from self._of_object(one, (*seen, one))
            elif (inner := item_of(one)) is not None:
                for found in self._places(inner, name, seen):
                    yield Planted(f".*{found.path}", [found.tree])
            elif (value := value_of(one)) is not None:
                yield Planted("{}", {self.text: 1})
                for found in self._places(value, "", seen):
                    yield Planted(f".{{}}{found.path}", {"key": found.tree})
            elif one in _TEXTS:
                yield Planted("", f'{{"q": "{self.text}"}}' if name == "arguments" else self.text)

    def _of_object(self, kind: object, seen: tuple[object, ...]) -> Iterator[Planted]:
        least = self.least(kind)
        tag = f"[{least['type']}]" if isinstance(least.get("type"), str) else ""
        for one in fields_of(kind) or ():
            for found in self._places(one.type, one.name, seen):
                yield Planted(f"{tag}.{one.name}{found.path}", {**least, one.name: found.tree})
        yield Planted(f"{tag}.+", {**least, UNKNOWN: self.text})

    def least(self, kind: object) -> Tree:
        """Return an instance with the required fields alone."""
        made = {one.name: self._some(one.type, one.name) for one in fields_of(kind) or () if one.required}
        return {**made, **self.given.get(kind, {})}

    def _some(self, hint: object, name: str) -> object:
        one = next(alternatives(hint))
        if get_origin(one) is Literal:
            return get_args(one)[0]
        if fields_of(one) is not None:
            return self.least(one)
        if (inner := item_of(one)) is not None:
            return [self._some(inner, name)]
        if value_of(one) is not None:
            return {}
        return _NUMBERS.get(one, _FORMED.get(name, "said"))


def alternatives(hint: object) -> Iterator[object]:
    """Yield the types one of which a value has, without `None`."""
    origin = get_origin(hint)
    if isinstance(hint, TypeAliasType):
        yield from alternatives(hint.__value__)
    elif origin in (Annotated, Required, NotRequired):
        yield from alternatives(get_args(hint)[0])
    elif origin in (Union, UnionType):
        for one in get_args(hint):
            yield from alternatives(one)
    elif hint is not type(None):
        yield hint


def fields_of(kind: object) -> list[_Field] | None:
    """Return the fields of an object's type, `None` for every other type."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [_Field(one.alias or name, one.annotation, one.is_required()) for name, one in kind.model_fields.items()]
    if not is_typeddict(cast("type", kind)):
        return None
    total = cast("bool", kind.__total__)  # type: ignore[attr-defined] - of every TypedDict
    found: list[_Field] = []
    for name, said in cast("dict[str, object]", get_type_hints(kind, include_extras=True)).items():
        hint, required = said, total
        while (origin := get_origin(hint)) in (Required, NotRequired, Annotated):
            required = origin is Required if origin is not Annotated else required
            hint = get_args(hint)[0]
        found.append(_Field(name, hint, required))
    return found


def item_of(hint: object) -> object | None:
    """Return the type of a list's items, `None` for every other type."""
    origin = get_origin(hint)
    is_list = isinstance(origin, type) and issubclass(origin, Iterable) and not issubclass(origin, Mapping)
    return get_args(hint)[0] if is_list else None


def value_of(hint: object) -> object | None:
    """Return the type of a map's values, `None` for every other type."""
    if hint is dict:
        return object
    origin = get_origin(hint)
    return get_args(hint)[1] if isinstance(origin, type) and issubclass(origin, Mapping) else None
