"""Clients and servers of different eras: one is answered in its own, whatever the other speaks."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import httpx
import pytest
from mcp.client.client import Client
from mcp_types import CreateMessageResult, ElicitResult, LoggingMessageNotificationParams, TextContent

from tests.mcp.stand import eventually
from tests.mcp.test_clients import SECONDS_MAX, text_of
from tests.mcp.test_going_on import old_call
from tests.mcp.test_passing import KEY, seen
from tests.mcp.wire import called, initialized, modern, post

if TYPE_CHECKING:
    from tests.mcp.stand import Stand
    from tests.mcp.wire import Answered, Tree

pytestmark = pytest.mark.anyio

#: Servers that speak the older era only: by configuration over HTTP, over standard streams, by transport.
OLDER = ["older", "older_spoken", "old"]


@pytest.mark.requirement("MCP-26")
@pytest.mark.parametrize("server", OLDER)
async def test_a_client_of_the_newer_era_uses_all_of_a_server_of_the_older_one(running: Stand, server: str) -> None:
    heard: list[float] = []

    async def progressed(progress: float, total: float | None, message: str | None) -> None:
        del total, message
        heard.append(progress)

    async with Client(running.server(server), mode="2026-07-28", read_timeout_seconds=SECONDS_MAX) as client:
        assert "test_simple_text" in {tool.name for tool in (await client.list_tools()).tools}
        result = await client.call_tool("test_simple_text")
        assert text_of(result.content) == "This is a simple text response for testing."
        assert (await client.call_tool("test_error_handling")).is_error
        assert (await client.list_resources()).resources
        assert (await client.read_resource("test://static-text")).contents
        assert (await client.get_prompt("test_simple_prompt")).messages
        await client.call_tool("test_tool_with_progress", progress_callback=progressed)
    assert heard == [0, 50, 100]


@pytest.mark.requirement("MCP-26")
@pytest.mark.parametrize("server", OLDER)
async def test_what_a_server_of_the_older_era_asks_becomes_a_round(running: Stand, server: str) -> None:
    async def sampled(context: object, params: object) -> CreateMessageResult:
        del context, params
        return CreateMessageResult(role="assistant", content=TextContent(text="42"), model="m")

    async def elicited(context: object, params: object) -> ElicitResult:
        del context, params
        return ElicitResult(action="accept", content={"response": "yes"})

    async with Client(
        running.server(server), mode="2026-07-28", read_timeout_seconds=SECONDS_MAX, sampling_callback=sampled,
        elicitation_callback=elicited,
    ) as client:  # fmt: skip
        assert text_of((await client.call_tool("test_sampling", {"prompt": "?"})).content) == "LLM response: 42"
        answer = await client.call_tool("test_elicitation", {"message": "?"})
        assert text_of(answer.content) == 'action=accept, content={"response": "yes"}'


@pytest.mark.requirement("MCP-26")
@pytest.mark.parametrize("server", OLDER)
def test_a_client_that_did_not_declare_it_is_never_asked(running: Stand, server: str) -> None:
    answered = post(running.server(server), called("test_elicitation", {"message": "?"}))
    result = answered.last.get("result")
    assert result is None or (result["resultType"] == "complete" and result.get("isError"))


@pytest.mark.requirement("MCP-27")
@pytest.mark.parametrize("server", OLDER)
async def test_no_era_is_claimed_that_the_server_does_not_speak(running: Stand, server: str) -> None:
    answered = post(running.server(server), modern("server/discover"))
    assert (answered.code, "2025-11-25" in answered.last["error"]["data"]["supported"]) == (-32022, True)
    async with Client(running.server(server), mode="auto", read_timeout_seconds=SECONDS_MAX) as client:
        assert client.protocol_version == "2025-11-25"


@pytest.mark.requirement("MCP-26")
def test_a_question_whose_client_is_another_or_comes_too_late_leaves_the_call_in_doubt(running: Stand) -> None:
    url = running.server("older")
    capable: Tree = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}, KEY: "asked-once"}
    asked = post(url, called("test_elicitation", {"message": "?"}, meta=capable)).last["result"]
    assert asked["resultType"] == "input_required"
    (name,) = asked["inputRequests"]
    params: Tree = {"name": "test_elicitation", "arguments": {"message": "?"}, "inputResponses": {
        name: {"action": "decline"}}, "requestState": "oncegate.somebody-elses"}  # fmt: skip
    assert "in_doubt" in post(url, modern("tools/call", params, meta=capable)).text
    params["requestState"] = asked["requestState"]
    answered = post(url, modern("tools/call", params, meta=capable))
    assert "action=decline" in answered.text
    again = post(url, modern("tools/call", params, meta=capable))
    assert (again.text, again.headers["oncegate-replayed"]) == (answered.text, "true")


@pytest.mark.requirement("MCP-26")
def test_a_once_call_over_the_bridge_is_the_same_call(running: Stand) -> None:
    url = running.server("older")
    first = post(url, called("echo", {"word": "bridged"}, meta={KEY: "bridged"}))
    second = post(url, called("echo", {"word": "bridged"}, meta={KEY: "bridged"}, ident=2))
    assert second.headers["oncegate-replayed"] == "true"
    assert first.last["result"] == second.last["result"]
    seen = json.loads(first.text)
    assert "io.modelcontextprotocol/protocolVersion" not in seen["meta"]
    assert seen["meta"][KEY] != "bridged"


#: The same of the newer era.
NEWER = ["newer", "newer_spoken"]


@pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
@pytest.mark.requirement("MCP-28")
@pytest.mark.parametrize("server", NEWER)
async def test_a_client_of_the_older_era_uses_all_of_a_server_of_the_newer_one(running: Stand, server: str) -> None:
    heard: list[float] = []
    told: list[str] = []

    async def progressed(progress: float, total: float | None, message: str | None) -> None:
        del total, message
        heard.append(progress)

    async def logged(params: LoggingMessageNotificationParams) -> None:
        told.append(str(params.data))

    async with Client(
        running.server(server), mode="legacy", read_timeout_seconds=SECONDS_MAX, logging_callback=logged
    ) as client:
        assert client.protocol_version == "2025-11-25"
        assert client.server_info is not None
        assert client.server_info.name == "everything"
        assert "test_simple_text" in {tool.name for tool in (await client.list_tools()).tools}
        result = await client.call_tool("test_simple_text")
        assert text_of(result.content) == "This is a simple text response for testing."
        assert (await client.call_tool("test_error_handling")).is_error
        assert (await client.read_resource("test://static-text")).contents
        assert (await client.get_prompt("test_simple_prompt")).messages
        await client.send_ping()  # pyright: ignore[reportDeprecated] - the older era pings
        await client.set_logging_level("info")  # pyright: ignore[reportDeprecated] - and has a log level
        await client.call_tool("test_tool_with_logging")
        await client.call_tool("test_tool_with_progress", progress_callback=progressed)
    assert heard == [0, 50, 100]
    assert told == ["Tool execution started", "Tool execution processing data", "Tool execution completed"]


@pytest.mark.requirement("MCP-28")
@pytest.mark.parametrize("server", NEWER)
async def test_rounds_of_a_server_of_the_newer_era_are_questions(running: Stand, server: str) -> None:
    async def elicited(context: object, params: object) -> ElicitResult:
        del context, params
        return ElicitResult(action="accept", content={"name": "Ada", "color": "blue"})

    async with Client(
        running.server(server), mode="legacy", read_timeout_seconds=SECONDS_MAX, elicitation_callback=elicited
    ) as client:
        result = await client.call_tool("test_input_required_result_multi_round")
    assert text_of(result.content) == "both rounds are done: blue"


@pytest.mark.requirement("MCP-28")
def test_arguments_that_a_server_wants_in_headers_stand_there(running: Stand) -> None:
    headers = initialized(running.server("newer"))
    for number in (1, 42):
        call = old_call("test_custom_headers", {"region": "north", "priority": number})
        found = seen(post(running.server("newer"), call, headers))["headers"]
        assert (found["mcp-param-region"], found["mcp-param-priority"]) == ("north", str(number))


@pytest.mark.requirement("MCP-28")
def test_a_session_the_gateway_holds_hears_changes_and_ends(running: Stand) -> None:
    url = running.server("newer")
    headers = initialized(url)
    watched: Tree = {"jsonrpc": "2.0", "id": 9, "method": "resources/subscribe",
                     "params": {"uri": "test://watched-resource"}}  # fmt: skip
    with httpx.stream("GET", url, headers=headers | {"accept": "text/event-stream"}, timeout=SECONDS_MAX) as stream:
        lines = stream.iter_lines()
        assert post(url, watched, headers).last["result"] == {}
        changed = [post(url, old_call("test_trigger_tool_change"), headers)]
        line = next(line for line in lines if line.startswith("data: "))
        assert json.loads(line[6:])["method"] == "notifications/tools/list_changed"
        assert changed[0].text == "the tools have changed"
    assert httpx.delete(url, headers=headers, timeout=60).status_code == 200
    assert post(url, old_call("echo"), headers).status == 404


@pytest.mark.requirement("MCP-21")
def test_a_cancelled_call_over_the_bridge_is_in_doubt(running: Stand) -> None:
    url = running.server("newer")
    headers = initialized(url)
    answers: list[Answered] = []
    call = old_call("late", {"word": "bridge"}, ident=5, key="cancelled-bridge")
    calling = threading.Thread(target=lambda: answers.append(post(url, call, headers)))
    calling.start()
    assert eventually(lambda: "begun bridge" in running.counted())
    cancel: Tree = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 5}}
    assert post(url, cancel, headers).status == 202
    calling.join(60)
    assert "in_doubt" in answers[0].text
