"""The fixture over the oldest HTTP transport (MCP 2024-11-05): `python -m tests.mcp.fixture_old` says its port."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, cast

from mcp.server.sse import SseServerTransport
from mcp.shared.exceptions import MCPDeprecationWarning
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Mount, Route

from gateway.demo.serving import serve
from tests.mcp.fixture_server import everything

if TYPE_CHECKING:
    from starlette.requests import Request


def application(effects: Path | None) -> Starlette:
    """Return the fixture, heard at `/sse`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        transport = SseServerTransport("/messages/")

    async def heard(request: Request) -> Response:
        server = everything(effects)
        send = request._send  # pyright: ignore[reportPrivateUsage] - the SDK's transport wants it
        async with transport.connect_sse(request.scope, request.receive, send) as (reading, writing):
            await server.run(reading, writing, server.create_initialization_options())
        return Response()

    return Starlette(routes=[Route("/sse", endpoint=heard), Mount("/messages/", app=transport.handle_post_message)])


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description="The fixture over the transport of 2024.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--effects", type=Path, default=None)
    options = parser.parse_args()
    serve(application(cast("Path | None", options.effects)), cast("int", options.port))


if __name__ == "__main__":
    main()
