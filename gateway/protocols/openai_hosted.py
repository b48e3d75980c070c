"""What a request lets the provider do by itself: its own tools, connectors, and work that goes on unattended.

Each is a resource of its own, `model/<name>/hosted/<type>/<host or ->`, refused unless a line allows it, and
makes the call `once`: nobody knows what a provider's tool did (DESIGN section 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from gateway.model_request import bad_request, hosted, list_of
from gateway.providers.connectors import connector_host

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Tools the agent runs itself. A type that is not among them is the provider's.
_AGENTS_OWN: Final = frozenset({"function", "custom", "local_shell", "apply_patch"})
#: Fields by which a request makes the provider search, reach a data source, run tools or ask another model, in the
#: words of OpenAI and of those who speak its protocol (Azure, xAI, OpenRouter, Groq, Qwen, Cohere).
_REACHING: Final = {
    "web_search_options": "web_search", "data_sources": "data_sources", "search_parameters": "web_search",
    "enable_search": "web_search", "plugins": "plugins", "connectors": "connectors",
    "compound_custom": "compound_custom", "models": "fallback", "background": "background",
}  # fmt: skip


def hosted_resources(model: str, request: dict[str, object]) -> tuple[str, ...]:
    """Return the resources of what the provider itself would do. Raises `Refusal` for what has no usable name."""
    found = list(_of_tools(list_of(request, "tools"), untyped=""))
    for item in _objects(request.get("input")):
        found += _of_tools(item.get("tools"), untyped="function")  # tools that an item of the conversation brings
    for name, kind in _REACHING.items():
        if request.get(name) not in (None, False, [], 0):
            found.append((kind, "-"))
    return hosted(model, found)


def _of_tools(tools: object, *, untyped: str) -> Iterator[tuple[str, str]]:
    """Yield kind and place of the provider's tools; one without a type is `untyped`, else it must be a function."""
    for tool in _objects(tools):
        kind = tool.get("type", "function" if isinstance(tool.get("function"), dict) else untyped)
        if kind == "namespace":
            yield from _of_tools(tool.get("tools"), untyped=untyped)
        elif not isinstance(kind, str) or not kind:
            raise bad_request("a tool's `type` must be a string")
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
        raise bad_request(message)
    if tool.get("server_url") is None:
        return named[0]
    host = connector_host(named[0])
    if not host:
        raise bad_request("`server_url` must be an http or https URL")
    return host


def _objects(value: object) -> list[dict[str, object]]:
    if not isinstance(value, list):
        return []
    return [cast("dict[str, object]", item) for item in cast("list[object]", value) if isinstance(item, dict)]
