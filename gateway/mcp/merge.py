"""What several servers say, as one server says it (MCP 2026-07-28): lists, discovery, subscriptions."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, cast

from mcp_types import SERVER_INFO_META_KEY
from mcp_types.version import LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION

from gateway.config.likeness import skeleton
from gateway.mcp.eras import OWN_INFO
from gateway.mcp.message import LISTS
from gateway.mcp.names import SCHEME, SEPARATOR, joined_name, wrapped_uri
from gateway.mcp.talk import Tree, member

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

#: Which servers could not be asked, in a result's `_meta`.
UNAVAILABLE_META: Final = "dev.oncegate/unavailable"
#: Items that could be taken for others, or have no usable name here; read at the server's own endpoint.
LEFT_OUT_META: Final = "dev.oncegate/left-out"
#: Items of one server, and of one page of the merged list.
ITEMS_MAX: Final = 10_000
PAGE_ITEMS_MAX: Final = 1000
INSTRUCTIONS_CHARACTERS_MAX: Final = 16_384


def merged_list(
    method: str, pages: Mapping[str, Sequence[Tree]], unavailable: Sequence[str], servers: Collection[str]
) -> Tree:
    """Return one list result of the results of several servers, in the order of servers and names.

    What has no name of its own here, has one twice, or looks like another of its server is left out, and
    that is said. The list is its principal's own, and lives as long as its shortest-lived part.
    """
    place = LISTS[method]
    found: dict[str, Tree] = {}
    refused: set[str] = set()
    looks: dict[tuple[str, str], str] = {}
    for server in sorted(pages):
        for item in _items(pages[server], place):
            named = _named(method, server, item, servers)
            if named is None:
                refused.add(f"{server}{SEPARATOR}?")  # its own words may be made to mislead
                continue
            key, renamed = named
            look = (server, skeleton(key) if place in {"tools", "prompts"} else key)
            if key in found or looks.setdefault(look, key) != key:
                refused |= {key, looks[look]}
            found[key] = renamed
    listed = [found[key] for key in sorted(found, key=lambda key: (_server_of(key), key)) if key not in refused]
    parts = [page for many in pages.values() for page in many]
    return _private({place: listed}, parts, {UNAVAILABLE_META: unavailable, LEFT_OUT_META: sorted(refused)})


def page_of(method: str, listed: Tree, cursor: object) -> Tree | None:
    """Return the part of a merged list that `cursor` asks for, `None` when it belongs to no such list.

    A cursor names the last item of the page before: it means the same after a restart and on every instance.
    """
    items = cast("list[Tree]", listed[LISTS[method]])
    begin = 0
    if cursor is not None:
        begin = next((at for at, item in enumerate(items, 1) if _cursor(item) == cursor), -1)
    if begin < 0:
        return None
    end = begin + PAGE_ITEMS_MAX
    page = listed | {LISTS[method]: items[begin:end]}
    return page | {"nextCursor": _cursor(items[end - 1])} if end < len(items) else page


def count_items(method: str, page: Tree) -> int:
    """Return how many items a server's page has."""
    items = page.get(LISTS.get(method, ""))
    return len(cast("list[object]", items)) if isinstance(items, list) else 0


def _cursor(item: Tree) -> str:
    name = str(item.get("uri") or item.get("uriTemplate") or item.get("name"))
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _items(pages: Sequence[Tree], place: str) -> Iterator[Tree]:
    for page in pages:
        items = page.get(place)
        for item in cast("list[object]", items) if isinstance(items, list) else []:
            if isinstance(item, dict):
                yield cast("Tree", item)


def _server_of(key: str) -> str:
    return key.removeprefix(SCHEME).partition("/")[0] if key.startswith(SCHEME) else key.partition(SEPARATOR)[0]


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
    return _private(result, list(found.values()), {UNAVAILABLE_META: unavailable})


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


def _private(result: Tree, parts: Sequence[Tree], missing: Mapping[str, Sequence[str]]) -> Tree:
    lives = [life if isinstance(life := part.get("ttlMs"), int) else 0 for part in parts]
    meta: Tree = {SERVER_INFO_META_KEY: OWN_INFO}
    meta |= {name: sorted(said) for name, said in missing.items() if said}
    whole: Tree = {"resultType": "complete", **result, "cacheScope": "private", "_meta": meta}
    # what could not be asked is asked again by the next one who wants to know
    return whole | {"ttlMs": 0 if missing.get(UNAVAILABLE_META) else max(0, min(lives, default=0))}
