"""How the demo's servers run: on loopback, for one bearer token, and no longer than who started them."""

from __future__ import annotations

import asyncio
import hmac
import os
import socket
import stat
import sys
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_STDIN = 0


class RequireBearer:
    """Lets nobody in but who has the token: the gateway, not the agent."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401."""
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._expected):
                await send({"type": "http.response.start", "status": 401, "headers": []})
                await send({"type": "http.response.body", "body": b'{"error": {"message": "not for you"}}'})
                return
        await self._app(scope, receive, send)


def serve(app: ASGIApp, port: int) -> None:
    """Serve on `127.0.0.1:port` (0: any free one), say the port as a line, and run until told to stop.

    Started with a pipe as standard input, it also stops when that closes: with its parent.
    """
    listening = socket.create_server(("127.0.0.1", port))
    # asyncio sets it only where the protocol number is known; without it answers of two writes take 40 ms
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="auto", timeout_graceful_shutdown=1, ws="none"
    )
    server = uvicorn.Server(config)
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    asyncio.run(_run(server, listening))


async def _run(server: uvicorn.Server, listening: socket.socket) -> None:
    if stat.S_ISFIFO(os.fstat(_STDIN).st_mode):

        def parent_spoke() -> None:
            if not os.read(_STDIN, 1024):
                asyncio.get_running_loop().remove_reader(_STDIN)
                server.should_exit = True

        asyncio.get_running_loop().add_reader(_STDIN, parent_spoke)
    await server.serve(sockets=[listening])
