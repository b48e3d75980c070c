"""The official client and reference servers, unmodified, with the gateway between them."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, cast

import pytest
from mcp import Client
from mcp_types import CreateMessageResult, ElicitResult, TextContent

from tests.mcp import conformance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp_types import ContentBlock, LoggingMessageNotificationParams

    from tests.mcp.stand import Stand

pytestmark = pytest.mark.anyio
Mode = Literal["legacy", "2026-07-28"]
MODES: tuple[Mode, ...] = ("legacy", "2026-07-28")
SECONDS_MAX = timedelta(seconds=20).total_seconds()


def text_of(content: Sequence[ContentBlock]) -> str:
    return cast("TextContent", content[0]).text


@pytest.mark.requirement("MCP-07")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("server", ["everything", "spoken"])
async def test_the_official_client_works_in_both_eras(running: Stand, server: str, mode: Mode) -> None:
    async with Client(running.server(server), mode=mode, read_timeout_seconds=SECONDS_MAX) as client:
        assert client.protocol_version == ("2025-11-25" if mode == "legacy" else mode)
        tools = await client.list_tools()
        assert "test_simple_text" in {tool.name for tool in tools.tools}
        result = await client.call_tool("test_simple_text")
        assert text_of(result.content) == "This is a simple text response for testing."
        resources = await client.list_resources()
        assert "test://static-text" in {str(resource.uri) for resource in resources.resources}
        read = await client.read_resource("test://static-text")
        assert "static text" in cast("str", getattr(read.contents[0], "text", ""))
        prompt = await client.get_prompt("test_prompt_with_arguments", {"arg1": "one", "arg2": "two"})
        assert "arg1='one'" in cast("TextContent", prompt.messages[0].content).text
        failed = await client.call_tool("test_error_handling")
        assert failed.is_error


@pytest.mark.requirement("MCP-07")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("server", ["everything", "spoken"])
async def test_progress_arrives_while_a_call_runs(running: Stand, server: str, mode: Mode) -> None:
    heard: list[float] = []

    async def progressed(progress: float, total: float | None, message: str | None) -> None:
        assert (total, message) == (100, f"Completed step {progress:g} of 100")
        heard.append(progress)

    async with Client(running.server(server), mode=mode, read_timeout_seconds=SECONDS_MAX) as client:
        await client.call_tool("test_tool_with_progress", progress_callback=progressed)
    assert heard == [0, 50, 100]


@pytest.mark.requirement("MCP-07")
@pytest.mark.parametrize("server", ["everything", "spoken"])
async def test_a_server_of_the_older_era_may_ask_and_tell_its_client(running: Stand, server: str) -> None:
    told: list[str] = []

    async def sampled(context: object, params: object) -> CreateMessageResult:
        del context, params
        return CreateMessageResult(role="assistant", content=TextContent(text="42"), model="m")

    async def elicited(context: object, params: object) -> ElicitResult:
        del context, params
        return ElicitResult(action="accept", content={"response": "yes"})

    async def logged(params: LoggingMessageNotificationParams) -> None:
        told.append(str(params.data))

    async with Client(
        running.server(server), mode="legacy", read_timeout_seconds=SECONDS_MAX, sampling_callback=sampled,
        elicitation_callback=elicited, logging_callback=logged,
    ) as client:  # fmt: skip
        assert text_of((await client.call_tool("test_sampling", {"prompt": "?"})).content) == "LLM response: 42"
        answer = await client.call_tool("test_elicitation", {"message": "?"})
        assert text_of(answer.content) == 'action=accept, content={"response": "yes"}'
        await client.call_tool("test_tool_with_logging")
    assert told == ["Tool execution started", "Tool execution processing data", "Tool execution completed"]


@pytest.mark.requirement("MCP-07")
@pytest.mark.parametrize("server", ["everything", "spoken"])
async def test_a_server_of_the_newer_era_asks_in_rounds(running: Stand, server: str) -> None:
    async def elicited(context: object, params: object) -> ElicitResult:
        del context, params
        return ElicitResult(action="accept", content={"name": "Ada", "color": "blue"})

    async with Client(
        running.server(server), mode="2026-07-28", read_timeout_seconds=SECONDS_MAX, elicitation_callback=elicited
    ) as client:
        result = await client.call_tool("test_input_required_result_multi_round")
    assert text_of(result.content) == "both rounds are done: blue"


@pytest.mark.requirement("MCP-08")
@pytest.mark.parametrize("mode", MODES)
async def test_the_reference_time_server_tells_the_time(running: Stand, mode: Mode) -> None:
    async with Client(running.server("clock"), mode=mode, read_timeout_seconds=SECONDS_MAX) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == {"get_current_time", "convert_time"}
        arguments = {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}
        result = await client.call_tool("convert_time", arguments)
        assert "21:00" in text_of(result.content)


@pytest.mark.requirement("MCP-08")
@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js on PATH to run the reference server")
@pytest.mark.skipif(conformance.node() is None, reason="there is no Node.js of 22 or newer; `make setup` brings one")
async def test_the_reference_everything_server_serves_a_client_of_either_era(running: Stand) -> None:
    conformance.install()
    # it knows the older era only: a client that prefers the newer one must find its way back
    async with Client(running.server("node"), mode="auto", read_timeout_seconds=SECONDS_MAX) as client:
        assert client.protocol_version == "2025-11-25"
        assert "echo" in {tool.name for tool in (await client.list_tools()).tools}
        assert text_of((await client.call_tool("echo", {"message": "hello"})).content) == "Echo: hello"
