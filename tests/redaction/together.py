"""Many planted samples in few messages: each with a value of its own, put together as far as none covers another."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.redaction.every_field import Planted

Tree = dict[str, object]

#: What a `Planter` plants for `Values` to find again.
SEED: Final = "seed@example.com"
#: However a value is written in JSON, in JSON within a text, and in a URL.
_VALUE: Final = re.compile(rb"\bf(\d{1,6})x(?:@|%40|\\+u0040)example\.com")


@dataclass(frozen=True)
class Sample:
    """An instance of a type with the value of its own, which has a `number`, at `path`."""

    tree: Tree
    path: str
    number: int


@dataclass(frozen=True)
class Batch:
    """Several samples in one."""

    tree: Tree
    paths: set[str]


class Values:
    """Gives each place its value."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def own(self, planted: Planted, before: str = "") -> Sample:
        """Return a planted sample with a value that no other has, `before` in front of it."""
        number = next(self._numbers)
        tree = json.loads(json.dumps(planted.tree).replace(SEED, f"{before}f{number}x@example.com"))
        return Sample(cast("Tree", tree), planted.path, number)


def numbers_in(content: bytes) -> set[int]:
    """Return the numbers of the values that stand in `content`."""
    return {int(one) for one in _VALUE.findall(content)}


def together(samples: Iterable[Sample]) -> list[Batch]:
    """Return the samples in as few as a first fit makes of them."""
    made: list[Batch] = []
    for one in samples:
        for at, into in enumerate(made):
            if isinstance(tree := _merged(into.tree, one.tree), dict):
                made[at] = Batch(cast("Tree", tree), into.paths | {one.path})
                break
        else:
            made.append(Batch(one.tree, {one.path}))
    return made


_COVERED: Final = object()


def _merged(one: object, other: object) -> object:
    """Return both values as one, `_COVERED` where a planted value would be lost."""
    if one == other:
        return one
    if isinstance(one, dict) and isinstance(other, dict):
        return _joined(cast("Tree", one), cast("Tree", other))
    if isinstance(one, list) and isinstance(other, list):
        items = cast("list[object]", one)
        return items + [item for item in cast("list[object]", other) if item not in items]
    kept, added = cast("object", one), other
    if not _holds(added):
        return kept
    return _COVERED if _holds(kept) else added


def _joined(one: Tree, other: Tree) -> object:
    if _kind(one) != _kind(other):
        return _COVERED
    made = dict(one)
    for name, value in other.items():
        made[name] = _merged(one[name], value) if name in one else value
        if made[name] is _COVERED:
            return _COVERED
    return made


def _kind(tree: Tree) -> tuple[object, object]:
    """Return what an object says it is; an answer to a form says it by what was done with it."""
    action = tree.get("action")
    return tree.get("type"), action if isinstance(action, str) else None


def _holds(tree: object) -> bool:
    return bool(numbers_in(json.dumps(tree).encode()))
