"""What langchain-mcp-adapters sees at the URLs of its first argument, as JSON; run by its environment."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from typing import Any

#: named like this because they are in an environment of their own (scripts/mcp-peers)
adapters: Any = importlib.import_module("langchain_mcp_adapters.client")
failure: type[Exception] = importlib.import_module("langchain_core.tools").ToolException


async def seen(asked: dict[str, Any]) -> dict[str, Any]:
    connections = {"one": {"url": asked["url"], "transport": "streamable_http"}}
    client = adapters.MultiServerMCPClient(connections, handle_tool_errors=False)
    tools: dict[str, Any] = {tool.name: tool for tool in await client.get_tools()}
    answers: list[Any] = []
    for name, arguments in asked["calls"]:
        try:
            result = await tools[name].ainvoke(arguments)
            answers.append({"text": result if isinstance(result, str) else result[0]["text"], "failed": False})
        except failure as error:
            answers.append({"text": str(error), "failed": True})
    return {"tools": list(tools), "answers": answers}


async def main() -> None:
    found = [await seen(asked) for asked in json.loads(sys.argv[1])]
    sys.stdout.write(json.dumps(found))


asyncio.run(main())
