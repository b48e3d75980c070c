"""What calls cost, by the file's prices; unknown prices stay unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from policy.resources import resource_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.config import Model, Price

_MILLION = 1_000_000


def price_of(models: Mapping[str, Model]) -> Callable[[str, Mapping[str, int]], float | None]:
    """Return what tells the US dollars of a call from its resource and usage, `None` when no price is known."""
    prices = {resource_name("model", name): model.price for name, model in models.items() if model.price is not None}

    def cost(resource: str, usage: Mapping[str, int]) -> float | None:
        price = prices.get(resource)
        if price is None or not usage:
            return None
        return usd(price, usage)

    return cost


def usd(price: Price, usage: Mapping[str, int]) -> float:
    """Return the US dollars that `usage` (tokens) costs at `price` (per million)."""
    cached = usage.get("cached_input_tokens", 0) if price.cached_input_usd is not None else 0
    kept = usage.get("cache_write_tokens", 0) if price.cache_write_usd is not None else 0
    fresh = max(0, usage.get("input_tokens", 0) - cached - kept)
    total = fresh * price.input_usd + usage.get("output_tokens", 0) * price.output_usd
    return (total + cached * (price.cached_input_usd or 0.0) + kept * (price.cache_write_usd or 0.0)) / _MILLION
