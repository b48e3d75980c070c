"""Messages as a client writes them, without a client that would correct them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, cast

import httpx

MODERN: Final = "2026-07-28"
LEGACY: Final = "2025-11-25"
_SECONDS_MAX: Final = 60.0
_NAMED: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer: its status, headers, and its JSON-RPC messages in order."""

    status: int
    headers: httpx.Headers
    messages: list[Tree]
    content: bytes

    @property
    def last(self) -> Tree:
        """The response."""
        return self.messages[-1]

    @property
    def text(self) -> str:
        """The text of a tool's result."""
        return cast("str", self.last["result"]["content"][0]["text"])

    @property
    def code(self) -> int:
        """The code of an error."""
        return cast("int", self.last["error"]["code"])


def modern(method: str, params: Tree | None = None, *, ident: object = 1, meta: Tree | None = None) -> Tree:
    """Return a request of the newer era."""
    envelope: Tree = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
        **(meta or {}),
    }
    return {"jsonrpc": "2.0", "id": ident, "method": method, "params": {**(params or {}), "_meta": envelope}}


def called(tool: str, arguments: Tree | None = None, *, ident: object = 1, meta: Tree | None = None) -> Tree:
    """Return a tool call of the newer era."""
    return modern("tools/call", {"name": tool, "arguments": arguments or {}}, ident=ident, meta=meta)


def headers_for(message: Tree) -> dict[str, str]:
    """Return the headers that belong to `message`."""
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    if "io.modelcontextprotocol/protocolVersion" in message.get("params", {}).get("_meta", {}):
        headers |= {"mcp-protocol-version": MODERN, "mcp-method": message["method"]}
        if (member := _NAMED.get(message["method"])) is not None:
            headers["mcp-name"] = message["params"][member]
    return headers


def post(url: str, message: object, headers: dict[str, str] | list[tuple[str, str]] | None = None) -> Answered:
    """Send `message` (bytes as they are) and read its answer to the end."""
    content = message if isinstance(message, bytes) else json.dumps(message).encode()
    if headers is None:
        headers = headers_for(cast("Tree", message))
    return read(httpx.post(url, content=content, headers=headers, timeout=_SECONDS_MAX))


def read(answer: httpx.Response) -> Answered:
    """Return what an answer holds."""
    media = answer.headers.get("content-type", "")
    if media.startswith("text/event-stream"):
        lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ") and line[6:].strip()]
        return Answered(answer.status_code, answer.headers, [json.loads(line) for line in lines], answer.content)
    messages = [json.loads(answer.content)] if answer.content.strip() else []
    return Answered(answer.status_code, answer.headers, messages, answer.content)


def initialized(url: str, more: dict[str, str] | None = None) -> dict[str, str]:
    """Open a session of the older era; returns the headers of its requests, `more` among them."""
    own = headers_for({}) | (more or {})
    params = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "wire", "version": "1"}}
    opened = post(url, {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}, own)
    headers = own | {"mcp-session-id": opened.headers["mcp-session-id"], "mcp-protocol-version": LEGACY}
    post(url, {"jsonrpc": "2.0", "method": "notifications/initialized"}, headers)
    return headers
