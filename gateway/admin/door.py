"""The admin API's front door: Host, Origin, who it is, and a body that is plain JSON of bounded size."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote_to_bytes

from starlette.responses import RedirectResponse

from gateway.admin.parts import BODY_BYTES_MAX, AdminParts, Listener
from gateway.admin.peer import PEER_UID
from gateway.admin.problem import Problem, answer
from gateway.admin.sessions import proven
from gateway.body import MalformedBody, parse
from gateway.call import Headers, Refusal
from policy.decision import Principal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from gateway.admin.sessions import Sessions

#: Where a scope's state holds the verified principal, and the body as it was parsed.
PRINCIPAL = "oncegate.principal"
TREE = "oncegate.tree"
#: Where it holds the browser's session, if there is one.
SESSION = "oncegate.session"
#: Where it holds how to look anew who asks, for answers that go on; raises `Problem` when that is nobody any more.
STILL = "oncegate.still"
#: Open to who has no credential yet: the way to one, and the files its page needs.
LOGIN_PATH = "/login"
_OPEN = ("/login/", "/static/")
_STATIC = "/static/"
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
#: Who has no credential yet says a token, and has no longer than this for it.
_STRANGER_BYTES_MAX = 64 * 1024
_BODY_SECONDS_MAX = 30.0
#: What a page asks with nobody at the keyboard: its stream, and itself when that says so.
_STREAM = "/events"
_FOLLOWING = (b"hx-trigger", b"live")
_CONTENT_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
#: Says only that the process answers; orchestrators ask it without a credential.
HEALTH_PATH = "/healthz"


class Door:
    """ASGI middleware before every route, known or not."""

    def __init__(
        self, app: ASGIApp, *, parts: AdminParts, listener: Listener, sessions: Sessions | None = None
    ) -> None:
        self._app = app
        self._sessions = sessions
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
            await self._answer(problem, scope)(scope, receive, _guarded(send, scope))
            return
        await self._app(scope, entered, _guarded(send, scope))

    def _answer(self, problem: Problem, scope: Scope) -> ASGIApp:
        """Return the problem, or for a browser without a session the way to the login."""
        headers: Headers = tuple(scope["headers"])
        reads = scope["method"] == "GET" and any(name == b"accept" and b"text/html" in value for name, value in headers)
        if self._sessions is None or problem.status != 401 or not reads:  # noqa: PLR2004 - HTTP
            return answer(problem)
        return RedirectResponse(LOGIN_PATH, 303)

    async def _enter(self, scope: Scope, receive: Receive) -> Receive:
        headers: Headers = tuple(scope["headers"])
        if self._listener == "tcp":
            _check_host(headers, self._parts.hosts)
        if scope["path"] == HEALTH_PATH:
            return receive
        state: dict[str, object] = scope.setdefault("state", {})
        most = BODY_BYTES_MAX
        if self._sessions is None or not (scope["path"] == LOGIN_PATH or scope["path"].startswith(_OPEN)):
            state[PRINCIPAL] = owner(state) if self._listener == "socket" else await self._known(scope, headers, state)
            state[STILL] = lambda: self._known(scope, headers, {})
        else:
            most = _STRANGER_BYTES_MAX
            if scope["method"] not in _READING:
                _check_origin(headers)
        _check_words(scope)
        try:
            async with asyncio.timeout(_BODY_SECONDS_MAX):
                body = await _read(receive, most)
        except TimeoutError:
            raise Problem(408, "too_slow", f"expected a body within {_BODY_SECONDS_MAX:g} s") from None
        state[TREE] = _parsed(body)
        return _again(body, receive)

    async def _known(self, scope: Scope, headers: Headers, state: dict[str, object]) -> Principal:
        """Return who asks: by a credential of the request's own, else by the credential of its session."""
        follows = scope["path"] == _STREAM or _FOLLOWING in headers
        session = None if self._sessions is None else self._sessions.of(headers, by_itself=follows)
        if session is None or any(name == b"authorization" for name, _ in headers):
            return await self._verify(headers)
        if scope["method"] not in _READING:
            _check_origin(headers)
            if not proven(session, headers):
                raise Problem(403, "csrf", "expected the session's secret beside its cookie; reload the page")
        state[SESSION] = session
        if isinstance(session.credential, str):
            return await self._verify(((b"authorization", b"Bearer " + session.credential.encode()),))
        return self._admitted(session.credential.principal)

    def _admitted(self, principal: Principal) -> Principal:
        """Return who has logged in by a provider, unless they were blocked since."""
        if self._parts.admit is None:
            raise Problem(401, "unauthenticated", "expected a credential")
        try:
            self._parts.admit(principal)
        except Refusal as refusal:
            raise Problem(refusal.status, refusal.code, refusal.message) from None
        return principal

    async def _verify(self, headers: Headers) -> Principal:
        try:
            return await self._parts.authenticate(headers)
        except Refusal as refusal:
            challenge = {"www-authenticate": "Bearer"} if refusal.status == 401 else {}  # noqa: PLR2004 - HTTP
            raise Problem(refusal.status, refusal.code, refusal.message, challenge) from None


def _check_origin(headers: Headers) -> None:
    # a browser names where a request comes from whenever it could change something; that it is ours was checked
    if not any(name == b"origin" for name, _ in headers):
        raise Problem(403, "foreign_origin", "expected `Origin`; requests from pages of other sites are not answered")


def _guarded(send: Send, scope: Scope) -> Send:
    kept = b"private, max-age=3600" if scope["path"].startswith(_STATIC) else b"no-store"

    async def send_guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            # answers hold tokens and what agents did: no cache keeps them, no browser guesses at them
            message["headers"] = [
                *message["headers"], (b"cache-control", kept), (b"x-content-type-options", b"nosniff"),
                (b"content-security-policy", _CONTENT_POLICY), (b"referrer-policy", b"no-referrer"),
                (b"cross-origin-opener-policy", b"same-origin"), (b"x-frame-options", b"DENY"),
                # another port of this host is the same site: cookies go there and back, answers do not
                (b"cross-origin-resource-policy", b"same-origin"),
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


def _check_words(scope: Scope) -> None:
    # no name holds it, and a database that takes it for an end, or for an error, is not asked
    if "\0" in scope["path"] or b"\0" in unquote_to_bytes(scope["query_string"]):
        raise Problem(422, "invalid", "expected no NUL character in paths and parameters")


async def _read(receive: Receive, most: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Problem(400, "incomplete", "the request ended before its body")
        part = cast("bytes", message.get("body", b""))
        size += len(part)
        if size > most:
            raise Problem(413, "too_large", f"expected a body of at most {most} bytes")
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
