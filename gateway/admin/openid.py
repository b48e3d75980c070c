"""Login by an OpenID provider: authorization code with PKCE, `state` and `nonce` (OpenID Connect Core 1.0, RFC 9700).

What a login needs to be finished stands in a cookie of the browser that began it, under a keyed digest of this
process: nobody can end a login that another browser began, and who only begins logins fills no memory.

LoginRefused   the person is not let in; the message is for them and says what to do
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlencode, urlsplit

import httpx

from gateway.admin.id_token import person_in
from gateway.identity.discovery import demand_public, metadata_of, named_url
from gateway.identity.key_cache import KeyCache, fetch_url
from gateway.identity.key_set import KeySetUnusable
from gateway.identity.refused import CredentialRefused
from gateway.oauth.posting import NoAnswer, basic_proof, error_in, posted, said_in
from gateway.secrets import SecretError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.config import Config
    from gateway.config.login import Login
    from policy.decision import Principal

_log = logging.getLogger("oncegate.login")

#: The cookie of a login that was begun, and how long it may take.
PENDING_COOKIE: Final = "oncegate_login"
PENDING_SECONDS_MAX: Final = 600
#: Where the provider sends the browser back to, by trust domain.
CALLBACK_PATH: Final = "/login/callback/"
METADATA_SECONDS: Final = 300.0
_CODE_CHARACTERS_MAX: Final = 4096
_TOKEN_CHARACTERS_MAX: Final = 16 * 1024
_OK: Final = 200
_SECRET_BYTES: Final = 32
_PARTS: Final = 5
_AGAIN: Final = "log in again"
#: RFC 6749 section 4.1.2.1, OpenID Connect Core 3.1.2.6
_ERRORS: Final = frozenset({
    "invalid_request", "unauthorized_client", "access_denied", "unsupported_response_type", "invalid_scope",
    "server_error", "temporarily_unavailable", "interaction_required", "login_required", "consent_required",
    "account_selection_required", "invalid_grant", "invalid_client",
})  # fmt: skip


class LoginRefused(Exception):  # noqa: N818 - the person is refused
    """Nobody is logged in; the message is one line for the person, and names no secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who came, for how long, and where the provider ends its own session (`None` where it says nothing of that)."""

    principal: Principal
    seconds_max: float
    logout_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A login that was begun: where the browser goes, and what it keeps until it comes back."""

    url: str
    cookie: str


