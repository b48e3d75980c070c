"""Headers that mirror arguments, for clients that know nothing of them (MCP 2026-07-28, SEP-2243).

A server of the newer era demands that arguments its tools mark stand in headers too. A client of the older
era does not send them; they are made from the tool's own schema, looked up before its first call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from mcp.shared.inbound import find_invalid_x_mcp_header, mcp_param_headers, x_mcp_header_map

from gateway.mcp.talk import Tree, member

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.call import Headers

HEADER_MISMATCH: Final = -32020
TOOLS_MAX: Final = 10_000
PAGES_MAX: Final = 50


def mirrorable(tool: Mapping[str, object]) -> bool:
    """Return whether a tool's marks for headers are usable; a client must leave out one whose marks are not."""
    return find_invalid_x_mcp_header(tool.get("inputSchema")) is None


class Parameters:
    """Which arguments of one server's tools stand in headers."""

    def __init__(self) -> None:
        self._maps: dict[str, Mapping[tuple[str, ...], str]] = {}
        #: whether the server was ever asked for its tools
        self.asked = False

    def learn(self, listing: Tree) -> None:
        """Take note of the tools of a `tools/list` result."""
        tools = listing.get("tools")
        for tool in cast("list[object]", tools) if isinstance(tools, list) else []:
            if isinstance(tool, dict) and len(self._maps) < TOOLS_MAX:
                named = cast("Tree", tool)
                found = x_mcp_header_map(named.get("inputSchema"))
                self._maps.pop(str(named.get("name")), None)
                if found:
                    self._maps[str(named.get("name"))] = found

    def headers(self, params: Tree) -> Headers:
        """Return the headers that mirror a call's arguments."""
        found = self._maps.get(str(params.get("name")))
        if found is None:
            return ()
        made = mcp_param_headers(found, member(params, "arguments"))
        return tuple((name.lower().encode(), value.encode("ascii")) for name, value in made.items())
