"""What all endpoints of model APIs read of a request in the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from gateway import body
from gateway.call import Refusal, header
from policy.resources import UnusableName, resource_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.call import Exchange, Headers
    from gateway.providers.provider import Dialect
    from gateway.providers.target import ModelTarget


def bad_request(message: str) -> Refusal:
    """Return the refusal of a request that cannot be read."""
    return Refusal(code="bad_request", message=message, status=400)


def read_object(exchange: Exchange, depth_max: int) -> dict[str, object]:
    """Return the JSON object in the body. Raises `Refusal` (400)."""
    try:
        tree = body.parse(exchange.body, depth_max=depth_max)
    except body.MalformedBody as error:
        raise bad_request(f"the body is not usable JSON: {error}") from None
    if not isinstance(tree, dict):
        raise bad_request("the body must be a JSON object")
    return cast("dict[str, object]", tree)


def find_target(models: Mapping[str, ModelTarget], model: object, dialect: Dialect | None = None) -> ModelTarget:
    """Return the configured model `model`, which must speak `dialect` where one is given.

    Raises `Refusal` (400, 404).
    """
    if not isinstance(model, str) or not model:
        raise bad_request("`model` must be a string")
    target = models.get(model)
    if target is None:
        raise Refusal(code="not_found", message="no such model is configured here", status=404)
    if dialect is not None:
        target.demand(dialect)
    return target


def read_stream(request: dict[str, object]) -> bool:
    """Return whether a stream is asked for. Raises `Refusal` (400)."""
    stream = request.get("stream", False)
    if not isinstance(stream, bool | None):
        raise bad_request("`stream` must be true or false")
    return bool(stream)


def model_resource(model: str) -> str:
    """Return the resource of a model. Raises `Refusal` (400)."""
    try:
        return resource_name("model", model)
    except UnusableName as error:
        raise bad_request(f"`model` cannot be used as a name: {error}") from None


def facts_of(target: ModelTarget, operation: str) -> dict[str, str | int | float | bool]:
    """Return the names that telemetry wants (OpenTelemetry GenAI)."""
    return {
        "gen_ai.operation.name": operation, "gen_ai.request.model": target.name,
        "gen_ai.provider.name": target.provider.convention,
    }  # fmt: skip


def forwarded(exchange: Exchange, names: frozenset[bytes]) -> Headers:
    """Return the caller's headers that mean something to the provider; no credential may be among `names`."""
    return tuple(pair for pair in exchange.headers if pair[0] in names)


def explicit_key(exchange: Exchange) -> str | None:
    """Return the caller's idempotency key."""
    value = header(exchange.headers, b"idempotency-key")
    return None if value is None else value.decode("latin-1")


def declares_retry(exchange: Exchange) -> bool:
    """Return whether the SDK says that it repeats a request."""
    count = header(exchange.headers, b"x-stainless-retry-count")
    return count is not None and count.isdigit() and int(count) > 0
