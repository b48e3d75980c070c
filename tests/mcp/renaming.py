"""Names put on and taken off, so that the conformance suite finds its fixture at the joined endpoint.

The suite calls fixed names (`test_simple_text`); there they are `everything__test_simple_text`. Nothing else
is changed: `python -m tests.mcp.renaming --to URL` says its port as a line.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any, Final, cast

import httpx
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

from gateway.demo.serving import serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    Tree = dict[str, Any]

SERVER: Final = "everything"
_NAMED: Final = {"tools/call", "prompts/get"}
_HOPS: Final = {"content-length", "transfer-encoding", "connection", "host", "date", "server"}


def renamed(message: Tree) -> Tree:
    """Return a request with names as the joined endpoint has them."""
    raw = message.get("params")
    if not isinstance(raw, dict):
        return message
    params = dict(cast("Tree", raw))
    if message.get("method") in _NAMED and isinstance(params.get("name"), str):
        params["name"] = f"{SERVER}__{params['name']}"
    if isinstance(params.get("uri"), str):
        params["uri"] = f"oncegate://{SERVER}/{params['uri']}"
    if isinstance(ref := params.get("ref"), dict):
        params["ref"] = {
            key: f"{SERVER}__{value}" if key == "name" else f"oncegate://{SERVER}/{value}" if key == "uri" else value
            for key, value in cast("Tree", ref).items()
        }
    if isinstance(asked := params.get("notifications"), dict) and "resourceSubscriptions" in asked:
        uris = [f"oncegate://{SERVER}/{uri}" for uri in cast("Tree", asked)["resourceSubscriptions"]]
        params["notifications"] = cast("Tree", asked) | {"resourceSubscriptions": uris}
    return message | {"params": params}


def plain(line: str) -> str:
    """Return a line of an answer with names as the fixture has them."""
    return line.replace(f"{SERVER}__", "").replace(f"oncegate://{SERVER}/", "")


def application(to: str) -> Starlette:
    """Return the renaming proxy."""
    client = httpx.AsyncClient(timeout=None)  # noqa: S113 - the suite has limits of its own

    async def pass_on(request: Request) -> StreamingResponse:
        own = request.url.netloc
        headers = [(name, value.strip()) for name, value in request.headers.items() if name not in _HOPS]
        host = request.headers.get("host", "")
        if host != own or not own.startswith(("localhost:", "127.0.0.1:")):
            headers.append(("host", host))
        content = await request.body()
        try:
            before = json.loads(content)
            after = renamed(before)
            content = json.dumps(after).encode() if after is not before else content
            headers = [(name, _mirrored(name, value, before, after)) for name, value in headers]
        except (ValueError, AttributeError):
            pass  # the suite's own garbage goes as it is
        asked = client.build_request(request.method, to, headers=headers, content=content)
        answer = await client.send(asked, stream=True)

        async def lines() -> AsyncIterator[bytes]:
            try:
                rest = ""
                async for text in answer.aiter_text():
                    *whole, rest = (rest + text).split("\n")
                    for line in whole:
                        yield (plain(line) + "\n").encode()
                yield plain(rest).encode()
            except httpx.RemoteProtocolError:
                return  # the gateway ended the stream, as it does for a client that has left
            finally:
                await answer.aclose()

        kept = {name: value for name, value in answer.headers.items() if name not in _HOPS}
        return StreamingResponse(lines(), answer.status_code, kept)

    return Starlette(routes=[Route("/mcp", pass_on, methods=["GET", "POST", "DELETE", "OPTIONS"])])


def _mirrored(name: str, value: str, before: Tree, after: Tree) -> str:
    if name != "mcp-name":
        return value
    was, now = before.get("params", {}), after.get("params", {})
    return next((now[key] for key in ("name", "uri") if was.get(key) == value), value)


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description="Names put on and taken off.")
    parser.add_argument("--to", required=True)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    serve(application(cast("str", options.to)), cast("int", options.port))


if __name__ == "__main__":
    main()
