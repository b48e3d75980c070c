"""A fast upstream for benchmarks: a chat answer, a stream of 100 deltas, an MCP tool result. Prints its port.

With milliseconds as its argument the stream is written delta by delta, that far apart, as a model writes; with 0 each
delta is still written by itself, the next one at once. `max_tokens` of a request says how many deltas.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from functools import cache
from typing import Final, cast

import httptools
import uvloop

from tests.mcp.introduced import introduced

_DELTAS = 100
_TEXT = "The quick brown fox jumps over the lazy dog and keeps going. " * 10
_ANSWER = json.dumps({
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "mock",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": _TEXT}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 100, "completion_tokens": 120, "total_tokens": 220},
}).encode()  # fmt: skip


def _chunk(delta: dict[str, object], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "mock", "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


@cache
def chunks(deltas: int) -> list[bytes]:
    """Return the events of a stream with so many pieces of text."""
    return [
        _chunk({"role": "assistant", "content": ""}),
        *(_chunk({"content": f"word{number} "}) for number in range(deltas)),
        _chunk({}, "stop"), b"data: [DONE]\n\n",
    ]  # fmt: skip


_ASKED: Final = re.compile(rb'"max_tokens": ?(\d{1,6})')
_PACED_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


#: For clients of the older era (MCP 2025-11-25, lifecycle).
_INITIALIZED: Final[dict[str, object]] = {
    "protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "mock", "version": "1"},
}  # fmt: skip
_CALLED: Final[dict[str, object]] = {
    "resultType": "complete",
    "content": [{"type": "text", "text": "echo"}],
    "isError": False,
}


def _begins(asked: dict[str, object]) -> bool:
    return asked.get("method") == "initialize"


def _head(media: str, length: int) -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: {media}\r\ncontent-length: {length}\r\n\r\n".encode()


class Mock(asyncio.Protocol):
    def __init__(self, pause_seconds: float | None) -> None:
        self._pause = pause_seconds
        self._streaming: asyncio.Task[None] | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._body: list[bytes] = []
        self._url = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._url, self._body = url, []

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        content = b"".join(self._body)
        if self._url.endswith(b"/mcp"):
            asked = cast("dict[str, object]", json.loads(content))
            if "id" not in asked:  # a notification
                self._transport.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
                return
            said = {"jsonrpc": "2.0", "id": asked["id"], "result": _INITIALIZED if _begins(asked) else _CALLED}
            body = json.dumps(introduced(asked, "echo") or said).encode()
            self._transport.write(_head("application/json", len(body)) + body)
        elif b'"stream": true' in content or b'"stream":true' in content:
            asked = _ASKED.search(content)
            events = chunks(int(asked[1]) if asked else _DELTAS)
            if self._pause is not None:
                self._streaming = asyncio.create_task(self._stream(events, self._pause))
            else:
                stream = b"".join(events)
                self._transport.write(_head("text/event-stream", len(stream)) + stream)
        else:
            self._transport.write(_head("application/json", len(_ANSWER)) + _ANSWER)

    async def _stream(self, events: list[bytes], pause_seconds: float) -> None:
        self._transport.write(_PACED_HEAD)
        for chunk in events:
            self._transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            await asyncio.sleep(pause_seconds)
        self._transport.write(b"0\r\n\r\n")


async def main(pause_seconds: float | None) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Mock(pause_seconds), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)  # until whoever started it goes


if __name__ == "__main__":
    uvloop.run(main(float(sys.argv[1]) / 1000 if len(sys.argv) > 1 else None))
