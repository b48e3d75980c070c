"""A scripted upstream that speaks the OpenAI chat protocol on a real socket, and keeps what it was sent."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import uvicorn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, object]


@dataclass
class Script:
    """What the next answers are: a status, a body, or chunks of a stream; `cut` drops the connection."""

    status: int = 200
    body: dict[str, object] | None = None
    chunks: list[str] | None = None
    cut_after: int | None = None
    headers: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])
    hold: threading.Event | None = None
    #: after how many chunks of a stream it is held, instead of before the answer
    hold_after: int | None = None


def completion(text: str = "hello", **more: object) -> dict[str, object]:
    message: dict[str, object] = {"role": "assistant", "content": text, **more}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if "tool_calls" in more else "stop"}
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "up", "choices": [choice],
            "usage": usage, "vendor_extra": {"kept": 1.50}}  # fmt: skip


def chunks_of(pieces: list[str], *, finish: str = "stop") -> list[str]:
    deltas: list[dict[str, object]] = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in pieces)]
    return [chunk(delta) for delta in deltas] + [chunk({}, finish), "[DONE]"]


def chunk(delta: dict[str, object], finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return json.dumps({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": [choice]})


class ModelUpstream:
    """Runs in a thread; `received` are request bodies, `script` decides each answer."""

    def __init__(self) -> None:
        self.received: list[dict[str, object]] = []
        self.authorizations: list[str] = []
        self.script: Callable[[dict[str, object]], Script] = lambda _: Script()
        config = uvicorn.Config(self._app, host="127.0.0.1", port=0, log_config=None, lifespan="off", ws="none",
                                interface="asgi3", log_level="critical")  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.serve()), daemon=True)
        self._thread.start()
        started = threading.Event()
        while not self._server.started:
            started.wait(0.02)
        self.port = cast("int", self._server.servers[0].sockets[0].getsockname()[1])

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(60)

    async def _app(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        content = b""
        while True:
            message = await receive()
            content += cast("bytes", message.get("body", b""))
            if not message.get("more_body"):
                break
        request = cast("dict[str, object]", json.loads(content))
        self.received.append(request)
        headers = dict(cast("list[tuple[bytes, bytes]]", scope["headers"]))
        self.authorizations.append(headers.get(b"authorization", b"").decode())
        script = self.script(request)
        if script.hold is not None and script.hold_after is None:
            await asyncio.to_thread(script.hold.wait, 60)
        chunks = script.chunks if script.chunks is not None else chunks_of(["hel", "lo"])
        streamed = bool(request.get("stream")) and script.status == 200 and script.body is None
        media = b"text/event-stream" if streamed else b"application/json"
        body = json.dumps(script.body if script.body is not None else completion()).encode()
        head = [(b"content-type", media), *script.headers]
        if not streamed:
            head.append((b"content-length", str(len(body)).encode()))
        if script.cut_after == 0:
            raise ConnectionError("cut, as the script says")
        await send({"type": "http.response.start", "status": script.status, "headers": head})
        if not streamed:
            cut = body if script.cut_after is None else body[: script.cut_after]
            await send({"type": "http.response.body", "body": cut, "more_body": script.cut_after is not None})
            if script.cut_after is not None:
                raise ConnectionError("cut, as the script says")
            return
        await _stream(script, chunks, send)


async def _stream(script: Script, chunks: list[str], send: Callable[[Message], Awaitable[None]]) -> None:
    for number, one in enumerate(chunks):
        if script.cut_after is not None and number == script.cut_after:
            raise ConnectionError("cut, as the script says")
        if script.hold is not None and number == script.hold_after:
            await asyncio.to_thread(script.hold.wait, 60)
        await send({"type": "http.response.body", "body": f"data: {one}\n\n".encode(), "more_body": True})
    await send({"type": "http.response.body", "body": b""})
