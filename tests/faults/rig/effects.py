"""The upstream of the fault rig: an MCP server and a model server in one process that write down every effect.

`python -m tests.faults.rig.effects --ledger FILE` says its port as a line. Each effect is one flushed line of the
ledger, written before anything is answered: what the world has seen, whatever becomes of the gateway. Over
`/control/…` the rig asks it to hold the next answer, whole or after its first part.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from mcp.server import MCPServer
from mcp.server.mcpserver import Context  # noqa: TC002 - read by the SDK at run time
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from gateway.demo.serving import serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.applications import Starlette
    from starlette.requests import Request

Where = Literal["answer", "stream"]
KEY_META: Final = "dev.oncegate/idempotency-key"
_HOLD_SECONDS_MAX: Final = 60.0
_STREAMED_PARTS: Final = 4


class Ledger:
    """Effects as flushed lines. A `keyed` effect asked again under its key is found, not repeated."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._by_key: dict[str, str] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                entry = json.loads(line)
                if entry["class"] == "keyed" and entry["key"]:
                    self._by_key[entry["key"]] = entry["receipt"]

    def effect(self, effect: str, name: str, key: str | None) -> str:
        """Write one effect down; returns its receipt, which no other effect has."""
        known = self._by_key.get(key) if effect == "keyed" and key else None
        receipt = known or f"{name}#{secrets.token_hex(8)}"
        entry = {"class": effect, "name": name, "key": key, "receipt": receipt, "repeat": known is not None,
                 "time": time.time()}  # fmt: skip
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, (json.dumps(entry) + "\n").encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if effect == "keyed" and key:
            self._by_key[key] = receipt
        return receipt


class Holding:
    """Holds the next answer when told so, until told to go on."""

    def __init__(self) -> None:
        self._where: Where | None = None
        self._held = asyncio.Event()
        self._go_on = asyncio.Event()

    def arm(self, where: Where) -> None:
        """Hold the next answer: all of it, or what follows its first part."""
        self._where = where
        self._held = asyncio.Event()
        self._go_on = asyncio.Event()

    async def held(self) -> None:
        """Wait until an answer is held."""
        await asyncio.wait_for(self._held.wait(), _HOLD_SECONDS_MAX)

    def go_on(self) -> None:
        """Let the held answer go, and hold none."""
        self._where = None
        self._go_on.set()

    async def at(self, where: Where) -> None:
        """Be held here, if this is where."""
        if self._where != where:
            return
        self._where = None
        self._held.set()
        await asyncio.wait_for(self._go_on.wait(), _HOLD_SECONDS_MAX)


def tools(ledger: Ledger, holding: Holding) -> MCPServer[object]:
    """Return the MCP server: a tool of each class, all writing effects."""
    server: MCPServer[object] = MCPServer("effects", version="1")

    async def happen(effect: str, name: str, context: Context[Any, Any]) -> dict[str, object]:
        meta = context.request_context.meta
        key = cast("dict[str, Any]", meta).get(KEY_META) if meta else None
        receipt = ledger.effect(effect, name, key)
        await context.report_progress(1, 2, "the effect has happened")
        await holding.at("stream")
        await holding.at("answer")
        return {"receipt": receipt}

    @server.tool()
    async def pay(name: str, context: Context[Any, Any]) -> dict[str, object]:
        """Do what must never be repeated."""
        return await happen("once", name, context)

    @server.tool()
    async def put(name: str, context: Context[Any, Any]) -> dict[str, object]:
        """Do what is done once a key."""
        return await happen("keyed", name, context)

    @server.tool()
    async def look(name: str, context: Context[Any, Any]) -> dict[str, object]:
        """Do what may be repeated."""
        return await happen("safe", name, context)

    del pay, put, look
    return server


def _chunk(text: str, *, last: bool = False) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": "stop" if last else None}
    head = {"id": "chatcmpl-rig", "object": "chat.completion.chunk", "created": 1, "model": "rig"}
    return b"data: " + json.dumps({**head, "choices": [choice]}).encode() + b"\n\n"


def model(ledger: Ledger, holding: Holding) -> Route:
    """Return the model: it answers the receipt of what the last message names; a hosted tool makes it `once`."""

    async def parts(receipt: str) -> AsyncIterator[bytes]:
        size = len(receipt) // _STREAMED_PARTS + 1
        for at in range(0, len(receipt), size):
            yield _chunk(receipt[at : at + size])
            await holding.at("stream")
        yield _chunk("", last=True) + b"data: [DONE]\n\n"

    async def complete(request: Request) -> Response:
        asked = cast("dict[str, Any]", await request.json())
        effect = "once" if any(tool.get("type") != "function" for tool in asked.get("tools", ())) else "safe"
        receipt = ledger.effect(effect, asked["messages"][-1]["content"], request.headers.get("idempotency-key"))
        if asked.get("stream"):
            return StreamingResponse(parts(receipt), media_type="text/event-stream")
        await holding.at("answer")
        message = {"role": "assistant", "content": receipt}
        return JSONResponse({
            "id": "chatcmpl-rig", "object": "chat.completion", "created": 1, "model": "rig",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        })  # fmt: skip

    return Route("/v1/chat/completions", complete, methods=["POST"])


def control(holding: Holding) -> list[Route]:
    """Return what the rig steers with."""

    async def arm(request: Request) -> Response:
        holding.arm(cast("Where", (await request.json())["where"]))
        return Response(status_code=204)

    async def held(_: Request) -> Response:
        await holding.held()
        return Response(status_code=204)

    async def go_on(_: Request) -> Response:
        holding.go_on()
        return Response(status_code=204)

    return [
        Route("/control/arm", arm, methods=["POST"]),
        Route("/control/held", held, methods=["POST"]),
        Route("/control/go_on", go_on, methods=["POST"]),
    ]


def application(ledger: Path) -> Starlette:
    """Return all of it: `/mcp`, `/v1/chat/completions`, `/control/…`."""
    kept, holding = Ledger(ledger), Holding()
    app = tools(kept, holding).streamable_http_app()
    app.routes.extend([model(kept, holding), *control(holding)])
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The fault rig's upstream.")
    parser.add_argument("--ledger", type=Path, required=True)
    serve(application(cast("Path", parser.parse_args().ledger)), 0)
