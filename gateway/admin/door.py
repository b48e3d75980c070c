"""The admin API's front door: Host, Origin, who it is, and a body that is plain JSON of bounded size."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

from gateway.admin.parts import BODY_BYTES_MAX, AdminParts, Listener
from gateway.admin.peer import PEER_UID
from gateway.admin.problem import Problem, answer
from gateway.body import MalformedBody, parse
from gateway.call import Headers, Refusal
from policy.decision import Principal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Where a scope's state holds the verified principal, and the body as it was parsed.
PRINCIPAL = "oncegate.principal"
TREE = "oncegate.tree"
#: Says only that the process answers; orchestrators ask it without a credential.
HEALTH_PATH = "/healthz"


class Door:
    """ASGI middleware before every route, known or not."""

    def __init__(self, app: ASGIApp, *, parts: AdminParts, listener: Listener) -> None:
        self._app = app
        self._parts = parts
        self._listener: Listener = listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it with a problem."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        try:
            entered = await self._enter(scope, receive)
        except Problem as problem:
            await answer(problem)(scope, receive, _guarded(send))
            return
        await self._app(scope, entered, _guarded(send))

    async def _enter(self, scope: Scope, receive: Receive) -> Receive:
        headers: Headers = tuple(scope["headers"])
        if self._listener == "tcp":
            _check_host(headers, self._parts.hosts)
        if scope["path"] == HEALTH_PATH:
            return receive
        state: dict[str, object] = scope.setdefault("state", {})
        state[PRINCIPAL] = owner(state) if self._listener == "socket" else await self._verify(headers)
        body = await _read(receive)
        state[TREE] = _parsed(body)
        return _again(body, receive)

    async def _verify(self, headers: Headers) -> Principal:
        try:
            return await self._parts.authenticate(headers)
        except Refusal as refusal:
            challenge = {"www-authenticate": "Bearer"} if refusal.status == 401 else {}  # noqa: PLR2004 - HTTP
            raise Problem(refusal.status, refusal.code, refusal.message, challenge) from None


def _guarded(send: Send) -> Send:
    async def send_guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            # answers hold tokens and what agents did: no cache keeps them, no browser guesses at them
            message["headers"] = [
                *message["headers"], (b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")
            ]  # fmt: skip
        await send(message)

    return send_guarded


def owner(state: dict[str, object]) -> Principal:
    """Return the owner as a principal. Raises `Problem` when the peer was not checked, or is another."""
    uid = state.get(PEER_UID)
    if not isinstance(uid, int) or uid != os.geteuid():
        raise Problem(403, "not_the_owner", "the socket answers only its owner")
    return Principal(agent="owner", domain="-", method="socket", credential=f"uid:{uid}")


def _check_host(headers: Headers, hosts: frozenset[str]) -> None:
    named = [value for name, value in headers if name == b"host"]
    if len(named) != 1 or named[0].decode("latin-1").lower() not in hosts:
        # a page of another site that resolved to this address (DNS rebinding)
        raise Problem(421, "unknown_host", "expected the listener's own name in `Host`; see `hosts` in oncegate.yaml")
    for name, value in headers:
        if name == b"origin" and value.decode("latin-1").lower().partition("://")[2] not in hosts:
            raise Problem(403, "foreign_origin", "requests from pages of other sites are not answered")


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Problem(400, "incomplete", "the request ended before its body")
        part = cast("bytes", message.get("body", b""))
        size += len(part)
        if size > BODY_BYTES_MAX:
            raise Problem(413, "too_large", f"expected a body of at most {BODY_BYTES_MAX} bytes")
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _parsed(body: bytes) -> object:
    if not body:
        return None
    try:
        return parse(body)
    except MalformedBody as error:
        raise Problem(400, "malformed", f"expected one plain JSON value: {error}") from None


def _again(body: bytes, receive: Receive) -> Receive:
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again
