"""Settings are declared once, on the types that hold them; reading and the JSON Schema both follow.

A `Setting` in a field's annotation names the key in the file, its form and its meaning. A form turns a
node of the file into a value or says what is wrong with it, and says the same as JSON Schema.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol, cast, get_args, runtime_checkable

from gateway.config.problems import Problem, choices, nearest, shown
from gateway.config.tree import Items, Leaf, Node, Table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: The keys that lead to a setting, list positions counted from 0.
Where = tuple[str | int, ...]


class _Invalid:
    """Stands for a value that was refused; nothing is built of it."""


INVALID: Final = _Invalid()


@dataclass(slots=True)
class Reading:
    """What one reading of a file gathers: its problems, and the line of every setting in it."""

    file: str
    folder: Path
    problems: list[Problem] = field(default_factory=list[Problem])
    lines: dict[Where, int] = field(default_factory=dict[Where, int])
    #: settings that were refused; the rest is read on, so that one reading finds everything
    spoiled: set[Where] = field(default_factory=set[Where])

    def refuse(self, line: int, message: str) -> _Invalid:
        """Note a problem; the result stands for the value."""
        self.problems.append(Problem(self.file, line, message))
        return INVALID

    def usable(self, *where: str | int) -> bool:
        """Return whether nothing at or below `where` was refused."""
        return not any(place[: len(where)] == where for place in self.spoiled)

    def refuse_at(self, where: Where, message: str) -> None:
        """Note a problem at a setting, or at the nearest setting around it that the file has."""
        place = where
        while place and place not in self.lines:
            place = place[:-1]
        self.refuse(self.lines.get(place, 0), message)


class Form(Protocol):
    """How a setting is written."""

    def read(self, node: Node, reading: Reading, where: Where) -> object:
        """Return the value, or `INVALID` after noting the problem."""
        ...

    def schema(self) -> dict[str, object]:
        """Return the form as JSON Schema (2020-12)."""
        ...


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting's key in the file, its form, and its meaning in one sentence."""

    key: str
    form: Form
    text: str


@runtime_checkable
class Checked(Protocol):
    """A section that has something to say about its settings together."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, what is wrong with it)."""
        ...


def settings_of(section: type) -> Iterator[tuple[dataclasses.Field[object], Setting]]:
    """Yield the fields of a section that stand in the file, with their settings."""
    for one in dataclasses.fields(section):
        arguments = cast("tuple[object, ...]", get_args(one.type))
        for argument in arguments:
            if isinstance(argument, Setting):
                yield one, argument


@dataclass(frozen=True, slots=True)
class Section:
    """A mapping with known keys, read into a frozen dataclass.

    Of the keys in `one_of` exactly one must stand. With `named`, the key it stands under becomes `name`.
    """

    type: type
    one_of: tuple[str, ...] = ()
    named: bool = False

    def read(self, node: Node, reading: Reading, where: Where) -> object:
        """Return the dataclass."""
        if isinstance(node, Leaf) and node.value is None:
            node = Table((), node.line)
        if not isinstance(node, Table):
            return reading.refuse(node.line, f"{_place(where)} must be a mapping of settings")
        known = {setting.key: (one, setting) for one, setting in settings_of(self.type)}
        values: dict[str, object] = {"name": where[-1]} if self.named else {}
        present: set[str] = set()
        for entry in node.entries:
            reading.lines[(*where, entry.name)] = entry.line
            if entry.name not in known:
                reading.refuse(entry.line, f"unknown setting {shown(entry.name)}{nearest(entry.name, known)}")
                continue
            one, setting = known[entry.name]
            present.add(entry.name)
            value = setting.form.read(entry.node, reading, (*where, entry.name))
            if value is INVALID:
                reading.spoiled.add((*where, entry.name))
            else:
                values[one.name] = value
        if not self._complete(known, present, node.line, reading, where):
            return INVALID
        if any(_required(one) and one.name not in values for one, _ in known.values()):
            return INVALID
        built = self.type(**values)
        if isinstance(built, Checked):
            for key, message in built.problems():
                reading.refuse_at((*where, key), message)
        return built

    def _complete(
        self, known: dict[str, tuple[dataclasses.Field[object], Setting]], present: set[str],
        line: int, reading: Reading, where: Where,
    ) -> bool:  # fmt: skip
        missing = [key for key, (one, _) in known.items() if _required(one) and key not in present]
        for key in missing:
            reading.refuse(line, f"{_place(where)} needs {shown(key)}")
        if not self.one_of:
            return not missing
        given = [key for key in self.one_of if key in present]
        if len(given) != 1:
            reading.refuse(line, f"{_place(where)} needs {choices(self.one_of)}, and only one of them")
        return not missing and len(given) == 1

    def schema(self) -> dict[str, object]:
        """Return an object without further properties."""
        properties: dict[str, object] = {}
        required: list[str] = []
        for one, setting in settings_of(self.type):
            properties[setting.key] = {"description": setting.text, **setting.form.schema()}
            if _required(one):
                required.append(setting.key)
        result: dict[str, object] = {"type": "object", "additionalProperties": False, "properties": properties}
        if required:
            result["required"] = required
        if self.one_of:
            result["oneOf"] = [{"required": [key]} for key in self.one_of]
        if not required and not self.one_of:
            result["type"] = ["object", "null"]
        return result


