"""Asking a token endpoint: the form, how the client proves itself, and one request that is never followed elsewhere.

Client credentials (RFC 6749 section 4.4), token exchange (RFC 8693); a secret (RFC 6749 section 2.3.1) or a
signed assertion (RFC 7523 section 2.2); the resource the token is for (RFC 8707). Secrets are read anew for
each request, so that a rotated one counts at once.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm

from gateway.oauth.answer import Given, NoToken, read_answer
from gateway.oauth.posting import NoAnswer, basic_proof, posted
from gateway.oauth.subjects import Own
from gateway.secrets import SecretError

if TYPE_CHECKING:
    import httpx

    from gateway.config.credentials import TokenClient
    from gateway.oauth.subjects import Subject

ASSERTION_SECONDS: Final = 60
_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a kind of token
_JWT: Final = "urn:ietf:params:oauth:token-type:jwt"
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class TokenEndpoint:
    """One client at one token endpoint. `resource` is whom tokens are for, the server's URL."""

    def __init__(self, client: TokenClient, resource: str, http: httpx.AsyncClient) -> None:
        self._client = client
        self._resource = resource
        self._http = http

    async def ask(self, subject: Subject | None) -> Given:
        """Return a token: the gateway's own, or one that stands for `subject`. Raises `NoToken`."""
        try:
            form, headers = self._form(subject)
        except SecretError as error:
            raise NoToken(str(error)) from None
        try:
            return read_answer(*await posted(self._http, self._client.token_url, form, headers))
        except NoAnswer as error:
            raise NoToken(f"the authorization server {error}") from None

    def _form(self, subject: Subject | None) -> tuple[dict[str, str], dict[str, str]]:
        client = self._client
        form = {"grant_type": "client_credentials"}
        if subject is not None:
            form = {"grant_type": _EXCHANGE, "subject_token": subject.shown(),
                    "subject_token_type": _ACCESS_TOKEN if isinstance(subject, Own) else _JWT,
                    "requested_token_type": _ACCESS_TOKEN}  # fmt: skip
        if client.scopes:
            form["scope"] = " ".join(client.scopes)
        if client.audience is not None:
            form["audience"] = client.audience
        if client.resource is not None or client.audience is None:
            form["resource"] = client.resource or self._resource
        headers: dict[str, str] = {}
        if client.private_key is not None:
            form |= {
                "client_assertion_type": _ASSERTION,
                "client_assertion": self._assertion(client.private_key.read()),
            }
        elif client.client_secret is not None and client.send_secret == "body":  # noqa: S105 - where it stands
            form |= {"client_id": client.client_id, "client_secret": client.client_secret.read()}
        elif client.client_secret is not None:
            headers["authorization"] = basic_proof(client.client_id, client.client_secret.read())
        return form, headers

    def _assertion(self, pem: str) -> str:
        client, now = self._client, int(time.time())
        claims = {
            "iss": client.client_id, "sub": client.client_id, "aud": client.audience_of_assertions, "iat": now,
            "exp": now + ASSERTION_SECONDS, "jti": secrets.token_urlsafe(16),
        }  # fmt: skip
        named = {} if client.key_id is None else {"kid": client.key_id}
        try:
            return jwt.encode(claims, pem, algorithm=client.algorithm, headers=named)
        except (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError):
            raise NoToken(f"`{client.private_key}` holds no private key for {client.algorithm}") from None
