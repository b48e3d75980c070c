"""What a request lets the provider do by itself: its own tools, connectors, and work that goes on unattended.

Each is a resource of its own, `model/<name>/hosted/<type>/<host or ->`, refused unless a line allows it, and
makes the call `once`: nobody knows what a provider's tool did (DESIGN section 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from gateway.call import Refusal
from gateway.providers.connectors import connector_host
from policy.resources import UnusableName, resource_name

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Tools the agent runs itself. A type that is not among them is the provider's.
_AGENTS_OWN: Final = frozenset({"function", "custom", "local_shell", "apply_patch"})


def hosted_resources(model: str, request: dict[str, object]) -> tuple[str, ...]:
    """Return the resources of what the provider itself would do. Raises `Refusal` for what has no usable name."""
    found = list(_of_tools(request.get("tools")))
    for item in _objects(request.get("input")):
        found += _of_tools(item.get("tools"))  # tools that an item of the conversation brings along
    if request.get("web_search_options") is not None:
        found.append(("web_search", "-"))
    if request.get("background"):
        found.append(("background", "-"))
    try:
        return tuple(dict.fromkeys(resource_name("model", model, "hosted", kind, host or "-") for kind, host in found))
    except UnusableName as error:
        raise Refusal(
            code="bad_request", message=f"a tool's `type` or host cannot be used as a name: {error}", status=400
        ) from None


def _of_tools(tools: object) -> Iterator[tuple[str, str]]:
    for tool in _objects(tools):
        kind = tool.get("type", "function")
        if kind == "namespace":
            yield from _of_tools(tool.get("tools"))
        elif not isinstance(kind, str):
            raise Refusal(code="bad_request", message="a tool's `type` must be a string", status=400)
        elif kind not in _AGENTS_OWN and not _run_by_agent(kind, tool):
            yield kind, _host(tool) if kind == "mcp" else "-"


def _run_by_agent(kind: str, tool: dict[str, object]) -> bool:
    if kind == "tool_search":
        return tool.get("execution") == "client"
    environment = tool.get("environment")
    local = isinstance(environment, dict) and cast("dict[str, object]", environment).get("type") == "local"
    return kind == "shell" and local


def _host(tool: dict[str, object]) -> str:
    """Return whom a connector speaks to: the server's host, or the connector's or tunnel's name."""
    named = [tool[key] for key in ("server_url", "connector_id", "tunnel_id") if tool.get(key) is not None]
    if not named:
        return "-"  # the provider refuses it
    if len(named) > 1 or not isinstance(named[0], str) or not named[0]:
        message = "a tool of type `mcp` has one of `server_url`, `connector_id` and `tunnel_id`"
        raise Refusal(code="bad_request", message=message, status=400)
    if tool.get("server_url") is None:
        return named[0]
    host = connector_host(named[0])
    if not host:
        raise Refusal(code="bad_request", message="`server_url` must be an http or https URL", status=400)
    return host


def _objects(value: object) -> list[dict[str, object]]:
    if not isinstance(value, list):
        return []
    return [cast("dict[str, object]", item) for item in cast("list[object]", value) if isinstance(item, dict)]
