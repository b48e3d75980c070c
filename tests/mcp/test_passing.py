"""What passes, and how: lists, keys, headers, credentials, clients that go away, processes that die."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest

from tests.mcp.stand import eventually
from tests.mcp.wire import called, headers_for, initialized, modern, post

if TYPE_CHECKING:
    from tests.mcp.stand import Stand
    from tests.mcp.wire import Answered, Tree

KEY = "dev.oncegate/idempotency-key"


def seen(answered: Answered) -> dict[str, Any]:
    """Return what the server's `echo` saw."""
    return cast("dict[str, Any]", json.loads(answered.text))


@pytest.mark.requirement("MCP-10")
def test_lists_show_exactly_what_may_be_used(running: Stand) -> None:
    url = running.server("narrow")
    tools = post(url, modern("tools/list")).last["result"]
    assert {tool["name"] for tool in tools["tools"]} == {"test_simple_text", "echo", "test_custom_headers"}
    assert tools["cacheScope"] == "private"
    resources = post(url, modern("resources/list")).last["result"]
    assert [resource["uri"] for resource in resources["resources"]] == ["test://static-text"]
    assert post(url, modern("prompts/list")).last["result"]["prompts"] == []
    assert post(url, modern("resources/templates/list")).last["result"]["resourceTemplates"] == []


@pytest.mark.requirement("MCP-10")
def test_a_list_is_filtered_over_standard_streams_too(running: Stand) -> None:
    listed = post(running.server("clock"), modern("tools/list")).last["result"]["tools"]
    assert [tool["name"] for tool in listed] == ["get_current_time", "convert_time"]


@pytest.mark.requirement("MCP-11")
@pytest.mark.parametrize("server", ["everything", "spoken"])
@pytest.mark.parametrize("place", ["header", "meta"])
def test_a_key_executes_once_and_its_text_never_leaves(running: Stand, server: str, place: str) -> None:
    url, key = running.server(server), f"order-{server}-{place}"
    meta = {KEY: key} if place == "meta" else None
    answers: list[Answered] = []
    for ident in (1, "two"):
        message = called("echo", {"word": place}, ident=ident, meta=meta)
        headers = headers_for(message) | ({"idempotency-key": key} if place == "header" else {})
        answers.append(post(url, message, headers))
    first, second = answers
    assert (first.last["id"], second.last["id"]) == (1, "two")
    assert first.last["result"] == second.last["result"]
    assert "oncegate-replayed" not in first.headers
    assert second.headers["oncegate-replayed"] == "true"
    assert second.headers["oncegate-call"] == first.headers["oncegate-call"]
    assert seen(first)["meta"][KEY] != key
    assert key not in json.dumps(seen(first))


@pytest.mark.requirement("MCP-11")
def test_a_key_used_for_another_request_executes_nothing(running: Stand) -> None:
    url = running.server("everything")
    post(url, called("effect", {"word": "kept"}, meta={KEY: "reused"}))
    answered = post(url, called("effect", {"word": "swapped"}, meta={KEY: "reused"}))
    assert answered.last["result"]["isError"] is True
    assert "used for another request" in answered.text
    assert running.counted().count("kept") == 1
    assert "swapped" not in running.counted()


@pytest.mark.requirement("MCP-16")
def test_each_round_of_a_call_that_asks_back_is_a_step_of_its_key(running: Stand) -> None:
    url, tool = running.server("everything"), "test_input_required_result_multi_round"
    capable: Tree = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}, KEY: "rounds"}
    answered = {"step1": {"name": "Ada"}, "step2": {"color": "blue"}}
    last: Answered | None = None
    for _ in range(2):  # the second pass is answered from the journal, round by round
        result = post(url, called(tool, meta=capable)).last["result"]
        while result["resultType"] == "input_required":
            (asked,) = result["inputRequests"]
            params = {
                "name": tool, "arguments": {}, "requestState": result["requestState"],
                "inputResponses": {asked: {"action": "accept", "content": answered[asked]}},
            }  # fmt: skip
            last = post(url, modern("tools/call", params, meta=capable))
            result = last.last["result"]
        assert result["content"][0]["text"] == "both rounds are done: blue"
    assert last is not None
    assert last.headers["oncegate-replayed"] == "true"