class Provider:
    """One trust domain's OpenID provider. `url` is the console's own, as browsers reach it."""

    def __init__(
        self, domain: str, login: Login, url: str, client: httpx.AsyncClient, *,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._domain = domain
        self._login = login
        self._callback = f"{url}{CALLBACK_PATH}{domain}"
        self._home = f"{url}/login"
        self._client = client
        self._clock = clock
        self._key = secrets.token_bytes(_SECRET_BYTES)
        self._metadata: dict[str, object] = {}
        self._asked = float("-inf")
        self._keys = KeyCache(login.issuer, login.algorithms, self._key_set)

    async def begin(self) -> Begun:
        """Return where a browser logs in. Raises `LoginRefused`."""
        place = await self._place("authorization_endpoint")
        state, nonce, verifier = (secrets.token_urlsafe(_SECRET_BYTES) for _ in range(3))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code", "client_id": self._login.client_id, "redirect_uri": self._callback,
            "scope": " ".join(self._login.scopes), "state": state, "nonce": nonce, "code_challenge": challenge,
            "code_challenge_method": "S256",
        }  # fmt: skip
        said = f"{int(self._clock()):x}.{state}.{nonce}.{verifier}"
        joint = "&" if "?" in place else "?"
        return Begun(url=f"{place}{joint}{urlencode(query)}", cookie=f"{said}.{self._seal(said)}")

    async def finish(self, cookie: str, said: Mapping[str, str]) -> Person:
        """Return who comes back with `said` by the provider, to a browser that has `cookie`. Raises `LoginRefused`."""
        nonce, verifier = self._opened(cookie, said.get("state", ""))
        if said.get("iss", self._login.issuer) != self._login.issuer:  # RFC 9207 section 2.4
            raise LoginRefused(f"the answer is another provider's; {_AGAIN}")
        if "error" in said:
            named = f"`{said['error']}`" if said["error"] in _ERRORS else "an error"
            raise LoginRefused(f"the provider answered {named}; {_AGAIN}, or ask who runs it")
        code = said.get("code", "")
        if not 0 < len(code) <= _CODE_CHARACTERS_MAX or not code.isprintable():
            raise LoginRefused(f"the provider's answer holds no usable code; {_AGAIN}")
        token = await self._exchanged(code, verifier)
        try:
            principal = await person_in(
                token, self._login, self._keys, domain=self._domain, nonce=nonce, now=self._clock()
            )
        except CredentialRefused as refused:
            _log.warning("login by `%s`: its ID token was refused: %s", self._login.issuer, refused.reason)
            raise LoginRefused("the provider's word of who you are does not hold; the gateway's log says why") from None
        return Person(
            principal=principal, seconds_max=self._login.session_seconds_max, logout_url=self._logout_url(token)
        )

    async def again(self) -> None:
        """Ask the provider anew, if it was ever asked: now for its keys, where keys that cannot be had stay."""
        if self._metadata:
            self._asked = float("-inf")
            await self._keys.refresh()

    async def aclose(self) -> None:
        """End fetches under way."""
        await self._keys.aclose()

    def _seal(self, said: str) -> str:
        return hmac.digest(self._key, said.encode(), "sha256").hex()

    def _opened(self, cookie: str, state: str) -> tuple[str, str]:
        """Return nonce and verifier of the login that this browser began and `state` ends. Raises `LoginRefused`."""
        said, _, seal = cookie.rpartition(".")
        parts = said.split(".")
        if len(parts) != _PARTS - 1 or not hmac.compare_digest(self._seal(said).encode(), seal.encode()):
            raise LoginRefused(f"this browser has begun no login here; {_AGAIN}")
        if self._clock() - int(parts[0], 16) > PENDING_SECONDS_MAX:
            raise LoginRefused(f"the login took too long; {_AGAIN}")
        if not hmac.compare_digest(parts[1].encode(), state.encode()):
            raise LoginRefused(f"the answer belongs to another login; {_AGAIN}")
        return parts[2], parts[3]

    async def _exchanged(self, code: str, verifier: str) -> str:
        """Return the ID token for a code (RFC 6749 section 4.1.3, RFC 7636 section 4.5). Raises `LoginRefused`."""
        place = await self._place("token_endpoint")
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": self._callback, "code_verifier": verifier,
        }  # fmt: skip
        headers: dict[str, str] = {}
        try:
            self._prove(form, headers)
            status, content = await posted(self._client, place, form, headers)
        except SecretError as error:
            _log.warning("login by `%s`: %s", self._login.issuer, error)
            raise LoginRefused("the console cannot prove itself to the provider; the gateway's log says why") from None
        except NoAnswer as error:
            raise LoginRefused(f"the provider {error}; {_AGAIN} later") from None
        return self._id_token(status, content)

    def _prove(self, form: dict[str, str], headers: dict[str, str]) -> None:
        """Say who the console is (RFC 6749 section 2.3.1). Raises `SecretError`."""
        login, methods = self._login, self._metadata.get("token_endpoint_auth_methods_supported")
        if login.client_secret is None:
            form["client_id"] = login.client_id
            return
        secret = login.client_secret.read()
        listed = cast("list[object]", methods) if isinstance(methods, list) else ["client_secret_basic"]
        if "client_secret_basic" not in listed and "client_secret_post" in listed:
            form |= {"client_id": login.client_id, "client_secret": secret}
            return
        headers["authorization"] = basic_proof(login.client_id, secret)

    def _id_token(self, status: int, content: bytes) -> str:
        said = said_in(content)
        if status != _OK:
            answered = f"{status}{error_in(said, _ERRORS)}"
            raise LoginRefused(f"the provider did not take the code: it answered {answered}; {_AGAIN}")
        token = said.get("id_token")
        if not isinstance(token, str) or not 0 < len(token) <= _TOKEN_CHARACTERS_MAX:
            raise LoginRefused("the provider's answer holds no ID token; expected the scope `openid` to bring one")
        return token

    async def _place(self, name: str) -> str:
        """Return an endpoint of the provider. Raises `LoginRefused`."""
        try:
            uri = named_url(await self._said(), name)
            if name == "token_endpoint" and urlsplit(uri).netloc != urlsplit(self._login.issuer).netloc:
                await demand_public(uri, name)
        except KeySetUnusable as error:
            _log.warning("login by `%s`: %s", self._login.issuer, error)
            raise LoginRefused("the provider cannot be reached or used; the gateway's log says why") from None
        return uri

    async def _said(self) -> dict[str, object]:
        if not self._metadata or self._clock() - self._asked > METADATA_SECONDS:
            self._metadata = await metadata_of(self._client, self._login.issuer, openid=True)
            self._asked = self._clock()
        return self._metadata

    async def _key_set(self) -> bytes:
        uri = named_url(await self._said(), "jwks_uri")
        if urlsplit(uri).netloc != urlsplit(self._login.issuer).netloc:
            await demand_public(uri, "jwks_uri")
        return await fetch_url(self._client, uri)()

    def _logout_url(self, token: str) -> str | None:
        """Return where the provider ends its own session (OpenID Connect RP-Initiated Logout 1.0 section 2)."""
        try:
            place = named_url(self._metadata, "end_session_endpoint")
        except KeySetUnusable:
            return None
        query = {"id_token_hint": token, "client_id": self._login.client_id, "post_logout_redirect_uri": self._home}
        return f"{place}{'&' if '?' in place else '?'}{urlencode(query)}"


class Logins:
    """The providers of all trust domains, by domain."""

    def __init__(self, providers: Mapping[str, Provider], client: httpx.AsyncClient, *, secure: bool) -> None:
        self.providers = providers
        #: the console is reached by https, so that cookies need not be sent otherwise
        self.secure = secure
        self._client = client

    @classmethod
    def of(cls, config: Config) -> Logins:
        """Return what the configuration names; nobody is asked before somebody logs in."""
        url = config.admin_url or f"http://{config.admin}"
        client = httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=5.0)
        found = {
            name: Provider(name, domain.login, url, client)
            for name, domain in config.trust_domains.items() if domain.login is not None
        }  # fmt: skip
        return cls(found, client, secure=url.startswith("https:"))

    async def again(self) -> None:
        """Ask every provider that was asked before anew: what it says of itself, and its keys."""
        await asyncio.gather(*(provider.again() for provider in self.providers.values()))

    async def aclose(self) -> None:
        """End fetches under way and close connections."""
        for provider in self.providers.values():
            await provider.aclose()
        await self._client.aclose()
