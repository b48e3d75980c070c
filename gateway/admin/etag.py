"""Entity tags for what the admin API answers to GET: a hash of the body, so that asking again costs few bytes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_OK = 200
_PREFIX = "/api/"


class Tagged:
    """ASGI middleware; streams pass untouched, for they are not under `/api/`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request, with `ETag`, or `304` where the asker has the same."""
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].startswith(_PREFIX):
            await self._app(scope, receive, send)
            return
        asked = {value.strip() for name, value in scope["headers"] if name == b"if-none-match"
                 for value in value.split(b",")}  # fmt: skip
        start: Message = {}
        parts: list[bytes] = []

        async def kept(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            parts.append(message.get("body", b""))
            if message.get("more_body", False):
                return
            body = b"".join(parts)
            if start["status"] == _OK:
                tag = b'"' + hashlib.sha256(body).hexdigest()[:32].encode() + b'"'
                start["headers"] = [*start["headers"], (b"etag", tag)]
                if tag in asked:
                    plain = [one for one in start["headers"] if one[0] not in {b"content-length", b"content-type"}]
                    start, body = {**start, "status": 304, "headers": plain}, b""
            await send(start)
            await send({"type": "http.response.body", "body": body})

        await self._app(scope, receive, kept)
