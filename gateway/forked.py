"""A fork's other model: what the journal lacks is asked of it, what the journal holds stays what it was."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from gateway import body

if TYPE_CHECKING:
    from collections.abc import Callable

    from durable.step import RunRef
    from gateway.call import Call, Exchange


def reading(
    read: Callable[[Exchange], Call], other_model: Callable[[RunRef, str], str | None]
) -> Callable[[Exchange], Call]:
    """Return `read` for a model adapter, with the call to the other model where the request's run has one.

    `other_model` tells which model a run asks instead of another, `None` where it asks that one. The call
    read is the one the agent made: its step, and so what is replayed, does not change.
    """

    def read_both(exchange: Exchange) -> Call:
        call = read(exchange)
        if exchange.run is None:
            return call
        tree = cast("dict[str, object]", call.tree)
        other = other_model(exchange.run, str(tree.get("model")))
        if other is None:
            return call
        content = body.encode(tree | {"model": other})
        return replace(call, live=read(replace(exchange, body=content)))

    return read_both
