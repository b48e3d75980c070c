"""An MCP server that demands a token of an authority for itself, and keeps who called it with what."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import jwt
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.oauth.serving import Served

if TYPE_CHECKING:
    from starlette.requests import Request

    from tests.oauth.authority import Authority

_TOOLS = [
    {"name": "note", "inputSchema": {"type": "object"}, "description": "notes"},
    {"name": "erase", "inputSchema": {"type": "object"}, "description": "erases"},
]


@dataclass
class Ledger:
    """Runs in a thread. `notes` are the effects: who (`sub`), for whom (`act`), which tool.

    Without an authority anybody may call. Tokens in `revoked` are refused, all of them while `closed`.
    """

    authority: Authority | None = None
    notes: list[dict[str, object]] = field(default_factory=list[dict[str, object]])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    revoked: set[str] = field(default_factory=set[str])
    closed: bool = False
    #: whether a refusal says that it was the token (RFC 6750)
    challenges: bool = True
    refused: int = 0

    def __post_init__(self) -> None:
        self._served = Served(Starlette(routes=[Route("/mcp", self._answer, methods=["POST"])]))
        self.url = f"{self._served.url}/mcp"

    def close(self) -> None:
        self._served.close()

    async def _answer(self, request: Request) -> Response:
        self.headers.append(dict(request.headers))
        who = self._who(request.headers.get("authorization", ""))
        if who is None:
            self.refused += 1
            challenge = {"www-authenticate": 'Bearer error="invalid_token"'} if self.challenges else {}
            return Response(status_code=401, headers=challenge)
        asked = json.loads(await request.body())
        result: dict[str, object] = {"resultType": "complete"}
        match asked["method"]:
            case "server/discover":
                result |= {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "ttlMs": 0,
                           "cacheScope": "private"}  # fmt: skip
            case "tools/list":
                result |= {"tools": _TOOLS, "ttlMs": 0, "cacheScope": "private"}
            case "tools/call":
                self.notes.append({"sub": who.get("sub"), "act": who.get("act"), "scope": who.get("scope"),
                                   "tool": asked["params"]["name"]})  # fmt: skip
                result |= {"content": [{"type": "text", "text": "noted"}]}
            case _:
                error = {"code": -32601, "message": "method not found"}
                return JSONResponse({"jsonrpc": "2.0", "id": asked.get("id"), "error": error}, 404)
        return JSONResponse({"jsonrpc": "2.0", "id": asked["id"], "result": result})

    def _who(self, authorization: str) -> dict[str, object] | None:
        if self.authority is None:
            return {}
        token = authorization.removeprefix("Bearer ")
        if self.closed or token in self.revoked:
            return None
        try:
            return self.authority.verify(token, self.url)
        except jwt.PyJWTError:
            return None
