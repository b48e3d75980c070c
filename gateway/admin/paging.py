"""Pages of what is in memory: what comes after a name, in the order it is listed."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from gateway.admin.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Item = TypeVar("Item")


def page(items: Sequence[Item], name: Callable[[Item], str], after: str | None, limit: int) -> list[Item]:
    """Return at most `limit` items, those behind the one named `after`. Raises `Problem` when that one is gone."""
    begin = 0
    if after is not None:
        begin = next((number for number, one in enumerate(items, 1) if name(one) == after), 0)
        if begin == 0:
            raise Problem(422, "invalid", f"`after`: `{after}` is not listed any more; begin anew")
    return list(items[begin : begin + limit])
