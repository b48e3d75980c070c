"""One upstream for everything: models and an MCP server that say what they are told to; keeps what it was sent."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self, cast

from tests.emulator import anthropic, openai

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

Tree = dict[str, object]


class Echo:
    """Answers with `say` in every place an answer has; with `fails` as an error. `received` are the bodies.

    Its one tool is `tool`; `structured` is its structured content, and `meanwhile` is done before an answer.
    """

    def __init__(self, tool: Tree | None = None) -> None:
        self.tool: Tree = tool or {"name": "note", "inputSchema": {"type": "object"}}
        self.structured: Tree | None = None
        self.meanwhile: Callable[[], None] | None = None
        self.say = ""
        self.fails = False
        self.received: list[bytes] = []
        echo = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["content-length"]))
                echo.received.append(content)
                status, media, answer = echo.answer(self.path, json.loads(content))
                self.send_response(status)
                self.send_header("content-type", media)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def do_GET(self) -> None:
                self.send_response(405)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
                del format, args

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, request: Tree) -> tuple[int, str, bytes]:
        """Return status, media type and body."""
        if self.meanwhile is not None:
            self.meanwhile()
        if path.endswith("/mcp"):
            return self._mcp(request)
        if self.fails:
            error = {"message": f"cannot do {self.say}", "type": "invalid_request_error", "param": self.say}
            return 400, "application/json", _json({"type": "error", "error": error})
        if path.endswith("/messages"):
            whole = anthropic.message(anthropic.text(self.say), anthropic.tool_use("note", {"q": [self.say]}))
            return _either(request, whole, anthropic.stream(whole, piece=5))
        arguments = json.dumps({"q": [self.say]})
        if path.endswith("/responses"):
            whole = openai.response(openai.message(self.say), openai.function_call("note", arguments))
            return _either(request, whole, b"".join(openai.events_of(whole, piece=5)))
        return self._chat(request, arguments)

    def _chat(self, request: Tree, arguments: str) -> tuple[int, str, bytes]:
        call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "note", "arguments": arguments}}
        message = {"role": "assistant", "content": self.say, "tool_calls": [call]}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        head: Tree = {"id": "c1", "created": 1, "model": "up", "usage": usage}
        whole: Tree = {**head, "object": "chat.completion",
                       "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}  # fmt: skip
        deltas: list[Tree] = [{"content": self.say[at : at + 5]} for at in range(0, len(self.say), 5)]
        head["object"] = "chat.completion.chunk"
        frames: list[Tree] = [
            {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
            for delta in [*deltas, {"tool_calls": [call]}]
        ]
        frames.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
        stream = b"".join(b"data: " + _json(frame) + b"\n\n" for frame in frames)
        return _either(request, whole, stream + b"data: [DONE]\n\n")

    def _mcp(self, request: Tree) -> tuple[int, str, bytes]:
        if "id" not in request:
            return 202, "application/json", b""
        head: Tree = {"jsonrpc": "2.0", "id": request["id"]}
        match request["method"]:
            case "initialize":
                info = {"name": "echo", "version": "1"}
                result: Tree = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": info}
            case "tools/list":
                result = {"tools": [self.tool]}
            case "tools/call" if self.fails:
                error = {"code": -32000, "message": f"cannot do {self.say}", "data": {"q": self.say}}
                return 200, "application/json", _json({**head, "error": error})
            case "tools/call":
                resource = {"uri": "file:///x", "mimeType": "text/plain", "text": self.say}
                content = [{"type": "text", "text": self.say}, {"type": "resource", "resource": resource}]
                result = {
                    "content": content,
                    "structuredContent": self.structured or {"q": [self.say]},
                    "_meta": {"note": self.say},
                }
            case _:
                return 200, "application/json", _json({**head, "error": {"code": -32601, "message": "unknown"}})
        return 200, "application/json", _json({**head, "result": result})


def _either(request: Tree, whole: Tree, stream: bytes) -> tuple[int, str, bytes]:
    if request.get("stream"):
        return 200, "text/event-stream", stream
    return 200, "application/json", _json(whole)


def _json(tree: object) -> bytes:
    return json.dumps(cast("Tree", tree), ensure_ascii=False).encode()
