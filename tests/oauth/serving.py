"""An application served from a thread, on loopback, for as long as a test needs it."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, cast

import uvicorn

if TYPE_CHECKING:
    from starlette.applications import Starlette


class Served:
    """`url` is the server's address without a closing slash."""

    def __init__(self, app: Starlette) -> None:
        config = uvicorn.Config(
            app, host="127.0.0.1", port=0, log_config=None, lifespan="off", ws="none", log_level="critical"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.serve()), daemon=True)
        self._thread.start()
        started = threading.Event()
        while not self._server.started:
            started.wait(0.02)
        self.port = cast("int", self._server.servers[0].sockets[0].getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(60)
