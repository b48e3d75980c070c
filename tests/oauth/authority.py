"""A small authorization server: real HTTP, real signatures, what it is asked is kept for the test to see.

Grants: client credentials (RFC 6749 4.4) and token exchange (RFC 8693). Clients prove themselves by a
secret (RFC 6749 2.3.1) or by a signed assertion (RFC 7523). Metadata: RFC 8414.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus

import anyio.to_thread
import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey, generate_private_key
from jwt.algorithms import ECAlgorithm
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.oauth.serving import Served

if TYPE_CHECKING:
    from starlette.requests import Request

EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"
JWT: Final = "urn:ietf:params:oauth:token-type:jwt"


@dataclass
class Authority:
    """Runs in a thread. `asked` holds the form of every request for a token, with the client it was from."""

    clients: dict[str, str | EllipticCurvePublicKey] = field(default_factory=dict[str, "str | EllipticCurvePublicKey"])
    asked: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    given: list[str] = field(default_factory=list[str])
    lifetime_seconds: int = 600
    #: what the next requests are answered with instead
    answers: list[tuple[int, object]] = field(default_factory=list[tuple[int, object]])
    #: issuers whose subject tokens are taken besides its own, with where their keys are (RFC 8693)
    trusted: dict[str, str] = field(default_factory=dict[str, str])
    #: claims of subject tokens
    subjects: list[dict[str, object]] = field(default_factory=list[dict[str, object]])
    #: said of itself instead of its URL
    named: str | None = None
    hold: threading.Event | None = None
    arrived: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._key = generate_private_key(SECP256R1())
        self._seen: set[str] = set()
        self._served = Served(Starlette(routes=[
            Route("/.well-known/oauth-authorization-server", self._metadata),
            Route("/jwks", self._jwks),
            Route("/token", self._token, methods=["POST"]),
        ]))  # fmt: skip
        self.url = self._served.url

    def close(self) -> None:
        if self.hold is not None:
            self.hold.set()
        self._served.close()

    def sign(self, subject: str, audience: str, **more: object) -> str:
        """Return an access token (RFC 9068)."""
        now = int(time.time())
        claims = {
            "iss": self.url, "sub": subject, "aud": audience, "iat": now, "exp": now + self.lifetime_seconds,
            "jti": secrets.token_hex(8), **more,
        }  # fmt: skip
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"typ": "at+jwt", "kid": "one"})

    def verify(self, token: str, audience: str | None) -> dict[str, object]:
        """Return the claims of a token of this authority. Raises `jwt.PyJWTError`."""
        options: dict[str, bool] = {"verify_aud": audience is not None}
        key = self._key.public_key()
        return jwt.decode(token, key, ["ES256"], audience=audience, issuer=self.url, options=options)  # pyright: ignore[reportArgumentType] - a part of the options

    async def _metadata(self, request: Request) -> JSONResponse:
        del request
        return JSONResponse({
            "issuer": self.named or self.url, "jwks_uri": f"{self.url}/jwks", "token_endpoint": f"{self.url}/token",
            "authorization_endpoint": f"{self.url}/authorize", "response_types_supported": ["code"],
            "grant_types_supported": ["client_credentials", EXCHANGE],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt"],
            "code_challenge_methods_supported": ["S256"],
        })  # fmt: skip

    async def _jwks(self, request: Request) -> JSONResponse:
        del request
        found = json.loads(ECAlgorithm.to_jwk(self._key.public_key()))
        return JSONResponse({"keys": [found | {"kid": "one", "use": "sig"}]})

    async def _token(self, request: Request) -> JSONResponse:
        form = {name: str(value) for name, value in (await request.form()).items()}
        client = self._client(request, form)
        self.asked.append(form | {"client": client or "", "authorization": request.headers.get("authorization", "")})
        self.arrived.set()
        if self.hold is not None:
            await anyio.to_thread.run_sync(self.hold.wait, 60)
        if self.answers:
            status, said = self.answers.pop(0)
            return JSONResponse(said, status)
        if client is None:
            return JSONResponse({"error": "invalid_client"}, 401)
        more: dict[str, object] = {"scope": form["scope"]} if "scope" in form else {}
        audience = form.get("resource") or form.get("audience") or self.url
        match form.get("grant_type"):
            case "client_credentials":
                return self._answer(self.sign(client, audience, **more))
            case grant if grant == EXCHANGE:
                try:
                    caller = await anyio.to_thread.run_sync(self._subject, form)
                except jwt.PyJWTError:
                    return JSONResponse({"error": "invalid_request"}, 400)
                self.subjects.append(caller)
                token = self.sign(str(caller["sub"]), audience, act={"sub": client}, **more)
                return self._answer(token, issued_token_type=ACCESS_TOKEN)
            case _:
                return JSONResponse({"error": "unsupported_grant_type"}, 400)

    def _subject(self, form: dict[str, str]) -> dict[str, object]:
        """Return the claims of a subject token. Raises `jwt.PyJWTError`."""
        token = form.get("subject_token", "")
        if form.get("subject_token_type") == ACCESS_TOKEN:
            return self.verify(token, None)
        keys = self.trusted.get(str(jwt.decode(token, options={"verify_signature": False}).get("iss")))
        if keys is None or form.get("subject_token_type") != JWT:
            raise jwt.InvalidIssuerError
        found = {one.key_id: one for one in jwt.PyJWKSet.from_dict(httpx.get(keys, timeout=60).json()).keys}
        key = found.get(jwt.get_unverified_header(token).get("kid"))
        if key is None:
            raise jwt.InvalidKeyError
        return jwt.decode(token, key, ["ES256"], audience=[self.url, f"{self.url}/token"])

    def _answer(self, token: str, **more: object) -> JSONResponse:
        self.given.append(token)
        said = {"access_token": token, "token_type": "Bearer", "expires_in": self.lifetime_seconds, **more}
        return JSONResponse(said, headers={"cache-control": "no-store"})

    def _client(self, request: Request, form: dict[str, str]) -> str | None:
        """Return the client that proved itself."""
        if form.get("client_assertion_type") == ASSERTION:
            return self._by_assertion(form.get("client_assertion", ""))
        scheme, _, content = request.headers.get("authorization", "").partition(" ")
        name, secret = form.get("client_id", ""), form.get("client_secret", "")
        if scheme == "Basic":
            try:
                name, _, secret = base64.b64decode(content, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                return None
            name, secret = unquote_plus(name), unquote_plus(secret)
        known = self.clients.get(name)
        return name if isinstance(known, str) and secrets.compare_digest(known, secret) else None

    def _by_assertion(self, text: str) -> str | None:
        try:
            named = jwt.decode(text, options={"verify_signature": False}).get("iss")
            key = self.clients.get(str(named))
            if not isinstance(key, EllipticCurvePublicKey):
                return None
            required = {"require": ["exp", "jti", "iat"]}
            audience = [self.url, f"{self.url}/token"]
            said = jwt.decode(text, key, ["ES256"], audience=audience, options=required)  # pyright: ignore[reportArgumentType] - a part of the options
        except jwt.PyJWTError:
            return None
        if said["sub"] != named or said["jti"] in self._seen or said["exp"] - said["iat"] > 300:
            return None
        self._seen.add(said["jti"])
        return str(named)
