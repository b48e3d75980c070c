"""A server whose definitions are a file: it shows what stands there now, and notes each call it executes.

`python -m tests.definitions.changing_server FOLDER` serves Streamable HTTP on loopback, both eras, and says
its port as a line; with `--spoken` it speaks over its standard streams. `FOLDER/shown.json` has `tools`,
`prompts`, `templates`, `instructions` and `results` by tool; each call is a line of `FOLDER/calls.txt`. A tool among
`hanging` executes its call and never answers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any, cast

import anyio
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    GetPromptResult,
    ListPromptsResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    Prompt,
    ResourceTemplate,
    TextContent,
    Tool,
)

from gateway.demo.serving import serve


class Changing:
    """The server's state is its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def shown(self) -> dict[str, Any]:
        """Return what the file says now."""
        return cast("dict[str, Any]", json.loads((self.folder / "shown.json").read_text(encoding="utf-8")))

    async def list_tools(self, ctx: object, params: object) -> ListToolsResult:
        """Show the tools."""
        del ctx, params
        return ListToolsResult(tools=[Tool.model_validate(one) for one in self.shown()["tools"]])

    async def list_prompts(self, ctx: object, params: object) -> ListPromptsResult:
        """Show the prompts."""
        del ctx, params
        return ListPromptsResult(prompts=[Prompt.model_validate(one) for one in self.shown().get("prompts", [])])

    async def get_prompt(self, ctx: object, params: object) -> GetPromptResult:
        """Give a prompt of nothing."""
        del ctx, params
        return GetPromptResult(messages=[])

    async def list_templates(self, ctx: object, params: object) -> ListResourceTemplatesResult:
        """Show the resource templates."""
        del ctx, params
        found = self.shown().get("templates", [])
        return ListResourceTemplatesResult(resource_templates=[ResourceTemplate.model_validate(one) for one in found])

    async def call_tool(self, ctx: object, params: CallToolRequestParams) -> CallToolResult:
        """Execute a call."""
        del ctx
        with (self.folder / "calls.txt").open("a", encoding="utf-8") as effects:
            effects.write(f"{params.name} {json.dumps(params.arguments or {}, sort_keys=True)}\n")
        if params.name in self.shown().get("hanging", []):
            await anyio.sleep_forever()
        structured = self.shown().get("results", {}).get(params.name)
        return CallToolResult(content=[TextContent(text="done")], structured_content=structured)


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description="A server whose definitions are a file.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--spoken", action="store_true")
    options = parser.parse_args()
    one = Changing(cast("Path", options.folder))
    server: Server[Any] = Server(
        "changing", version="1", instructions=one.shown().get("instructions"), on_list_tools=one.list_tools,
        on_call_tool=one.call_tool, on_list_prompts=one.list_prompts, on_get_prompt=one.get_prompt,
        on_list_resource_templates=one.list_templates,
    )  # fmt: skip
    if options.spoken:
        asyncio.run(_speak(server))
    else:
        serve(server.streamable_http_app(), 0)


async def _speak(server: Server[Any]) -> None:
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


if __name__ == "__main__":
    main()
