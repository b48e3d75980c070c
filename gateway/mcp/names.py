"""Names at the joined endpoint: which server's a thing is stands in its name, both ways without loss.

`server__tool` for tools and prompts, `oncegate://<server>/<uri>` for resources and their templates. A name
that could be two things is none (G19): a server's name holds no `__`, and what remains ambiguous is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, cast

from gateway.mcp.talk import Tree, member

if TYPE_CHECKING:
    from collections.abc import Collection

SEPARATOR: Final = "__"
SCHEME: Final = "oncegate://"
#: What tool names may be made of (MCP 2025-11-25, tools); others would look like something they are not.
_NAME: Final = re.compile(r"[A-Za-z0-9_.\-]{1,128}")
#: Result members with resources in them, by method.
_CONTENT: Final = {"tools/call": "content", "resources/read": "contents", "prompts/get": "messages"}


def joined_name(server: str, name: object, servers: Collection[str]) -> str | None:
    """Return the name of a tool or prompt at the joined endpoint, `None` when it can have none."""
    if not isinstance(name, str):
        return None
    joined = f"{server}{SEPARATOR}{name}"
    return joined if split_name(joined, servers) == (server, name) else None


def split_name(joined: object, servers: Collection[str]) -> tuple[str, str] | None:
    """Return server and own name of `joined`, `None` when it is not one of exactly one server's."""
    if not isinstance(joined, str) or _NAME.fullmatch(joined) is None:
        return None
    found = [name for name in servers if joined.startswith(name + SEPARATOR)]
    if len(found) != 1 or not (own := joined.removeprefix(found[0] + SEPARATOR)):
        return None
    return found[0], own


def wrapped_uri(server: str, uri: str) -> str:
    """Return a resource's URI, or its template, at the joined endpoint."""
    return f"{SCHEME}{server}/{uri}"


def unwrapped_uri(uri: object, servers: Collection[str]) -> tuple[str, str] | None:
    """Return server and own URI of a wrapped one, `None` when it is none."""
    if not isinstance(uri, str) or not uri.startswith(SCHEME):
        return None
    server, slash, own = uri.removeprefix(SCHEME).partition("/")
    return (server, own) if slash and own and server in servers else None


def with_wrapped_uris(server: str, method: str, result: Tree) -> Tree:
    """Return a result with each resource in it named as at the joined endpoint; the same object without any."""
    place = _CONTENT.get(method)
    items = result.get(place) if place is not None else None
    if not isinstance(items, list):
        return result
    fresh = [_item(server, method, item) for item in cast("list[object]", items)]
    return result | {cast("str", place): fresh}


def _item(server: str, method: str, item: object) -> object:
    if not isinstance(item, dict):
        return item
    named = cast("Tree", item)
    if method == "prompts/get":
        content = named.get("content")
        return named | {"content": _content(server, cast("Tree", content))} if isinstance(content, dict) else named
    return _with_uri(server, named) if method == "resources/read" else _content(server, named)


def _content(server: str, content: Tree) -> Tree:
    if content.get("type") == "resource_link":
        return _with_uri(server, content)
    if content.get("type") == "resource":
        return content | {"resource": _with_uri(server, member(content, "resource"))}
    return content


def _with_uri(server: str, named: Tree) -> Tree:
    uri = named.get("uri")
    return named | {"uri": wrapped_uri(server, uri)} if isinstance(uri, str) else named
