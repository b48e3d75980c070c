"""What a server written by hand says of itself: that it speaks the newer era, and which tools it has."""

from __future__ import annotations

from typing import Any

from tests.mcp.wire import MODERN, Tree


def introduced(asked: Any, *tools: str) -> Tree | None:
    """Return the response to a message that asks what a server is, `None` to one that is for the server itself."""
    match asked.get("method"):
        case "server/discover":
            result: Tree = {"resultType": "complete", "supportedVersions": [MODERN], "capabilities": {"tools": {}}}
        case "tools/list":
            listed = [{"name": name, "inputSchema": {"type": "object"}} for name in tools]
            result = {"resultType": "complete", "tools": listed, "ttlMs": 0, "cacheScope": "private"}
        case _:
            return None
    return {"jsonrpc": "2.0", "id": asked.get("id"), "result": result}
