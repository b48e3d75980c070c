"""The demo's trace collector: takes OTLP over HTTP and appends what it gets to a file."""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path
from typing import TYPE_CHECKING, cast

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from gateway.demo.serving import serve

if TYPE_CHECKING:
    from starlette.requests import Request


def application(log: Path) -> Starlette:
    """Return the collector's app; the protobuf of every export is appended to `log`."""

    async def take(request: Request) -> Response:
        content = await request.body()
        if request.headers.get("content-encoding") == "gzip":
            content = gzip.decompress(content)
        with log.open("ab") as file:
            file.write(content + b"\n")
        return Response(b"", media_type="application/x-protobuf")

    return Starlette(routes=[Route("/{path:path}", take, methods=["POST"])])


def main() -> None:
    """Run the demo's trace collector."""
    parser = argparse.ArgumentParser(description="The demo's trace collector (OTLP over HTTP).")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path, required=True, help="exports are appended here")
    options = parser.parse_args()
    serve(application(cast("Path", options.log)), cast("int", options.port))


if __name__ == "__main__":
    main()
