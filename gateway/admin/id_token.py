"""An ID token to the person it names (OpenID Connect Core 1.0 sections 2 and 3.1.3.7).

It is for the console as a client and opens nothing else: agents' listener and API refuse ID tokens.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final

import jwt

from gateway.identity.compact import read_compact
from gateway.identity.names import ANONYMOUS, usable_name
from gateway.identity.refused import CredentialRefused
from gateway.identity.token import names_in, reason_of, times_of
from policy.decision import Principal

if TYPE_CHECKING:
    from gateway.config.login import Login
    from gateway.identity.compact import Compact
    from gateway.identity.key_cache import KeyCache

LEEWAY_SECONDS: Final = 30.0
#: an ID token is asked for and shown at once: one that was made longer ago is somebody's old one
AGE_SECONDS_MAX: Final = 600.0
_REQUIRED: Final = ("iss", "sub", "aud", "exp", "iat", "nonce")
#: headers that offer a key of the sender's choice (RFC 8725 section 2.6), or change what is signed
_REFUSED_HEADERS: Final = frozenset({"jwk", "jku", "x5u", "x5c", "crit", "b64"})


async def person_in(token: str, login: Login, keys: KeyCache, *, domain: str, nonce: str, now: float) -> Principal:
    """Return the person whom `token` names, answering to `nonce`. `now` is seconds since the epoch.

    Raises `CredentialRefused`.
    """
    compact = read_compact(token)
    algorithm, kid = _header(compact, login)
    key = await keys.find(kid, algorithm)
    try:
        jwt.decode(
            token, key=key.public, algorithms=[algorithm], audience=login.client_id, issuer=login.issuer,
            leeway=LEEWAY_SECONDS, options={"require": list(_REQUIRED), "enforce_minimum_key_length": True},
        )  # fmt: skip
    except jwt.PyJWTError as error:
        raise CredentialRefused(reason_of(error)) from None
    claims, times = compact.claims, times_of(compact)
    ours = login.client_id
    if claims["aud"] not in (ours, [ours]) or claims.get("azp", ours) != ours:
        raise CredentialRefused("audience_wrong")  # somebody else in the list could show the token here
    said = claims["nonce"]
    if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
        raise CredentialRefused("id_token")
    if now - times["iat"] > AGE_SECONDS_MAX + LEEWAY_SECONDS:
        raise CredentialRefused("expired")
    return _principal(compact, login, domain)


def _header(compact: Compact, login: Login) -> tuple[str, str | None]:
    header = compact.header
    if _REFUSED_HEADERS & header.keys():
        raise CredentialRefused("header_unusable")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") != "jwt":
        raise CredentialRefused("type_not_allowed")  # an access token (`at+jwt`) says nothing about who logged in
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in login.algorithms:
        raise CredentialRefused("algorithm_not_allowed")
    if kid is not None and not isinstance(kid, str):
        raise CredentialRefused("key_unknown")
    return algorithm, kid


def _principal(compact: Compact, login: Login, domain: str) -> Principal:
    claims = compact.claims
    subject, name = claims["sub"], claims.get(login.name_claim)
    if not isinstance(subject, str) or not usable_name(subject, spaces=True):
        raise CredentialRefused("subject_unusable")
    if not isinstance(name, str) or not usable_name(name) or name == ANONYMOUS:
        raise CredentialRefused("subject_unusable")
    if login.name_claim == "email" and claims.get("email_verified") is not True:
        raise CredentialRefused("claim_unusable")  # anybody can say that an address is theirs
    public = hashlib.sha256(f"{login.issuer}\n{subject}".encode()).hexdigest()[:16]
    groups = names_in(claims, login.roles_claim)
    appointed = frozenset(role for group in groups for role in login.roles.get(group, ()))
    return Principal(
        agent=name, domain=domain, groups=groups, appointed=appointed, method="jwt", issuer=login.issuer,
        credential=f"login:{public}",
    )  # fmt: skip
