"""The demo's model server: `model_script.py` behind OpenAI's chat wire protocol, plain and streamed.

Every request body it gets is appended to a log, so that anyone can look up what the model saw.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from gateway.demo.model_script import Turn, next_turn
from gateway.demo.serving import RequireBearer, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

#: What this server calls its model; the gateway's configuration maps its own name to it.
MODEL: Final = "scripted-model"
_CHOICES_MAX: Final = 8
_PIECE_CHARACTERS: Final = 7
_CHARACTERS_PER_TOKEN: Final = 4

Object = dict[str, object]


def application(log: Path) -> Starlette:
    """Return the server's app; request bodies are appended to `log`, one a line."""

    async def complete(request: Request) -> Response:
        content = await request.body()
        with log.open("ab") as file:
            file.write(content.replace(b"\n", b" ") + b"\n")
        try:
            asked = cast("Object", json.loads(content))
            if asked["model"] != MODEL:
                return _error(404, f"there is only `{MODEL}` here")
            messages = cast("list[Object]", asked["messages"])
            turn = next_turn(messages, _tool_names(asked))
            choices = min(int(cast("int", asked.get("n") or 1)), _CHOICES_MAX)
        except (ValueError, KeyError, TypeError, AttributeError):
            return _error(400, "expected a chat completion request")
        told = _Telling(turn, choices, messages)
        if not asked.get("stream"):
            return JSONResponse(told.whole())
        options = asked.get("stream_options")
        with_usage = isinstance(options, dict) and bool(cast("Object", options).get("include_usage"))
        return StreamingResponse(_framed(told.pieces(with_usage=with_usage)), media_type="text/event-stream")

    async def models(request: Request) -> Response:
        del request
        return JSONResponse({"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "demo"}]})

    return Starlette(
        routes=[Route("/v1/chat/completions", complete, methods=["POST"]), Route("/v1/models", models, methods=["GET"])]
    )


class _Telling:
    """One turn in the forms of the wire protocol. Ids follow from the conversation."""

    def __init__(self, turn: Turn, choices: int, messages: list[Object]) -> None:
        self._turn = turn
        self._choices = choices
        heard = json.dumps(messages)
        self._id = hashlib.sha256(heard.encode()).hexdigest()[:24]
        self._created = int(time.time())
        said = len(turn.text) + len(json.dumps(turn.arguments))
        sent, answered = len(heard) // _CHARACTERS_PER_TOKEN + 1, said * choices // _CHARACTERS_PER_TOKEN + 1
        self._usage = {"prompt_tokens": sent, "completion_tokens": answered, "total_tokens": sent + answered}

    def whole(self) -> Object:
        """Return a `chat.completion`."""
        message: Object = {"role": "assistant", "content": self._turn.text or None, "refusal": None}
        if self._turn.tool:
            message["tool_calls"] = [self._tool_call(json.dumps(self._turn.arguments))]
        choices = [
            {"index": index, "message": message, "logprobs": None, "finish_reason": self._finish}
            for index in range(self._choices)
        ]
        return self._head("chat.completion") | {"choices": choices, "usage": self._usage}

    def pieces(self, *, with_usage: bool) -> Iterator[Object]:
        """Yield `chat.completion.chunk`s, texts and arguments in small pieces."""
        for index in range(self._choices):
            yield self._chunk(index, {"role": "assistant", "content": None if self._turn.tool else ""})
            if self._turn.tool:
                yield self._chunk(index, {"tool_calls": [{"index": 0} | self._tool_call("")]})
                for piece in _cut(json.dumps(self._turn.arguments)):
                    yield self._chunk(index, {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
            for piece in _cut(self._turn.text):
                yield self._chunk(index, {"content": piece})
            yield self._chunk(index, {}, finish=self._finish)
        if with_usage:
            yield self._head("chat.completion.chunk") | {"choices": [], "usage": self._usage}

    @property
    def _finish(self) -> str:
        return "tool_calls" if self._turn.tool else "stop"

    def _head(self, kind: str) -> Object:
        return {"id": f"chatcmpl-{self._id}", "object": kind, "created": self._created, "model": MODEL}

    def _tool_call(self, arguments: str) -> Object:
        function = {"name": self._turn.tool, "arguments": arguments}
        return {"id": f"call_{self._id}", "type": "function", "function": function}

    def _chunk(self, index: int, delta: Object, finish: str | None = None) -> Object:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self._head("chat.completion.chunk") | {"choices": [choice]}


def _tool_names(asked: Object) -> frozenset[str]:
    tools = cast("list[Object]", asked.get("tools") or [])
    return frozenset(str(cast("Object", tool["function"])["name"]) for tool in tools if "function" in tool)


def _cut(text: str) -> Iterator[str]:
    for start in range(0, len(text), _PIECE_CHARACTERS):
        yield text[start : start + _PIECE_CHARACTERS]


def _framed(pieces: Iterator[Object]) -> Iterator[bytes]:
    for piece in pieces:
        yield b"data: " + json.dumps(piece).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"


def _error(status: int, message: str) -> Response:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return JSONResponse({"error": error}, status_code=status)


def main() -> None:
    """Run the demo's model server."""
    parser = argparse.ArgumentParser(description="The demo's scripted model server (OpenAI chat wire protocol).")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path, required=True, help="request bodies are appended here")
    parser.add_argument("--key-file", type=Path, required=True, help="the one API key it accepts")
    options = parser.parse_args()
    key = cast("Path", options.key_file).read_text(encoding="utf-8").strip()
    serve(RequireBearer(application(cast("Path", options.log)), key), cast("int", options.port))


if __name__ == "__main__":
    main()
