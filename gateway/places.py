"""Reads and writes a tree of JSON by path."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterable

    Path = tuple[str | int, ...]


def at(tree: object, path: Path) -> object:
    """Return what stands at `path`."""
    for part in path:
        tree = cast("dict[str | int, object]", tree)[part]
    return tree


def put(tree: object, path: Path, value: object) -> None:
    """Write `value` at `path`."""
    cast("dict[str | int, object]", at(tree, path[:-1]))[path[-1]] = value


def set_aside(tree: object, paths: Iterable[Path]) -> list[tuple[Path, object]]:
    """Leave null at `paths`; returns what stood there, to be put back."""
    aside = [(path, at(tree, path)) for path in paths]
    for path, _ in aside:
        put(tree, path, None)
    return aside
