"""A real MCP server whose one tool counts: each line of `effects` is one. While `hold-<order>` exists, it waits.

`python -m tests.engines.counting_tool FOLDER` says its port as a line.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from mcp.server import MCPServer

from gateway.demo.serving import serve

_HOLD_SECONDS_MAX = 40
_LOOK_SECONDS = 0.02


def counting(folder: Path) -> MCPServer[object]:
    """Return the server."""
    server: MCPServer[object] = MCPServer("counting", version="1")

    @server.tool()
    async def charge(order: str) -> str:
        """Charge an order; every call charges."""
        number, hold = await asyncio.to_thread(_count, folder / "effects", order), folder / f"hold-{order}"
        for _ in range(int(_HOLD_SECONDS_MAX / _LOOK_SECONDS)):
            if not await asyncio.to_thread(hold.exists):
                break
            await asyncio.sleep(_LOOK_SECONDS)
        return f"charge {number} of {order}"

    del charge
    return server


def _count(effects: Path, order: str) -> int:
    with effects.open("a", encoding="utf-8") as file:
        file.write(f"{order}\n")
    return effects.read_text(encoding="utf-8").splitlines().count(order)


if __name__ == "__main__":
    serve(counting(Path(sys.argv[1])).streamable_http_app(stateless_http=True, json_response=True), 0)
