"""A small OpenID provider: real HTTP, real signatures, a page with a button; strict about what the console sends.

Authorization code with PKCE alone (OpenID Connect Core 1.0, RFC 7636), discovery, RP-initiated logout.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from jwt.algorithms import ECAlgorithm
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.oauth.serving import Served

if TYPE_CHECKING:
    from starlette.requests import Request

CLIENT: Final = "console"
SECRET: Final = "console-secret"
_CODE_SECONDS: Final = 60


@dataclass
class OpenIdProvider:
    """Runs in a thread. `people` are claims by name; `twisted` claims and `headers` are put into every ID token."""

    people: dict[str, dict[str, object]] = field(default_factory=dict[str, "dict[str, object]"])
    twisted: dict[str, object] = field(default_factory=dict[str, object])
    headers: dict[str, object] = field(default_factory=dict[str, object])
    #: what was wrong with what the console sent
    complaints: list[str] = field(default_factory=list[str])
    logged_out: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    metadata: dict[str, object] = field(default_factory=dict[str, object])
    signing: str = "ES256"

    def __post_init__(self) -> None:
        self.key = generate_private_key(SECP256R1())
        self._codes: dict[str, tuple[dict[str, str], str, float]] = {}
        self._served = Served(Starlette(routes=[
            Route("/.well-known/openid-configuration", self._metadata), Route("/jwks", self._jwks),
            Route("/authorize", self._authorize), Route("/enter", self._enter), Route("/logout", self._logout),
            Route("/token", self._token, methods=["POST"]),
        ]))  # fmt: skip
        # another site than the console's 127.0.0.1, so that browsers keep their cookies apart
        self.url = f"http://localhost:{self._served.port}"

    def close(self) -> None:
        self._served.close()

    def code(self, asked: dict[str, str], name: str) -> str:
        """Return a code as if `name` had pressed the button, for what the console asked."""
        code = secrets.token_urlsafe(24)
        self._codes[code] = asked, name, time.monotonic()
        return code

    async def _metadata(self, request: Request) -> Response:
        del request
        return JSONResponse({
            "issuer": self.url, "authorization_endpoint": f"{self.url}/authorize", "jwks_uri": f"{self.url}/jwks",
            "token_endpoint": f"{self.url}/token", "end_session_endpoint": f"{self.url}/logout",
            "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"], "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "authorization_response_iss_parameter_supported": True,
        } | self.metadata)  # fmt: skip

    async def _jwks(self, request: Request) -> Response:
        del request
        found = json.loads(ECAlgorithm.to_jwk(self.key.public_key()))
        return JSONResponse({"keys": [found | {"kid": "one", "use": "sig", "alg": "ES256"}]})

    async def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        wanted = {"response_type": "code", "client_id": CLIENT, "code_challenge_method": "S256"}
        wrong = [name for name, value in wanted.items() if asked.get(name) != value]
        wrong += [name for name in ("state", "nonce", "code_challenge") if len(asked.get(name, "")) < 43]
        wrong += [] if "openid" in asked.get("scope", "").split() else ["scope"]
        if wrong:
            self.complaints += wrong
            return HTMLResponse(f"<p>wrong: {escape(' '.join(wrong))}</p>", 400)
        links = "".join(
            f"<p><a href='/enter?{escape(urlencode(asked | {'who': name}))}'>I am {escape(name)}</a></p>"
            for name in self.people
        )
        return HTMLResponse(
            f"<!doctype html><title>Provider</title><link rel='icon' href='data:,'><h1>Who are you?</h1>{links}"
        )

    async def _enter(self, request: Request) -> Response:
        asked = dict(request.query_params)
        said = {"code": self.code(asked, asked["who"]), "state": asked["state"], "iss": self.url}
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(said)}", 303)

    async def _logout(self, request: Request) -> Response:
        self.logged_out.append(dict(request.query_params))
        return RedirectResponse(request.query_params["post_logout_redirect_uri"], 303)

    async def _token(self, request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        proof = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {proof}":
            self.complaints.append("client")
            return JSONResponse({"error": "invalid_client"}, 401)
        asked, name, since = self._codes.pop(form.get("code", ""), ({}, "", 0.0))
        challenge = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        proven = base64.urlsafe_b64encode(challenge).rstrip(b"=").decode() == asked.get("code_challenge")
        same = form.get("redirect_uri") == asked.get("redirect_uri")
        if not asked or not proven or not same or time.monotonic() - since > _CODE_SECONDS:
            self.complaints.append("code")
            return JSONResponse({"error": "invalid_grant"}, 400)
        said = {"access_token": secrets.token_urlsafe(16), "token_type": "Bearer", "id_token": self.sign(asked, name)}
        return JSONResponse(said, headers={"cache-control": "no-store"})

    def sign(self, asked: dict[str, str], name: str) -> str:
        """Return an ID token for `name`, twisted as the test wants it."""
        now = int(time.time())
        claims = {
            "iss": self.url, "sub": name, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"],
            **self.people.get(name, {}), **self.twisted,
        }  # fmt: skip
        kept = {name: value for name, value in claims.items() if value is not None}
        key = self.key if self.signing == "ES256" else SECRET * 3
        headers: dict[str, object] = {"kid": "one", **self.headers}
        return jwt.encode(kept, "" if self.signing == "none" else key, algorithm=self.signing, headers=headers)
