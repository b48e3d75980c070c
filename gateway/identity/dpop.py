"""Proof that a caller holds the key its token is bound to (RFC 9449): one signature for one request, once.

Each proof is good for two minutes at most and is taken once, on all instances together. A nonce of ours (section 9,
`gateway/identity/nonce.py`) is asked for where the issuer's entry says so.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

import jiter
import jwt

from gateway.identity.compact import read_compact
from gateway.identity.key_set import public_key
from gateway.identity.names import usable_name
from gateway.identity.refused import PROOF_ALGORITHMS, CredentialRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.identity.nonce import Nonces

    #: Notes a digest until a time (seconds since the epoch); false when it was noted before.
    First = Callable[[bytes, float], Awaitable[bool]]

PROOF_CHARACTERS_MAX: Final = 8 * 1024
#: How far `iat` of a proof may be from our clock.
PROOF_SECONDS: Final = 60.0
_HEADERS: Final = frozenset({"typ", "alg", "jwk"})
#: required members of a JWK by its kind, in the order of RFC 7638 section 3.2
_MEMBERS: Final = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The request a proof must be for: `url` without query, as callers know it."""

    method: str
    url: str


async def check_proof(
    proof: str, asked: Asked, *, token: str, bound: str, now: float, first: First, nonces: Nonces | None = None
) -> str | None:
    """Check that `proof` holds for this request and the token bound to the key with thumbprint `bound`.

    With `nonces` it must hold one of them; returned is the next one, where that is another.
    Raises `CredentialRefused`.
    """
    claims = _signed(proof, bound)
    issued, identifier = _seconds(claims.get("iat")), claims.get("jti")
    if issued is None or abs(issued - now) > PROOF_SECONDS or not _is_ours(claims, asked, token):
        raise CredentialRefused("proof_wrong")
    if not isinstance(identifier, str) or not usable_name(identifier, spaces=True):
        raise CredentialRefused("proof_wrong")
    current = None if nonces is None else nonces.current(now)
    if nonces is not None and not nonces.good(claims.get("nonce"), now):
        raise CredentialRefused("nonce_wanted", current)
    digest = hashlib.sha256(f"dpop\n{bound}\n{identifier}".encode()).digest()
    if not await first(digest, issued + 2 * PROOF_SECONDS):
        raise CredentialRefused("proof_replayed")
    return None if current == claims.get("nonce") else current


def _signed(proof: str, bound: str) -> dict[str, object]:
    """Return what a proof says, signed by the key with thumbprint `bound`. Raises `CredentialRefused`."""
    if len(proof) > PROOF_CHARACTERS_MAX:
        raise CredentialRefused("header_too_large")
    try:
        compact = read_compact(proof)
    except CredentialRefused:
        raise CredentialRefused("proof_wrong") from None
    head = compact.header
    algorithm, jwk = head.get("alg"), head.get("jwk")
    if head.get("typ") != "dpop+jwt" or algorithm not in PROOF_ALGORITHMS or head.keys() - _HEADERS:
        raise CredentialRefused("proof_wrong")
    if not isinstance(jwk, dict) or _PRIVATE & jwk.keys():
        raise CredentialRefused("proof_wrong")
    key = cast("dict[str, object]", jwk)
    public = public_key(key, cast("str", algorithm))
    if public is None or not hmac.compare_digest(thumbprint(key), bound):
        raise CredentialRefused("proof_wrong")
    try:
        jwt.decode(proof, public, [cast("str", algorithm)], options={
            "verify_iat": False, "verify_exp": False, "verify_nbf": False, "verify_aud": False, "verify_iss": False,
        })  # fmt: skip
    except jwt.PyJWTError:
        raise CredentialRefused("proof_wrong") from None
    return compact.claims


def thumbprint(jwk: dict[str, object]) -> str:
    """Return the thumbprint of a JWK (RFC 7638, SHA-256, base64url); empty where it has none."""
    members = _MEMBERS.get(str(jwk.get("kty")))
    if members is None or not all(isinstance(jwk.get(name), str) for name in members):
        return ""
    text = json.dumps({name: jwk[name] for name in members}, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def _is_ours(claims: dict[str, object], asked: Asked, token: str) -> bool:
    method, url, digest = claims.get("htm"), claims.get("htu"), claims.get("ath")
    if method != asked.method or not isinstance(url, str) or not isinstance(digest, str):
        return False
    wanted = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
    return _same_place(url, asked.url) and hmac.compare_digest(digest.encode(), wanted.encode())


def _same_place(one: str, other: str) -> bool:
    """Return whether two URLs name one place, query and fragment left out (section 4.3 step 9)."""
    try:
        first, second = urlsplit(one), urlsplit(other)
        ports = [part.port or {"https": 443, "http": 80}.get(part.scheme) for part in (first, second)]
    except ValueError:
        return False
    same = (first.scheme, first.hostname, first.path or "/") == (second.scheme, second.hostname, second.path or "/")
    return same and ports[0] == ports[1] and first.username is None


def _seconds(value: object) -> float | None:
    if isinstance(value, jiter.LosslessFloat):
        value = float(value)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


class Once:
    """Notes digests in this process, at most `most`; when there are more, none is taken for new."""

    def __init__(self, clock: Callable[[], float], most: int = 100_000) -> None:
        self._clock = clock
        self._most = most
        self._until: dict[bytes, float] = {}

    async def first(self, digest: bytes, until: float) -> bool:
        """Return whether `digest` is new, and note it."""
        now = self._clock()
        if len(self._until) >= self._most:
            self._until = {one: end for one, end in self._until.items() if end > now}
        if self._until.get(digest, 0.0) > now or len(self._until) >= self._most:
            return False
        self._until[digest] = until
        return True
