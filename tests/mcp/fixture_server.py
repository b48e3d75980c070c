"""The fixture: a server that does all MCP knows, with the names the conformance suite calls, in both eras.

`python -m tests.mcp.fixture_server --port 0` serves Streamable HTTP on loopback and says its port as a
line; without `--port` it speaks over its standard streams. Effects are lines of `--effects`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import warnings
from pathlib import Path
from typing import Any, Final, cast

from mcp.server.caching import CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from mcp.shared.subscriptions import PromptsListChanged, ToolsListChanged
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    InputRequiredResult,
    JSONRPCMessage,
    ListToolsResult,
    TextContent,
    Tool,
    ToolAnnotations,
)

from gateway.demo.serving import serve
from tests.mcp import fixture_offers as offers
from tests.mcp.fixture_rounds import (
    CONTACT_FORM,
    DEFAULTS_FORM,
    ENUMS_FORM,
    ROUNDS,
    Answer,
    ask_in_stream,
    mail_in_stream,
    said,
    sample_in_stream,
)

Context = ServerRequestContext[Any, Any]

_SOUND: Final = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
_STEP_SECONDS: Final = 0.05
_HOLD_SECONDS: Final = 60.0
_LATE_SECONDS: Final = 0.8

_NOTHING: Final[dict[str, Any]] = {"type": "object", "properties": {}}
_ONE_TEXT: Final = {
    name: {"type": "object", "properties": {name: {"type": "string"}}} for name in ("prompt", "message")
}
_MIRRORED: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "priority": {"type": "integer", "x-mcp-header": "Priority"},
    },
}
_FULL_SCHEMA: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {"address": {"$anchor": "address", "type": "object", "properties": {"city": {"type": "string"}}}},
    "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}, "by": {"enum": ["a", "b"]}},
    "allOf": [{"anyOf": [{"required": ["name"]}, {"required": ["address"]}]}],
    "if": {"properties": {"by": {"const": "a"}}},
    "then": {"required": ["name"]},
    "else": {"required": ["address"]},
    "additionalProperties": False,
}
_SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "test_sampling": _ONE_TEXT["prompt"],
    "test_elicitation": _ONE_TEXT["message"],
    "test_custom_headers": _MIRRORED,
    "json_schema_2020_12_tool": _FULL_SCHEMA,
    "effect": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
    "hold": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
    "late": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
    "late_once": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
    "echo": {"type": "object"},
}
_CACHEABLE: Final = (
    "tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read", "server/discover",
)  # fmt: skip
_PLAIN: Final = (
    "test_simple_text", "test_image_content", "test_audio_content", "test_embedded_resource",
    "test_multiple_content_types", "test_tool_with_logging", "test_logging_tool", "test_tool_with_progress",
    "test_error_handling", "test_reconnection", "test_elicitation_sep1034_defaults", "test_elicitation_sep1330_enums",
    "test_trigger_tool_change", "test_trigger_prompt_change", "contact_in_stream", "mail_in_stream",
)  # fmt: skip


class Events(EventStore):
    """Events of streams, so that a client can come back for the rest."""

    def __init__(self) -> None:
        self._events: list[tuple[str, JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        self._events.append((stream_id, message))
        return str(len(self._events))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        if not last_event_id.isdigit() or not 0 < int(last_event_id) <= len(self._events):
            return None
        stream = self._events[int(last_event_id) - 1][0]
        for number, (owner, message) in enumerate(self._events, start=1):
            if owner == stream and number > int(last_event_id) and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


class Everything:
    """The fixture's handlers. `effects` is where effects are counted."""

    def __init__(self, effects: Path | None) -> None:
        self._effects = effects
        self.bus = InMemorySubscriptionBus()

    async def list_tools(self, _ctx: Context, _params: object) -> ListToolsResult:
        names = [*_PLAIN, *ROUNDS, *_SCHEMAS]
        hints = {"echo": ToolAnnotations(read_only_hint=True), "effect": ToolAnnotations(idempotent_hint=False)}
        return ListToolsResult(
            tools=[
                Tool(
                    name=name, description=f"The fixture's {name}.", input_schema=_SCHEMAS.get(name, _NOTHING),
                    annotations=hints.get(name),
                )
                for name in names
            ]
        )  # fmt: skip

    async def call_tool(self, ctx: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
        if (rounds := ROUNDS.get(params.name)) is not None:
            answer = await rounds(ctx, params)
            if params.name == "contact_in_rounds" and isinstance(answer, CallToolResult):
                self._count(f"contact {cast('TextContent', answer.content[0]).text}")
            if params.name == "mail_in_rounds" and isinstance(answer, CallToolResult):
                self._count(f"mail {cast('TextContent', answer.content[0]).text}")
            return answer
        if (content := _CONTENT.get(params.name)) is not None:
            return CallToolResult.model_validate({"content": content})
        doing = getattr(self, f"_{params.name}", None)
        if doing is None:
            raise MCPError(INVALID_PARAMS, f"there is no tool {params.name}")
        return cast("CallToolResult", await doing(ctx, params.arguments or {}))

    async def _test_error_handling(self, _ctx: Context, _arguments: object) -> Answer:
        return CallToolResult(content=[TextContent(text="This tool intentionally returns an error for testing")],
                              is_error=True)  # fmt: skip

    async def _test_tool_with_logging(self, ctx: Context, _arguments: object) -> Answer:
        for text in ("started", "processing data", "completed"):
            await _log(ctx, f"Tool execution {text}")
            await asyncio.sleep(_STEP_SECONDS)
        return said("Tool with logging executed successfully")

    async def _test_logging_tool(self, ctx: Context, _arguments: object) -> Answer:
        await _log(ctx, "one line")
        return said("logged, if that was asked for")

    async def _test_tool_with_progress(self, ctx: Context, _arguments: object) -> Answer:
        for step in (0, 50, 100):
            await ctx.session.report_progress(step, 100, f"Completed step {step} of 100")
            await asyncio.sleep(_STEP_SECONDS)
        return said(str((ctx.meta or {}).get("progress_token", 0)))

    async def _test_sampling(self, ctx: Context, arguments: dict[str, Any]) -> Answer:
        return await sample_in_stream(ctx, str(arguments.get("prompt", "")))

    async def _test_elicitation(self, ctx: Context, arguments: dict[str, Any]) -> Answer:
        form = {"type": "object", "properties": {"response": {"type": "string"}}, "required": ["response"]}
        return await ask_in_stream(ctx, str(arguments.get("message", "")), form)

    async def _test_elicitation_sep1034_defaults(self, ctx: Context, _arguments: object) -> Answer:
        return await ask_in_stream(ctx, "Please look over the form", DEFAULTS_FORM)

    async def _test_elicitation_sep1330_enums(self, ctx: Context, _arguments: object) -> Answer:
        return await ask_in_stream(ctx, "Please choose", ENUMS_FORM)

    async def _contact_in_stream(self, ctx: Context, _arguments: object) -> Answer:
        try:
            answer = await ctx.session.elicit_form("Whom?", CONTACT_FORM, ctx.request_id)
        except MCPError as error:
            self._count(f"no contact: {error}")
            raise
        self._count(f"contact {json.dumps(answer.content)}")
        return said("thanks")

    async def _mail_in_stream(self, ctx: Context, _arguments: object) -> Answer:
        answer = await mail_in_stream(ctx)
        self._count(f"mail {cast('TextContent', answer.content[0]).text}")
        return answer

    async def _test_reconnection(self, ctx: Context, _arguments: object) -> Answer:
        if ctx.close_sse_stream is not None:
            await ctx.close_sse_stream()
        await asyncio.sleep(4 * _STEP_SECONDS)
        return said("the rest was fetched")

    async def _test_trigger_tool_change(self, _ctx: Context, _arguments: object) -> Answer:
        await self.bus.publish(ToolsListChanged())
        return said("the tools have changed")

    async def _test_trigger_prompt_change(self, _ctx: Context, _arguments: object) -> Answer:
        await self.bus.publish(PromptsListChanged())
        return said("the prompts have changed")

    async def _test_custom_headers(self, ctx: Context, arguments: dict[str, Any]) -> Answer:
        return await self._echo(ctx, arguments)

    async def _json_schema_2020_12_tool(self, ctx: Context, arguments: dict[str, Any]) -> Answer:
        return await self._echo(ctx, arguments)

    async def _echo(self, ctx: Context, arguments: dict[str, Any]) -> Answer:
        """Return what arrived: arguments, `_meta` and, over HTTP, the headers."""
        headers = {} if ctx.request is None else dict(ctx.request.headers)
        seen = {"arguments": arguments, "meta": dict((ctx.params or {}).get("_meta", {})), "headers": headers}
        return said(json.dumps(seen))

    async def _effect(self, _ctx: Context, arguments: dict[str, Any]) -> Answer:
        self._count(str(arguments["word"]))
        return said(f"done: {arguments['word']}")

    async def _late(self, _ctx: Context, arguments: dict[str, Any]) -> Answer:
        """Begin, and be done a little later."""
        word = str(arguments["word"])
        self._count(f"begun {word}")
        await asyncio.sleep(_LATE_SECONDS)
        self._count(f"done {word}")
        return said(f"done: {word}")

    async def _late_once(self, ctx: Context, arguments: dict[str, Any]) -> Answer:
        """Do as `late` does; another name for another effect class."""
        return await self._late(ctx, arguments)

    async def _hold(self, ctx: Context, arguments: dict[str, Any]) -> Answer:
        """Begin, say so, then answer only after long; cancelling is counted as well."""
        word = str(arguments["word"])
        self._count(f"begun {word}")
        await ctx.session.report_progress(0, 1, "begun")
        try:
            await asyncio.sleep(_HOLD_SECONDS)
        except asyncio.CancelledError:
            self._count(f"cancelled {word}")
            raise
        return said("at last")

    def _count(self, line: str) -> None:
        if self._effects is None:
            return
        descriptor = os.open(self._effects, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, f"{line}\n".encode())
        finally:
            os.close(descriptor)


async def _log(ctx: Context, text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        await ctx.session.send_log_message("info", text, related_request_id=ctx.request_id)  # pyright: ignore[reportDeprecated] - the older era logs


def _embedded(uri: str, media: str, text: str) -> dict[str, Any]:
    return {"type": "resource", "resource": {"uri": uri, "mimeType": media, "text": text}}


_CONTENT: Final[dict[str, list[dict[str, Any]]]] = {
    "test_simple_text": [{"type": "text", "text": "This is a simple text response for testing."}],
    "test_image_content": [{"type": "image", "data": offers.PIXEL, "mimeType": "image/png"}],
    "test_audio_content": [{"type": "audio", "data": _SOUND, "mimeType": "audio/wav"}],
    "test_embedded_resource": [
        _embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")
    ],
    "test_multiple_content_types": [
        {"type": "text", "text": "Multiple content types test:"},
        {"type": "image", "data": offers.PIXEL, "mimeType": "image/png"},
        _embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
    ],
}


def everything(effects: Path | None = None) -> Server[Any]:
    """Return the fixture as a server."""
    offered = Everything(effects)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        server: Server[Any] = Server(  # pyright: ignore[reportDeprecated] - the older era has a log level
            "everything", version="1", instructions="The fixture.",
            cache_hints={name: CacheHint(ttl_ms=60_000, scope="public") for name in _CACHEABLE},
            get_tool_input_schema=lambda name: _SCHEMAS.get(name, _NOTHING),
            on_list_tools=offered.list_tools, on_call_tool=offered.call_tool,
            on_list_resources=offers.list_resources, on_list_resource_templates=offers.list_templates,
            on_read_resource=offers.read_resource, on_subscribe_resource=offers.nothing_more,
            on_unsubscribe_resource=offers.nothing_more, on_subscriptions_listen=ListenHandler(offered.bus),
            on_list_prompts=offers.list_prompts, on_get_prompt=offers.get_prompt, on_completion=offers.complete,
            on_set_logging_level=offers.nothing_more,
        )  # fmt: skip
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience="everything"))
    return server


async def _speak(server: Server[Any]) -> None:
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description="A server that does all MCP knows.")
    parser.add_argument("--port", type=int, default=None)
    parser.add_argument("--effects", type=Path, default=None)
    options = parser.parse_args()
    server = everything(cast("Path | None", options.effects))
    port = cast("int | None", options.port)
    if port is None:
        asyncio.run(_speak(server))
    else:
        serve(server.streamable_http_app(event_store=Events(), retry_interval=100), port)


if __name__ == "__main__":
    main()
