"""What is no proper message is refused in the protocol, and nothing is executed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.mcp.wire import called, headers_for, initialized, modern, post, read

if TYPE_CHECKING:
    from tests.mcp.stand import Stand
    from tests.mcp.wire import Tree

CALL = called("effect", {"word": "never"})
HEADERS = headers_for(CALL)
OLD: Tree = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "effect", "arguments": {"word": "never"}},
}


def _with(**headers: str) -> dict[str, str]:
    return HEADERS | {name.replace("_", "-"): value for name, value in headers.items()}


BAD: dict[str, tuple[object, dict[str, str] | list[tuple[str, str]], int, int]] = {
    "a batch": ([OLD], headers_for(OLD), 400, -32600),
    "no JSON": (b"{", HEADERS, 400, -32700),
    "a key twice": (b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}', HEADERS, 400, -32700),
    "no UTF-8": (b'{"jsonrpc":"2.0","id":1,"method":"\xff"}', HEADERS, 400, -32700),
    "too deep": (b'{"jsonrpc":"2.0","id":1,"params":' + b"[" * 90 + b"]" * 90 + b"}", HEADERS, 400, -32700),
    "another JSON-RPC": (OLD | {"jsonrpc": "1.0"}, headers_for(OLD), 400, -32600),
    "a method of another case": (OLD | {"Method": "ping"}, headers_for(OLD), 400, -32600),
    "a request that is an answer too": (OLD | {"result": {}}, headers_for(OLD), 400, -32600),
    "an id that is a list": (OLD | {"id": [1]}, headers_for(OLD), 400, -32600),
    "an id that is null": (OLD | {"id": None}, headers_for(OLD), 400, -32600),
    "params that are a list": (OLD | {"params": ["effect"]}, headers_for(OLD), 400, -32602),
    "arguments that are a list": (OLD | {"params": {"name": "effect", "arguments": []}}, headers_for(OLD), 400, -32602),
    "a name of another case": (OLD | {"params": {**CALL["params"], "Name": "echo"}}, headers_for(OLD), 400, -32602),
    "a tool's name that climbs": (OLD | {"params": {"name": ".."}}, headers_for(OLD), 400, -32602),
    "no name": (OLD | {"params": {}}, headers_for(OLD), 400, -32602),
    "a call without an id": ({key: OLD[key] for key in OLD if key != "id"}, headers_for(OLD), 400, -32600),
    "another content type": (CALL, _with(content_type="text/plain"), 415, -32600),
    "another method in the header": (CALL, _with(mcp_method="tools/list"), 400, -32020),
    "another name in the header": (CALL, _with(mcp_name="echo"), 400, -32020),
    "no version in the header": (CALL, {k: v for k, v in HEADERS.items() if "version" not in k}, 400, -32020),
    "an unknown version": (
        modern("tools/call", CALL["params"], meta={"io.modelcontextprotocol/protocolVersion": "2030-01-01"}),
        _with(mcp_protocol_version="2030-01-01"), 400, -32022),
    "a name twice": (CALL, [*HEADERS.items(), ("mcp-name", "effect")], 400, -32020),
    "two versions": (CALL, [*HEADERS.items(), ("mcp-protocol-version", "2025-11-25")], 400, -32020),
    "a parameter's header that mirrors nothing": (CALL, _with(mcp_param_region="north"), 400, -32020),
    "two idempotency keys": (
        called("effect", {"word": "never"}, meta={"dev.oncegate/idempotency-key": "a"}),
        _with(idempotency_key="b"), 400, -32602),
    "a key that is a number": (
        called("effect", {"word": "never"}, meta={"dev.oncegate/idempotency-key": 1}), HEADERS, 400, -32602),
}  # fmt: skip


@pytest.mark.requirement("MCP-02")
@pytest.mark.parametrize("what", BAD)
def test_what_two_readers_could_understand_differently_is_refused(running: Stand, what: str) -> None:
    message, headers, status, code = BAD[what]
    answered = post(running.server("everything"), message, headers)
    assert (answered.status, answered.code) == (status, code)
    assert "never" not in answered.last["error"]["message"]
    assert not [line for line in running.counted() if "never" in line]


@pytest.mark.requirement("MCP-02")
def test_an_error_carries_the_id_of_its_request(running: Stand) -> None:
    answered = post(running.server("everything"), called("effect", ident="seven"), _with(mcp_name="echo"))
    assert answered.last["id"] == "seven"


@pytest.mark.requirement("MCP-03")
def test_a_server_nobody_configured_is_not_found(running: Stand) -> None:
    answered = post(running.server("nobody"), CALL)
    assert answered.status == 404
    assert "no such server" in answered.last["error"]["message"]


@pytest.mark.requirement("MCP-04")
@pytest.mark.parametrize("session", ["x", "0" * 32, "é", "AQ"])
def test_a_session_nobody_was_given_is_not_found(running: Stand, session: str) -> None:
    old = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    headers = [*headers_for(old).items(), ("mcp-session-id", session)]
    content = json.dumps(old).encode()
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    assert read(httpx.post(running.server("everything"), content=content, headers=raw, timeout=60)).status == 404


@pytest.mark.requirement("MCP-04")
def test_a_session_of_one_server_opens_nothing_at_another(running: Stand) -> None:
    headers = initialized(running.server("everything"))
    old = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    assert post(running.server("everything"), old, headers).status == 200
    assert post(running.server("narrow"), old, headers).status == 404


@pytest.mark.requirement("MCP-05")
def test_a_denied_tool_is_a_result_the_model_can_read(running: Stand) -> None:
    answered = post(running.server("narrow"), CALL)
    result = answered.last["result"]
    assert (answered.status, answered.last["id"], result["isError"], result["resultType"]) == (200, 1, True, "complete")
    assert "not allowed by policy" in answered.text
    assert "nothing was executed" in answered.text
    assert answered.text == post(running.server("narrow"), called("effect", {"word": "again"}, ident=2)).text
    assert result["_meta"]["dev.oncegate/call"]["code"] == "denied"


@pytest.mark.requirement("MCP-05")
@pytest.mark.parametrize(
    "message",
    [
        modern("resources/read", {"uri": "test://static-binary"}),
        modern("prompts/get", {"name": "test_simple_prompt"}),
        modern("com.example/echo"),
        modern("subscriptions/listen", {"notifications": {"resourceSubscriptions": ["test://static-binary"]}}),
        modern("completion/complete", {"ref": {"type": "ref/prompt", "name": "test_simple_prompt"}}),
    ],
    ids=lambda message: message["method"],
)
def test_whatever_else_is_denied_is_a_json_rpc_error(running: Stand, message: Tree) -> None:
    answered = post(running.server("narrow"), message)
    assert not -32768 <= answered.code <= -32000
    assert answered.last["error"]["data"]["code"] == "denied"


@pytest.mark.requirement("MCP-06")
def test_a_server_that_cannot_be_started_is_said_not_to_have_executed(running: Stand) -> None:
    answered = post(running.server("gone"), CALL)
    assert answered.last["result"]["isError"] is True
    assert "nothing was executed" in answered.text