@dataclass(frozen=True, slots=True)
class MapOf:
    """A mapping from names of the user's choice; `pattern` and `what` say which names are allowed."""

    form: Form
    pattern: str
    what: str

    def read(self, node: Node, reading: Reading, where: Where) -> object:
        """Return a read-only mapping in the order of the file."""
        if isinstance(node, Leaf) and node.value is None:
            return MappingProxyType(dict[str, object]())
        if not isinstance(node, Table):
            return reading.refuse(node.line, f"{_place(where)} must be a mapping, {self.what} to its settings")
        values: dict[str, object] = {}
        for entry in node.entries:
            place = (*where, entry.name)
            reading.lines[place] = entry.line
            if not re.fullmatch(self.pattern, entry.name):
                reading.refuse(entry.line, f"{shown(entry.name)} cannot be {self.what}; it must match `{self.pattern}`")
            value = self.form.read(entry.node, reading, place)
            if value is INVALID:
                reading.spoiled.add(place)
            else:
                values[entry.name] = value
        return MappingProxyType(values)

    def schema(self) -> dict[str, object]:
        """Return an object whose property names follow the pattern."""
        return {
            "type": ["object", "null"],
            "propertyNames": {"pattern": f"^({self.pattern})$"},
            "additionalProperties": self.form.schema(),
        }


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list; with `or_one` a single item may stand for a list of one. `items_min` counts items."""

    form: Form
    items_min: int = 1
    or_one: bool = False

    def read(self, node: Node, reading: Reading, where: Where) -> object:
        """Return a tuple."""
        if self.or_one and not isinstance(node, Items):
            value = self.form.read(node, reading, where)
            return INVALID if value is INVALID else (value,)
        if not isinstance(node, Items):
            return reading.refuse(node.line, f"{_place(where)} must be a list")
        if len(node.items) < self.items_min:
            return reading.refuse(node.line, f"{_place(where)} needs at least {self.items_min} item")
        values: list[object] = []
        for index, item in enumerate(node.items):
            reading.lines[(*where, index)] = item.line
            value = self.form.read(item, reading, (*where, index))
            if value is INVALID:
                reading.spoiled.add((*where, index))
            else:
                values.append(value)
        return tuple(values) if len(values) >= min(1, self.items_min) else INVALID

    def schema(self) -> dict[str, object]:
        """Return an array, or the item itself where one may stand for it."""
        array: dict[str, object] = {"type": "array", "items": self.form.schema(), "minItems": self.items_min}
        return {"anyOf": [self.form.schema(), array]} if self.or_one else array


def _required(one: dataclasses.Field[object]) -> bool:
    return one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING


def _place(where: Where) -> str:
    if not where:
        return "the file"
    return f"`{'.'.join(str(part) for part in where)}`"
