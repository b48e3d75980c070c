"""A server of both eras whose answers are written by hand: every kind of content, numbers as nobody writes them.

`python -m tests.mcp.fixture_contents --port 0 --effects FILE` says its port as a line. Each execution of a tool is a
line of FILE: tool, arguments and `_meta` as they arrived.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from gateway.demo.serving import serve

if TYPE_CHECKING:
    from starlette.requests import Request

    Tree = dict[str, Any]

_PIXEL: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
_SOUND: Final = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
#: As a result is on the wire; by tool.
RESULTS: Final[dict[str, str]] = {
    "text": r'{"content" : [ {"type":"text","text":"caf\u00e9 \ud83d\ude00 \"1\" ","annotations":{"priority":0.50}} ]}',
    "image": f'{{"content":[{{"mimeType":"image/png","data":"{_PIXEL}","type":"image"}}],"isError":false}}',
    "audio": f'{{"content":[{{"type":"audio","data":"{_SOUND}","mimeType":"audio/wav"}}]}}',
    "link": '{"content":[{"type":"resource_link","uri":"test://one/%7Etwo","name":"two","size":1e3}]}',
    "embedded": '{"content":[{"type":"resource","resource":{"uri":"test://a","mimeType":"text/plain","text":"inside"}},'
    f'{{"type":"resource","resource":{{"uri":"test://b","mimeType":"image/png","blob":"{_PIXEL}"}}}}]}}',
    "structured": '{"structuredContent":{"z":1,"a":[1.10,12345678901234567890,-0.0,1E-7,null,true],"n":{"":"empty"}},'
    '"content":[{"type":"text","text":"{\\"z\\": 1}"}]}',
    "failing": '{"isError":true,"content":[{"type":"text","text":"no such account"}],"structuredContent":{"code":7}}',
    "vendor": '{"_meta":{"com.example/own":{"b":1,"a":[]},"x":null},"content":[],"com.example.later":{"kept":1.0}}',
}
#: Tools that may be repeated, by their own word; `broken` fails the first time in a way that proves nothing.
HINTS: Final[dict[str, Tree]] = {
    "reading": {"readOnlyHint": True},
    "setting": {"idempotentHint": True, "readOnlyHint": False},
    "paying": {"readOnlyHint": False, "destructiveHint": True},
    "listed": {"readOnlyHint": True},
}
PLAIN: Final = ("keyed", "plain")
_KEYED: Final[Tree] = {
    "type": "object",
    "properties": {"amount": {"type": "integer"}, "request_id": {"type": "string"}},
}


class Contents:
    """The server. Every tool of `HINTS` answers its first execution with a given word by status 500."""

    def __init__(self, effects: Path) -> None:
        self._effects = effects
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    async def answer(self, request: Request) -> Response:
        """Answer one message."""
        if request.method != "POST":
            return Response(status_code=405)
        asked: Tree = await request.json()
        if "id" not in asked:
            return Response(status_code=202)
        return await run_in_threadpool(self._answered, asked)

    def _answered(self, asked: Tree) -> Response:
        params = asked.get("params", {})
        match asked["method"]:
            case "initialize":
                opened: Tree = {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}}
                opened["serverInfo"] = {"name": "contents", "version": "1"}
                answer = _response(asked["id"], json.dumps(opened))
                answer.headers["mcp-session-id"] = "one"
                return answer
            case "server/discover":
                result = json.dumps({"resultType": "complete", "supportedVersions": ["2026-07-28"], "ttlMs": 0,
                                     "capabilities": {"tools": {}}, "cacheScope": "private"})  # fmt: skip
            case "tools/list":
                result = json.dumps({"resultType": "complete", "ttlMs": 0, "cacheScope": "private", "tools": _tools()})
            case "tools/call":
                return self._called(asked, params)
            case _:
                error = {"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32601, "message": "no such method"}}
                return Response(json.dumps(error), 404, media_type="application/json")
        return _response(asked["id"], result)

    def _called(self, asked: Tree, params: Tree) -> Response:
        name, arguments = params["name"], params.get("arguments", {})
        with self._lock:
            line = json.dumps({"tool": name, "arguments": arguments, "meta": params.get("_meta", {})})
            descriptor = os.open(self._effects, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.write(descriptor, f"{line}\n".encode())
            os.close(descriptor)
            word = f"{name} {arguments.get('word')}"
            first = word not in self._seen
            self._seen.add(word)
        if name in HINTS and first:
            return Response("it broke", 500)
        result = RESULTS.get(name, '{"content":[{"type":"text","text":"done"}]}')
        if "io.modelcontextprotocol/protocolVersion" in params.get("_meta", {}):
            result = '{"resultType":"complete",' + result[1:]
        return _response(asked["id"], result, stream=arguments.get("stream") is True)


def _tools() -> list[Tree]:
    names = [*RESULTS, *HINTS, *PLAIN]
    return [
        {"name": name, "inputSchema": _KEYED if name == "keyed" else {"type": "object"}}
        | ({"annotations": HINTS[name]} if name in HINTS else {})
        for name in names
    ]


def _response(ident: object, result: str, *, stream: bool = False) -> Response:
    message = f'{{"jsonrpc":"2.0","id":{json.dumps(ident)},"result":{result}}}'
    if stream:
        return Response(f"event: message\ndata: {message}\n\n", media_type="text/event-stream")
    return Response(message, media_type="application/json")


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description="Answers written by hand.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--effects", type=Path, required=True)
    options = parser.parse_args()
    contents = Contents(cast("Path", options.effects))
    serve(Starlette(routes=[Route("/mcp", contents.answer, methods=["GET", "POST", "DELETE"])]), options.port)


if __name__ == "__main__":
    main()
