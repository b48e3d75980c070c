"""A YAML file as a plain tree in which everything knows its line.

Only what a configuration needs is YAML here: mappings, lists and scalars of the YAML 1.2 core schema.
Anchors, aliases, merge keys, tags, directives and second documents are refused (an alias bomb is a few
bytes), and so is a key written twice, of which YAML would silently keep one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from gateway.config.problems import ConfigInvalid, Problem, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE_BYTES_MAX: Final = 1024 * 1024
DEPTH_MAX: Final = 16
#: no setting is a longer number
NUMBER_CHARACTERS_MAX: Final = 30

_WHOLE: Final = re.compile(r"[-+]?[0-9]+")
_FLOATING: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_PLAIN: Final[dict[str, bool | None]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Leaf:
    """A scalar; `text` is how it was written."""

    value: str | int | float | bool | None
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Node, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of a mapping with its value; `line` is the key's."""

    name: str
    line: int
    node: Node


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping, in the order of the file, without duplicate keys."""

    entries: tuple[Entry, ...]
    line: int


Node = Leaf | Items | Table


def read_tree(path: Path, shown_as: str) -> Node:
    """Return the tree of the YAML file at `path`; `shown_as` names it in messages.

    Raises `ConfigInvalid`.
    """
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise ConfigInvalid([Problem(shown_as, 0, f"cannot be read: {reason}")]) from None
    if len(content) > FILE_BYTES_MAX:
        raise ConfigInvalid([Problem(shown_as, 0, f"is larger than {FILE_BYTES_MAX} bytes")])
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigInvalid([Problem(shown_as, line, "is not UTF-8")]) from None
    return parse_tree(text, shown_as)


def parse_tree(text: str, shown_as: str) -> Node:
    """Return the tree of YAML `text`; an empty text is an empty mapping. Raises `ConfigInvalid`."""
    builder = _Builder(shown_as)
    try:
        for event in _events(text):
            builder.take(event)
    except MarkedYAMLError as error:
        line = _line(getattr(error, "problem_mark", None)) or _line(getattr(error, "context_mark", None))
        message = _in_our_words(str(getattr(error, "problem", "")), str(getattr(error, "context", "")))
        builder.refuse(line, message)
    except YAMLError:
        # ruamel's reader names the character, its code and a position, and that is all it knows
        builder.refuse(_line_of_unprintable(text), "holds a character that YAML does not allow")
    return builder.finish()


class _Parser(Protocol):
    def parse(self, text: str) -> Iterator[object]: ...


@dataclass(frozen=True, slots=True)
class _Event:
    """An event of the parser; its kind is the parser's name of it."""

    kind: str
    line: int
    text: str
    #: a scalar without quotes and tag, whose form decides its type
    plain: bool
    anchor: str | None
    tag: str | None
    directives: bool


def _events(text: str) -> Iterator[_Event]:
    # ruamel.yaml types its events not at all; they are narrowed here, once
    parser = cast("_Parser", YAML(typ="safe", pure=True))
    for event in parser.parse(text):
        implicit: object = getattr(event, "implicit", False)
        anchor: object = getattr(event, "anchor", None)
        tag: object = getattr(event, "tag", None)
        yield _Event(
            kind=type(event).__name__,
            line=_line(getattr(event, "start_mark", None)),
            text=str(getattr(event, "value", "")),
            plain=isinstance(implicit, tuple) and bool(cast("tuple[object, ...]", implicit)[0]),
            anchor=None if anchor is None else str(anchor),
            tag=None if tag is None else str(tag),
            directives=bool(getattr(event, "version", None) or getattr(event, "tags", None)),
        )


def _line(mark: object) -> int:
    line: object = getattr(mark, "line", None)
    return line + 1 if isinstance(line, int) else 0


def _line_of_unprintable(text: str) -> int:
    for number, line in enumerate(text.split("\n"), start=1):
        if any(not character.isprintable() and character not in "\t\r" for character in line):
            return number
    return 0


def _in_our_words(problem: str, context: str) -> str:
    if "scanning an alias" in context:
        return "a value that begins with `*` must stand in quotes"
    if "'\\t'" in problem or "tab" in problem:
        return "a tab cannot indent; use spaces"
    return f"is not YAML: {problem.lower()}"


class _Builder:
    """Builds the tree from the parser's events, noting what is refused."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._problems: list[Problem] = []
        #: open collections: (is a mapping, line, nodes so far)
        self._open: list[tuple[bool, int, list[Node]]] = []
        self._root: Node | None = None
        self._documents = 0

    def refuse(self, line: int, message: str) -> None:
        self._problems.append(Problem(self._file, line, message))

    def take(self, event: _Event) -> None:
        if event.kind == "DocumentStartEvent":
            self._documents += 1
            if self._documents > 1:
                self.refuse(event.line, "only one YAML document is expected")
            if event.directives:
                self.refuse(event.line, "YAML directives are not allowed")
        elif event.kind == "AliasEvent":
            self.refuse(event.line, f"aliases are not allowed: {shown(f'*{event.anchor}')}; write the value out")
            self._place(Leaf(None, "", event.line))
        elif event.kind == "ScalarEvent":
            self._decorations(event)
            self._place(_leaf(event))
        elif event.kind in {"MappingStartEvent", "SequenceStartEvent"}:
            self._decorations(event)
            if len(self._open) >= DEPTH_MAX:
                raise ConfigInvalid([Problem(self._file, event.line, f"nested deeper than {DEPTH_MAX} levels")])
            self._open.append((event.kind == "MappingStartEvent", event.line, []))
        elif event.kind in {"MappingEndEvent", "SequenceEndEvent"}:
            is_mapping, line, nodes = self._open.pop()
            self._place(self._table(line, nodes) if is_mapping else Items(tuple(nodes), line))

    def finish(self) -> Node:
        if self._problems:
            raise ConfigInvalid(self._problems)
        if self._root is None or (isinstance(self._root, Leaf) and self._root.value is None):
            return Table((), 1)
        return self._root

    def _decorations(self, event: _Event) -> None:
        if event.anchor is not None:
            self.refuse(event.line, f"anchors are not allowed: {shown(f'&{event.anchor}')}")
        if event.tag is not None:
            self.refuse(event.line, f"tags are not allowed: {shown(event.tag)}")

    def _place(self, node: Node) -> None:
        if self._open:
            self._open[-1][2].append(node)
        elif self._root is None:
            self._root = node

    def _table(self, line: int, nodes: list[Node]) -> Table:
        first: dict[str, int] = {}
        entries: list[Entry] = []
        for key, value in zip(nodes[::2], nodes[1::2], strict=True):
            if not isinstance(key, Leaf):
                self.refuse(key.line, "a key must be plain text")
                continue
            name = key.text
            if name == "<<":
                self.refuse(key.line, "merge keys are not allowed; write the settings out")
            elif name in first:
                self.refuse(key.line, f"{shown(name)} stands here twice; the first is on line {first[name]}")
            else:
                first[name] = key.line
                entries.append(Entry(name, key.line, value))
        return Table(tuple(entries), line)


def _leaf(event: _Event) -> Leaf:
    text = event.text
    if not event.plain:
        return Leaf(text, text, event.line)
    if text in _PLAIN:
        return Leaf(_PLAIN[text], text, event.line)
    if len(text) <= NUMBER_CHARACTERS_MAX:
        if _WHOLE.fullmatch(text):
            return Leaf(int(text), text, event.line)
        if _FLOATING.fullmatch(text):
            return Leaf(float(text), text, event.line)
    return Leaf(text, text, event.line)
