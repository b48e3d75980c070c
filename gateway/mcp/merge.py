"""What several servers say, as one server says it (MCP 2026-07-28): lists, discovery, subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from mcp_types import SERVER_INFO_META_KEY
from mcp_types.version import LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION

from gateway.mcp.eras import OWN_INFO
from gateway.mcp.message import LISTS
from gateway.mcp.names import joined_name, wrapped_uri
from gateway.mcp.talk import Tree, member

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

#: Which servers could not be asked, in a result's `_meta`.
UNAVAILABLE_META: Final = "dev.oncegate/unavailable"
ITEMS_MAX: Final = 10_000
INSTRUCTIONS_CHARACTERS_MAX: Final = 16_384


def merged_list(
    method: str, pages: Mapping[str, Sequence[Tree]], unavailable: Sequence[str], servers: Collection[str]
) -> Tree:
    """Return one list result of the results of several servers, in the order of their names.

    What has no name of its own here, or would have one twice, is left out. The list is its principal's
    own, and lives as long as its shortest-lived part.
    """
    place = LISTS[method]
    found: dict[str, Tree] = {}
    twice: set[str] = set()
    for server in sorted(pages):
        for page in pages[server]:
            items = page.get(place)
            for item in cast("list[object]", items) if isinstance(items, list) else []:
                if not isinstance(item, dict):
                    continue
                named = _named(method, server, cast("Tree", item), servers)
                if named is None:
                    continue
                key, renamed = named
                if key in found:
                    twice.add(key)
                found[key] = renamed
    listed = [item for key, item in found.items() if key not in twice][:ITEMS_MAX]
    return _private({place: listed}, [page for many in pages.values() for page in many], unavailable)


def merged_discovery(found: Mapping[str, Tree], unavailable: Sequence[str]) -> Tree:
    """Return what the joined endpoint says of itself: all that any of the servers can do."""
    capabilities: Tree = {}
    instructions: list[str] = []
    for server in sorted(found):
        for name, said in member(found[server], "capabilities").items():
            if name in {"tools", "prompts", "resources", "completions", "logging"}:
                known = member(capabilities, name)
                told = cast("Tree", said) if isinstance(said, dict) else {}
                capabilities[name] = known | {key: True for key, value in told.items() if value is True}
        text = found[server].get("instructions")
        room = INSTRUCTIONS_CHARACTERS_MAX - sum(len(known) for known in instructions)
        if isinstance(text, str) and text.strip() and len(text) < room:  # all of a server's, or none
            instructions.append(f"[{server}] {text}")
    result: Tree = {
        "supportedVersions": [LATEST_MODERN_VERSION, LATEST_HANDSHAKE_VERSION],
        "capabilities": capabilities,
    }
    if instructions:
        result["instructions"] = "\n\n".join(instructions)
    return _private(result, list(found.values()), unavailable)


def _named(method: str, server: str, item: Tree, servers: Collection[str]) -> tuple[str, Tree] | None:
    if method in {"tools/list", "prompts/list"}:
        name = joined_name(server, item.get("name"), servers)
        return None if name is None else (name, item | {"name": name})
    place = "uri" if method == "resources/list" else "uriTemplate"
    uri = item.get(place)
    if not isinstance(uri, str):
        return None
    wrapped = wrapped_uri(server, uri)
    return wrapped, item | {place: wrapped}


def _private(result: Tree, parts: Sequence[Tree], unavailable: Sequence[str]) -> Tree:
    lives = [life for part in parts if isinstance(life := part.get("ttlMs", 0), int)]
    meta: Tree = {SERVER_INFO_META_KEY: OWN_INFO}
    if unavailable:
        meta[UNAVAILABLE_META] = sorted(unavailable)
    whole: Tree = {"resultType": "complete", **result, "cacheScope": "private", "_meta": meta}
    return whole | {"ttlMs": 0 if unavailable else min(lives, default=0)}
