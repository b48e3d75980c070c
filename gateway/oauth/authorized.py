"""A server that wants tokens: each request carries one that holds, and a refused one is replaced once.

A request is sent again only after a 401 with a `Bearer` challenge (RFC 6750 section 3): that is the answer of
the check that stands before any execution, so it is safe for every class of effect, `once` too. A 401
without it may come from anywhere behind; it is passed on, and only the next call gets another token.
"""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from gateway import body
from gateway.call import Refusal, header
from gateway.oauth.subjects import Own

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.call import Exchange, Headers, Upstream, UpstreamRequest, UpstreamResponse
    from gateway.oauth.subjects import Subject
    from gateway.oauth.tokens import Tokens
    from policy.decision import Principal

_UNAUTHORIZED: Final = 401
_SCHEME: Final = b"Bearer "


class Authorized:
    """An upstream with the tokens for it. `may_send` says whether this instance still holds its lease."""

    def __init__(self, upstream: Upstream, tokens: Tokens, may_send: Callable[[], bool]) -> None:
        self._upstream = upstream
        self._tokens = tokens
        self._may_send = may_send

    async def send(self, request: UpstreamRequest, *, seconds_max: float) -> UpstreamResponse:
        """Send and wait for the answer's head. Raises `NotSent`, `Sent`."""
        token = _token(request)
        if token is None:
            return await self._upstream.send(request, seconds_max=seconds_max)
        until = asyncio.get_running_loop().time() + seconds_max
        newest = await self._tokens.newest(token)
        if newest != token:  # a stream or session that outlived the token it began with
            token, request = newest, _with(request, newest)
        response = await self._upstream.send(request, seconds_max=seconds_max)
        if response.status != _UNAUTHORIZED:
            return response
        if not _challenges(response.headers):
            self._tokens.forget(token)
            return response
        another = await self._tokens.instead(token)
        left = until - asyncio.get_running_loop().time()
        if another is None or another == token or left <= 0 or not self._may_send():
            return response
        await response.aclose()
        return await self._upstream.send(_with(request, another), seconds_max=left)

    async def aclose(self) -> None:
        """End requests for tokens; the connections are closed by who made them."""
        await self._tokens.aclose()


class Authorizing:
    """Finds the token for a call: the gateway's own, or one exchanged for the caller's (`exchanges`)."""

    def __init__(self, tokens: Tokens, *, exchanges: bool, vouch: Callable[[Principal], Subject] | None = None) -> None:
        """`vouch` makes the subject of a caller without a signed token; without it such a caller is refused."""
        self._tokens = tokens
        self._exchanges = exchanges
        self._vouch = vouch

    def __call__(self, exchange: Exchange) -> Callable[[], Awaitable[Headers]]:
        """Return what gets the header for a call. Raises `Refusal` where the caller has no token to exchange."""
        subject = self._subject(exchange) if self._exchanges else None

        async def authorize() -> Headers:
            token = await self._tokens.token(subject)
            return ((b"authorization", _SCHEME + token.encode()),)

        return authorize

    def _subject(self, exchange: Exchange) -> Subject:
        shown = header(exchange.headers, b"authorization") or header(exchange.headers, b"x-api-key") or b""
        # behind its scheme, `Bearer` or `DPoP`, where it has one; it was verified at the door
        token = shown.decode("latin-1").strip().rpartition(" ")[2]
        if exchange.principal.method == "jwt" and token.count(".") == 2:  # noqa: PLR2004 - a signed token
            return Own(token, _expiry(token))
        if self._vouch is not None and exchange.principal.method != "anonymous":
            return self._vouch(exchange.principal)
        # a key or a run token proves a caller to this gateway alone
        raise Refusal(
            code="denied",
            message="this server is called with a token exchanged for the caller's own: call with a signed token of "
            "your issuer, not with an API key or a run token; nothing was executed",
            status=403,
        )


def _expiry(token: str) -> float:
    # verified at the door
    part = token.split(".")[1]
    claims = cast("dict[str, object]", body.parse(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))
    return float(cast("float", claims["exp"]))


def _token(request: UpstreamRequest) -> str | None:
    value = header(request.headers, b"authorization")
    return None if value is None or not value.startswith(_SCHEME) else value[len(_SCHEME) :].decode("latin-1")


def _with(request: UpstreamRequest, token: str) -> UpstreamRequest:
    kept = tuple(pair for pair in request.headers if pair[0] != b"authorization")
    return replace(request, headers=(*kept, (b"authorization", _SCHEME + token.encode())))


def _challenges(headers: Headers) -> bool:
    return any(name == b"www-authenticate" and value[:6].lower() == b"bearer" for name, value in headers)
