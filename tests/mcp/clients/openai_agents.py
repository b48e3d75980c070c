"""What the OpenAI Agents SDK's MCP client sees at the URLs of its first argument, as JSON; run by its environment."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from typing import Any

#: named like this because it is in an environment of its own (scripts/mcp-peers)
mcp: Any = importlib.import_module("agents.mcp")


async def seen(asked: dict[str, Any]) -> dict[str, Any]:
    async with mcp.MCPServerStreamableHttp({"url": asked["url"]}, client_session_timeout_seconds=30) as server:
        tools = [tool.name for tool in await server.list_tools()]
        answers: list[Any] = []
        for tool, arguments in asked["calls"]:
            result = await server.call_tool(tool, arguments)
            answers.append({"text": result.content[0].text, "failed": bool(result.is_error)})
    return {"tools": tools, "answers": answers}


async def main() -> None:
    found = [await seen(asked) for asked in json.loads(sys.argv[1])]
    sys.stdout.write(json.dumps(found))


asyncio.run(main())
