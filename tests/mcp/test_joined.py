"""All servers as one: names and resources of each, the same governed calls, and nothing that spoils the rest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.client.client import Client
from mcp_types import CreateMessageResult, ElicitResult, TextContent

from gateway.mcp import merge
from gateway.mcp.names import joined_name, split_name, unwrapped_uri, with_wrapped_uris, wrapped_uri
from tests.mcp.test_clients import SECONDS_MAX, text_of
from tests.mcp.test_going_on import old_call
from tests.mcp.test_passing import KEY, seen
from tests.mcp.wire import called, headers_for, initialized, modern, post

if TYPE_CHECKING:
    from typing import Literal

    from tests.mcp.stand import Stand
    from tests.mcp.wire import Tree

pytestmark = pytest.mark.anyio

MODES = ["legacy", "2026-07-28", "auto"]


@pytest.mark.requirement("MCP-29")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("server", ["everything", "spoken", "older", "old", "newer"])
async def test_everything_of_every_server_is_there_for_a_client_of_either_era(
    running: Stand, server: str, mode: Literal["legacy", "auto"]
) -> None:
    heard: list[float] = []

    async def progressed(progress: float, total: float | None, message: str | None) -> None:
        del total, message
        heard.append(progress)

    async with Client(running.joined, mode=mode, read_timeout_seconds=SECONDS_MAX) as client:
        assert client.protocol_version == ("2025-11-25" if mode == "legacy" else "2026-07-28")
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert f"{server}__test_simple_text" in names
        assert "clock__convert_time" in names
        assert names == [tool.name for tool in (await client.list_tools()).tools]
        result = await client.call_tool(f"{server}__test_simple_text")
        assert text_of(result.content) == "This is a simple text response for testing."
        await client.call_tool(f"{server}__test_tool_with_progress", progress_callback=progressed)
        uris = [str(resource.uri) for resource in (await client.list_resources()).resources]
        uri = f"oncegate://{server}/test://static-text"
        assert uri in uris
        read = await client.read_resource(uri)
        assert str(read.contents[0].uri) == uri
        templates = (await client.list_resource_templates()).resource_templates
        assert f"oncegate://{server}/test://template/{{id}}/data" in {one.uri_template for one in templates}
        prompt = await client.get_prompt(f"{server}__test_prompt_with_arguments", {"arg1": "one", "arg2": "two"})
        assert "arg1='one'" in cast("TextContent", prompt.messages[0].content).text
    assert heard == [0, 50, 100]


@pytest.mark.requirement("MCP-29")
@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
@pytest.mark.parametrize("server", ["older", "newer"])
async def test_servers_ask_their_clients_through_the_joined_endpoint(
    running: Stand, server: str, mode: Literal["legacy"]
) -> None:
    async def sampled(context: object, params: object) -> CreateMessageResult:
        del context, params
        return CreateMessageResult(role="assistant", content=TextContent(text="42"), model="m")

    async def elicited(context: object, params: object) -> ElicitResult:
        del context, params
        return ElicitResult(action="accept", content={"name": "Ada", "color": "blue", "response": "yes"})

    async with Client(
        running.joined, mode=mode, read_timeout_seconds=SECONDS_MAX, sampling_callback=sampled,
        elicitation_callback=elicited,
    ) as client:  # fmt: skip
        if server == "older":
            answer = await client.call_tool("older__test_sampling", {"prompt": "?"})
            assert text_of(answer.content) == "LLM response: 42"
        else:
            answer = await client.call_tool("newer__test_input_required_result_multi_round")
            assert text_of(answer.content) == "both rounds are done: blue"


@pytest.mark.requirement("MCP-30")
@pytest.mark.parametrize("first", ["joined", "own"])
def test_a_call_is_the_same_whichever_endpoint_it_comes_to(running: Stand, first: str) -> None:
    key = f"same-{first}"
    own = called("echo", {"word": key}, meta={KEY: key})
    joined = called("everything__echo", {"word": key}, meta={KEY: key})
    pairs = [(running.server("everything"), own), (running.joined, joined)]
    if first == "joined":
        pairs.reverse()
    answers = [post(url, message) for url, message in pairs]
    assert answers[1].headers["oncegate-replayed"] == "true"
    assert answers[0].headers["oncegate-call"] == answers[1].headers["oncegate-call"]
    assert answers[0].last["result"] == answers[1].last["result"]
    assert seen(answers[0])["arguments"] == {"word": key}
    old = initialized(running.joined)
    bridged = post(running.joined, old_call("everything__echo", {"word": key}, key=key), old)
    assert bridged.headers["oncegate-call"] == answers[0].headers["oncegate-call"]


@pytest.mark.requirement("MCP-30")
def test_a_denied_call_is_denied_here_too_and_lists_show_what_may_be_used(running: Stand) -> None:
    denied = post(running.joined, called("narrow__effect", {"word": "never"}))
    assert denied.last["result"]["isError"] is True
    assert "not allowed by policy" in denied.text
    listed = post(running.joined, modern("tools/list")).last["result"]
    narrow = {tool["name"] for tool in listed["tools"] if tool["name"].startswith("narrow__")}
    assert narrow == {"narrow__test_simple_text", "narrow__echo", "narrow__test_custom_headers"}
    assert (listed["cacheScope"], listed["ttlMs"]) == ("private", 0)


@pytest.mark.requirement("MCP-31")
def test_a_server_that_is_down_is_left_out_and_said_so(running: Stand) -> None:
    for method in ("tools/list", "prompts/list", "resources/list", "resources/templates/list", "server/discover"):
        result = post(running.joined, modern(method)).last["result"]
        assert "gone" in result["_meta"]["dev.oncegate/unavailable"]
    answered = post(running.joined, called("gone__anything"))
    assert "nothing was executed" in answered.text


@pytest.mark.requirement("MCP-32")
@pytest.mark.parametrize(
    "message",
    [
        called("echo"), called("nobody__echo"), called("everything__"), called("everything__echo\u200b"),
        modern("resources/read", {"uri": "test://static-text"}),
        modern("resources/read", {"uri": "oncegate://nobody/test://static-text"}),
        modern("prompts/get", {"name": "test_simple_prompt"}),
        modern("completion/complete", {"ref": {"type": "ref/prompt", "name": "x"}}),
    ],
)  # fmt: skip
def test_what_is_nobodys_is_nothing(running: Stand, message: Tree) -> None:
    headers = headers_for(message)
    if not headers.get("mcp-name", "").isascii():
        headers["mcp-name"] = "=?base64?ZXZlcnl0aGluZ19fZWNob+KAiw==?="
    answered = post(running.joined, message, headers)
    assert (answered.status, answered.code) == (400, -32602)


@pytest.mark.requirement("MCP-32")
def test_an_unknown_method_is_refused_where_nobody_can_tell_whose_it_is(running: Stand) -> None:
    answered = post(running.joined, modern("com.example/echo"))
    assert (answered.status, answered.code) == (404, -32601)


_SERVER = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9.-]|_(?!_)){0,10}", fullmatch=True)
_TOOL = st.from_regex(r"[A-Za-z0-9_.\-]{1,20}", fullmatch=True)


@pytest.mark.requirement("MCP-32")
@given(st.sets(_SERVER, min_size=1, max_size=5), _TOOL, st.data())
def test_a_joined_name_is_exactly_one_servers_or_none(servers: set[str], tool: str, data: st.DataObject) -> None:
    server = data.draw(st.sampled_from(sorted(servers)))
    name = joined_name(server, tool, servers)
    if name is not None:
        assert split_name(name, servers) == (server, tool)
        others = {
            joined_name(other, more, servers) for other in servers - {server} for more in (tool, name, f"_{tool}")
        }
        assert name not in others


@pytest.mark.requirement("MCP-32")
@given(_SERVER, st.text(min_size=1, max_size=40))
def test_a_wrapped_uri_is_unwrapped_as_it_was(server: str, uri: str) -> None:
    assert unwrapped_uri(wrapped_uri(server, uri), {server}) == (server, uri)
    assert unwrapped_uri(wrapped_uri(server, uri), {server + "x"}) is None


@pytest.mark.requirement("MCP-32")
def test_a_name_that_two_servers_could_mean_is_left_out() -> None:
    servers = {"a", "a_"}
    assert split_name("a___b", servers) is None
    pages: dict[str, list[Tree]] = {
        "a": [{"tools": [{"name": "_b"}, {"name": "c"}]}],
        "a_": [{"tools": [{"name": "b"}]}],
    }
    listed = merge.merged_list("tools/list", pages, [], servers)
    assert listed["tools"] == [{"name": "a__c"}]


@pytest.mark.requirement("MCP-29")
def test_lists_are_merged_in_one_order_and_live_as_long_as_the_shortest() -> None:
    pages: dict[str, list[Tree]] = {
        "b": [{"tools": [{"name": "x"}], "ttlMs": 5}, {"tools": [{"name": "y"}], "ttlMs": 9}],
        "a": [{"tools": [{"name": "z"}, {"name": "z"}, 7, {}], "ttlMs": 7}],
    }
    listed = merge.merged_list("tools/list", pages, [], {"a", "b"})
    assert listed["tools"] == [{"name": "b__x"}, {"name": "b__y"}]
    assert (listed["ttlMs"], listed["cacheScope"]) == (5, "private")
    assert merge.merged_list("tools/list", pages, ["c"], {"a", "b"})["ttlMs"] == 0


@pytest.mark.requirement("MCP-29")
def test_resources_in_results_bear_the_names_they_can_be_read_by() -> None:
    link: Tree = {"type": "resource_link", "uri": "file:///a", "name": "a"}
    embedded: Tree = {"type": "resource", "resource": {"uri": "file:///b", "text": "b"}}
    text: Tree = {"type": "text", "text": "file:///c"}
    result = with_wrapped_uris(
        "s", "tools/call", {"content": [link, embedded, text], "structuredContent": {"uri": "x"}}
    )
    assert json.dumps(result).count("oncegate://s/file:///") == 2
    assert result["structuredContent"] == {"uri": "x"}
    got = with_wrapped_uris("s", "prompts/get", {"messages": [{"role": "user", "content": embedded}]})
    assert "oncegate://s/file:///b" in json.dumps(got)


@pytest.mark.requirement("MCP-33")
def test_one_stream_tells_what_any_server_tells(running: Stand) -> None:
    filters: Tree = {
        "toolsListChanged": True,
        "resourceSubscriptions": ["oncegate://everything/test://watched-resource"],
    }
    message = modern("subscriptions/listen", {"notifications": filters}, ident="mine")
    with httpx.stream(
        "POST", running.joined, content=json.dumps(message), headers=headers_for(message), timeout=SECONDS_MAX
    ) as stream:
        lines = (json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: "))
        acknowledged = next(lines)
        assert acknowledged["method"] == "notifications/subscriptions/acknowledged"
        assert acknowledged["params"]["notifications"]["resourceSubscriptions"] == filters["resourceSubscriptions"]
        for server in ("everything", "spoken"):
            post(running.joined, called(f"{server}__test_trigger_tool_change"))
            told = next(lines)
            assert told["method"] == "notifications/tools/list_changed"
            assert told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == "mine"


@pytest.mark.requirement("MCP-33")
def test_a_session_of_the_older_era_hears_of_changes_and_ends(running: Stand) -> None:
    headers = initialized(running.joined)
    watched: Tree = {"jsonrpc": "2.0", "id": 2, "method": "resources/subscribe",
                     "params": {"uri": "oncegate://everything/test://watched-resource"}}  # fmt: skip
    assert post(running.joined, watched, headers).last["result"] == {}
    missing = watched | {"params": {"uri": "oncegate://nobody/x://y"}}
    assert post(running.joined, missing, headers).code == -32602
    with httpx.stream("GET", running.joined, headers=headers, timeout=SECONDS_MAX) as stream:
        lines = stream.iter_lines()
        assert next(line for line in lines if line.startswith(":"))  # the servers have said what they will tell of
        post(running.joined, old_call("everything__test_trigger_tool_change"), headers)
        line = next(line for line in lines if line.startswith("data: "))
        assert json.loads(line[6:])["method"] == "notifications/tools/list_changed"
    assert post(running.server("everything"), old_call("echo"), headers).status == 404
    assert httpx.delete(running.joined, headers=headers, timeout=60).status_code == 200
    assert post(running.joined, old_call("everything__echo"), headers).status == 404
    assert httpx.get(running.joined, timeout=60).status_code == 405
