"""What all conversions share: the refusal that names a field, the terms of a model, and JSON narrowed with a path."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

import jiter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: How much of a field's name a message shows.
_NAME_CHARACTERS_MAX = 64
#: A JSON object.
Tree = dict[str, object]


class CannotCarry(Exception):  # noqa: N818 - says what is known of it
    """A field that the other protocol has no word for; the message names it by its path and quotes no content."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"`{path}` {why}")
        self.path = path


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a converted request depends on besides itself.

    `output_tokens_max` stands in where the client names no limit and the provider needs one. `limit_name` is the
    provider's name of that limit among those of the chat protocol.
    """

    output_tokens_max: int | None = None
    limit_name: Literal["max_tokens", "max_completion_tokens"] = "max_completion_tokens"


@dataclass(frozen=True, slots=True)
class Converted:
    """A request in the other protocol, and the paths of what was left out of it."""

    tree: Tree
    left_out: tuple[str, ...]


@dataclass(slots=True)
class LeftOut:
    """Collects names of what is left out, each once, list indexes as `*`."""

    names: dict[str, None] = field(default_factory=dict[str, None])

    def note(self, path: str) -> None:
        """Take note of the value at `path`."""
        self.names[".".join("*" if part.isdigit() else part for part in path.split("."))] = None

    def hints(self, tree: Tree, path: str, names: Iterable[str]) -> None:
        """Take note of those of `names` that `tree`, which stands at `path`, has."""
        for name in names:
            if tree.get(name) is not None:
                self.note(below(path, name))


def below(path: str, name: object) -> str:
    """Return the path of `name` in what stands at `path`."""
    shown = str(name)[:_NAME_CHARACTERS_MAX]
    return f"{path}.{shown}" if path else shown


def only(tree: Tree, path: str, known: frozenset[str]) -> None:
    """Raise `CannotCarry` for a field of `tree` that is not among `known`; null is no value."""
    for name, value in tree.items():
        if name not in known and value is not None:
            raise CannotCarry(below(path, name), "cannot be carried to this model's provider")


def an_object(value: object, path: str) -> Tree:
    """Return `value` as an object. Raises `CannotCarry`."""
    if not isinstance(value, dict):
        raise CannotCarry(path, "must be an object")
    return cast("Tree", value)


def a_list(value: object, path: str) -> list[object]:
    """Return `value` as a list. Raises `CannotCarry`."""
    if not isinstance(value, list):
        raise CannotCarry(path, "must be a list")
    return cast("list[object]", value)


def a_text(value: object, path: str) -> str:
    """Return `value` as a text. Raises `CannotCarry`."""
    if not isinstance(value, str):
        raise CannotCarry(path, "must be a text")
    return value


def objects(value: object, path: str) -> Iterator[tuple[str, Tree]]:
    """Yield the objects of a list with their paths; nothing for null. Raises `CannotCarry`."""
    if value is None:
        return
    for place, item in enumerate(a_list(value, path)):
        yield f"{path}.{place}", an_object(item, f"{path}.{place}")


def number(value: object) -> float | None:
    """Return a JSON number, however it is held, as a float; `None` for anything else."""
    if isinstance(value, bool):
        return None
    return float(value) if isinstance(value, int | float | jiter.LosslessFloat) else None


def whole(value: object) -> int:
    """Return a count, zero for what is none."""
    return value if isinstance(value, int) else 0


def copied(tree: Tree, *names: str) -> Tree:
    """Return those of `names` that `tree` has a value for."""
    return {name: tree[name] for name in names if tree.get(name) is not None}
