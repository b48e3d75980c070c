"""What all endpoints of model APIs read of a request in the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from gateway import body, header_values, refusals
from gateway.call import Refusal, header
from gateway.providers.linked import linked
from policy.resources import UnusableName, resource_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.call import Exchange, Headers
    from gateway.providers.provider import Dialect
    from gateway.providers.target import ModelTarget

#: By which requests ask for an answer at another price (OpenAI and Anthropic API references; `speed`: fast mode).
_TIERS: Final = ("service_tier", "speed")
#: What an operator's account is set to, or no dearer than that.
_USUAL_TIERS: Final = frozenset({"auto", "default", "standard", "standard_only", "flex", "on_demand"})


def bad_request(message: str) -> Refusal:
    """Return the refusal of a request that cannot be read."""
    return Refusal(code="bad_request", message=message, status=400)


def read_object(exchange: Exchange, depth_max: int) -> dict[str, object]:
    """Return the JSON object in the body of a POST. Raises `Refusal` (400, 405)."""
    if exchange.method != "POST":  # what has an effect is asked for by nothing that promises to have none
        raise refusals.wrong_method("POST", "use POST")
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


def hosted(model: str, found: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return the resources of what a provider itself does, from pairs of kind and place (empty: none), each once.

    Raises `Refusal` (400) for what has no usable name.
    """
    try:
        return tuple({resource_name("model", model, "hosted", kind, place or "-"): None for kind, place in found})
    except UnusableName as error:
        message = f"a tool's `type`, or what it reaches, cannot be used as a name: {error}"
        raise bad_request(message) from None


def fetched(model: str, exchange: Exchange, request: dict[str, object]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the resources of what the provider would fetch for a request, and where it is named (JSON pointers).

    Raises `Refusal` (400) for a URL that could be read in two ways.
    """
    found = linked(exchange.body, request)
    for place, host in found:
        if not host:
            raise bad_request(f"the URL at `{place[:100]}` could be read in two ways; write it plainly, without a user")
    return hosted(model, (("fetch", host) for _, host in found)), tuple(place for place, _ in found)


def tiers(model: str, request: dict[str, object]) -> tuple[str, ...]:
    """Return the resources of the dearer tiers a request asks for: what they cost is not what `price` says.

    A value that is not known to be of the usual price counts as dearer. Raises `Refusal` (400).
    """
    asked = [str(request[name]) for name in _TIERS if request.get(name) is not None]
    try:
        return tuple({resource_name("model", model, "tier", one): None for one in asked if one not in _USUAL_TIERS})
    except UnusableName as error:
        raise bad_request(f"a tier cannot be used as a name: {error}") from None


def list_of(request: dict[str, object], name: str) -> list[object]:
    """Return the list `name` of a request, empty where it is absent. Raises `Refusal` (400) for anything else.

    What is no list here could be one to a lenient server.
    """
    value = request.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise bad_request(f"`{name}` must be a list")
    return cast("list[object]", value)


def facts_of(target: ModelTarget, operation: str) -> dict[str, str | int | float | bool]:
    """Return the names that telemetry wants (OpenTelemetry GenAI)."""
    return {
        "gen_ai.operation.name": operation, "gen_ai.request.model": target.name,
        "gen_ai.provider.name": target.provider.convention,
    }  # fmt: skip


def forwarded(exchange: Exchange, names: frozenset[bytes]) -> Headers:
    """Return the caller's headers that mean something to the provider; no credential may be among `names`."""
    return tuple(pair for pair in exchange.headers if pair[0] in names and header_values.passes(pair[1]))


def explicit_key(exchange: Exchange) -> str | None:
    """Return the caller's idempotency key."""
    value = header(exchange.headers, b"idempotency-key")
    return None if value is None else value.decode("latin-1")


def declares_retry(exchange: Exchange) -> bool:
    """Return whether the SDK says that it repeats a request."""
    count = header(exchange.headers, b"x-stainless-retry-count")
    return count is not None and count.isdigit() and int(count) > 0
