"""An MCP server that charges: each charge is an effect in a list, and what becomes of its answer is scripted."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

import uvicorn

from tests.mcp.introduced import introduced

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, object]

KEY = "dev.oncegate/idempotency-key"
TOOLS = ("charge", "charge_patient", "charge_like", "charge_mute", "charge_keyed", "charge_safe", "list_charges")


@dataclass
class Way:
    """What becomes of charges: whether they happen, and how they are answered."""

    happens: bool = True
    answer: Literal["result", "cut", "error", "stream", "cut_stream"] = "result"
    status: int = 200
    hold: threading.Event | None = None
    #: what a record carries of what was asked
    keeps_key: bool = True


@dataclass
class Bank:
    """Runs in a thread. `charges` are the effects, `asked` the names of all tools called, in order."""

    charges: list[dict[str, object]] = field(default_factory=list[dict[str, object]])
    asked: list[str] = field(default_factory=list[str])
    keys: list[str] = field(default_factory=list[str])
    way: Way = field(default_factory=Way)
    #: what listing answers instead of the charges
    listing: dict[str, object] | None = None
    listed: list[dict[str, object]] = field(default_factory=list[dict[str, object]])

    def __post_init__(self) -> None:
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

    def fresh(self) -> None:
        """Forget everything."""
        self.charges, self.asked, self.keys, self.way, self.listing, self.listed = [], [], [], Way(), None, []

    async def _app(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        del scope
        content = b""
        while True:
            message = await receive()
            content += cast("bytes", message.get("body", b""))
            if not message.get("more_body"):
                break
        asked = json.loads(content)
        if "id" not in asked:
            await _say(send, 202, b"")
            return
        params = asked.get("params", {})
        if (said := introduced(asked, *TOOLS)) is not None:
            await _say(send, 200, json.dumps(said).encode())
            return
        self.asked.append(str(params.get("name")))
        if params.get("name") == "list_charges":
            self.listed.append(params.get("arguments"))
            await _say(send, 200, _response(asked["id"], self.listing or _result({"charges": self.charges})))
        else:
            await self._charge(asked["id"], params, send)

    async def _charge(self, ident: object, params: Message, send: Callable[[Message], Awaitable[None]]) -> None:
        way, arguments = self.way, cast("dict[str, object]", params.get("arguments"))
        key = cast("dict[str, str]", params.get("_meta", {})).get(KEY, "")
        self.keys.append(key)
        made = {"charge_id": f"charge-{len(self.charges) + 1:04}", **arguments}
        if way.happens:
            self.charges.append(made | ({"key": key} if way.keeps_key else {}))
        if way.hold is not None:
            await asyncio.to_thread(way.hold.wait, 60)
        if way.answer == "cut":
            raise ConnectionError("cut, as the way says")
        response = _response(ident, _result(made))
        if way.answer in {"stream", "cut_stream"}:
            told = {
                "jsonrpc": "2.0",
                "method": "notifications/message",
                "params": {"level": "info", "data": "charging"},
            }
            events = [f"data: {json.dumps(told)}\n\n".encode(), b"data: " + response + b"\n\n"]
            await send(
                {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}
            )
            await send({"type": "http.response.body", "body": events[0], "more_body": True})
            if way.answer == "cut_stream":
                raise ConnectionError("cut, as the way says")
            await send({"type": "http.response.body", "body": events[1]})
            return
        if way.answer == "error":
            response = json.dumps({"error": "gateway timeout"}).encode()
        await _say(send, way.status, response)


def _result(said: dict[str, object]) -> dict[str, object]:
    text = [{"type": "text", "text": json.dumps(said)}]
    return {"resultType": "complete", "content": text, "structuredContent": said}


def _response(ident: object, result: dict[str, object]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": ident, "result": result}).encode()


async def _say(send: Callable[[Message], Awaitable[None]], status: int, content: bytes) -> None:
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": content})