@pytest.mark.requirement("MCP-12")
def test_nothing_that_proves_the_caller_reaches_the_server(running: Stand) -> None:
    message = called("echo")
    secret = {"cookie": "session=cookie-of-the-caller", "x-forwarded-for": "192.0.2.1", "x-own": "own-of-the-caller"}
    found = seen(post(running.server("everything"), message, headers_for(message) | secret))
    assert not {"authorization", "cookie", "x-forwarded-for", "x-own", "x-api-key"} & found["headers"].keys()
    assert "of-the-caller" not in json.dumps(found)
    assert found["headers"]["host"].endswith(running.direct.removesuffix("/mcp").rpartition(":")[2])


@pytest.mark.requirement("MCP-12")
def test_a_session_id_is_the_gateways_own(running: Stand) -> None:
    headers = initialized(running.server("everything"))
    old: Tree = {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "echo", "arguments": {}}}
    found = seen(post(running.server("everything"), old, headers))
    assert found["headers"]["mcp-session-id"] != headers["mcp-session-id"]


@pytest.mark.requirement("MCP-13")
def test_a_mirrored_argument_that_is_replaced_is_replaced_in_its_header(running: Stand) -> None:
    message = called("test_custom_headers", {"region": "ada.lovelace@example.com", "priority": 42})
    headers = headers_for(message) | {"mcp-param-region": "ada.lovelace@example.com", "mcp-param-priority": "42.0"}
    found = seen(post(running.server("narrow"), message, headers))
    assert found["headers"]["mcp-param-priority"] == "42"
    assert found["arguments"]["region"] != "ada.lovelace@example.com"
    assert "ada.lovelace" not in json.dumps(found)


@pytest.mark.requirement("MCP-13")
def test_the_envelope_of_the_protocol_passes_redaction_as_it_came(running: Stand) -> None:
    message = called("echo", {"who": "call ada.lovelace@example.com"}, meta={"progressToken": "p1"})
    found = seen(post(running.server("narrow"), message))
    assert found["meta"]["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"
    assert found["meta"]["io.modelcontextprotocol/clientCapabilities"] == {}
    assert "ada.lovelace" not in json.dumps(found)


@pytest.mark.requirement("MCP-09")
@pytest.mark.parametrize("server", ["everything", "spoken"])
def test_a_client_that_goes_away_before_the_answers_head_cancels_upstream(running: Stand, server: str) -> None:
    effects = running.effects if server == "everything" else running.folder / "spoken.txt"

    def lines() -> list[str]:
        return effects.read_text(encoding="utf-8").splitlines() if effects.exists() else []

    message = called("hold", {"word": server})
    with suppress(httpx.ReadTimeout):
        httpx.post(
            running.server(server), content=json.dumps(message), headers=headers_for(message),
            timeout=httpx.Timeout(10, read=1.0),
        )  # fmt: skip
    assert f"begun {server}" in lines()
    assert eventually(lambda: f"cancelled {server}" in lines())


@pytest.mark.requirement("MCP-14")
def test_a_process_that_dies_is_started_again_and_its_sessions_are_opened_again(running: Stand) -> None:
    url = running.server("clock")
    headers = initialized(url)
    old: Tree = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    assert post(url, old, headers).status == 200
    assert post(url, modern("tools/list")).status == 200
    killed = [pid for pid in _children(running.pid) if "mcp_server_time" in _command(pid)]
    assert killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: not set(killed) & set(_children(running.pid)))
    assert "tools" in post(url, old, headers).last["result"]
    assert "tools" in post(url, modern("tools/list")).last["result"]


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")
