"""Other models for a call whose own model does not answer: which they are, and what they must be allowed and shown."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from gateway import body

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.call import Call, Exchange
    from gateway.resilience.retry import Failed

#: Statuses of an upstream that another one may do better than: its key, its limits, its state.
_ITS_OWN: Final = frozenset({401, 408, 429})
_SERVER_ERROR: Final = 500


def falling_back(read: Callable[[Exchange], Call], chains: Mapping[str, tuple[str, ...]]) -> Callable[[Exchange], Call]:
    """Return `read` for a model adapter, its calls knowing the same call to each model of their `fallback`.

    The call read is the one the agent made: its step does not change, whoever answers it.
    """
    chains = {name: chain for name, chain in chains.items() if chain}
    if not chains:
        return read

    def other(exchange: Exchange, tree: dict[str, object], name: str) -> Call:
        return read(replace(exchange, body=body.encode(tree | {"model": name})))

    def read_with_others(exchange: Exchange) -> Call:
        call = read(exchange)
        if call.objects:  # what one provider keeps, another does not have
            return call
        tree = cast("dict[str, object]", call.tree)
        chain = chains.get(str(tree.get("model")), ())
        return replace(call, otherwise=tuple(partial(other, exchange, tree, name) for name in chain))

    return read_with_others


def turns_away(failed: Failed) -> bool:
    """Return whether another model may be asked after this failure: one of the upstream, not of the request."""
    if failed.over:
        return False
    return failed.status is None or failed.status in _ITS_OWN or failed.status >= _SERVER_ERROR


def both_grants(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    """Return the entities both grants let the agent see (empty: all), `None` when none."""
    if one is None or other is None:
        return None
    if not one or not other:
        return one or other
    return (one & other) or None


def other_key(upstream_key: str, resource: str) -> str:
    """Return the idempotency key for another model: a provider must not take the two requests for one."""
    return hashlib.sha256(f"{upstream_key}/{resource}".encode()).hexdigest()[: max(32, len(upstream_key))]
