"""A real key server on loopback, whose answers a test decides."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope


@dataclass
class KeyServer:
    """`fetches` counts requests; while `gate` is clear, answers wait."""

    content: bytes = b""
    status: int = 200
    headers: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])
    fetches: int = 0
    url: str = ""
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def app(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        del receive
        assert scope["type"] == "http"
        self.fetches += 1
        self.asked.set()
        await self.gate.wait()
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers, "trailers": False})
        await send({"type": "http.response.body", "body": self.content, "more_body": False})


@contextlib.asynccontextmanager
async def key_server(content: bytes, certificate: tuple[Path, Path] | None = None) -> AsyncGenerator[KeyServer, None]:
    """Serve `content` on an ephemeral port of loopback, over TLS with a certificate and its key."""
    keys = KeyServer(content=content)
    keys.gate.set()
    config = uvicorn.Config(
        keys.app, host="127.0.0.1", port=0, interface="asgi3", log_level="error", lifespan="off", ws="none",
        ssl_certfile=None if certificate is None else certificate[0],
        ssl_keyfile=None if certificate is None else certificate[1],
    )  # fmt: skip
    server = uvicorn.Server(config)
    socket = config.bind_socket()
    keys.url = f"{'http' if certificate is None else 'https'}://127.0.0.1:{socket.getsockname()[1]}/keys"
    serving = asyncio.create_task(server.serve(sockets=[socket]))
    try:
        yield keys
    finally:
        keys.gate.set()
        server.should_exit = True
        await asyncio.wait_for(serving, 60)
        socket.close()
