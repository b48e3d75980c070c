"""Whom an exchanged token stands for (RFC 8693 section 2.1): the caller's own token, or one the gateway signs.

A caller with an API key or a run token has shown nothing that an authorization server could check. Where the
configuration says so (`without_token: sign`), the gateway vouches for it by a short JWT of its own. Its issuer is
`public_url`, its keys are published there. They follow from `secret_key`: the first of a list signs, all are
published, so a new key is known before it signs, and every instance signs alike.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets as random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, derive_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from jwt.algorithms import ECAlgorithm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policy.decision import Principal

KEYS_PATH: Final = "/.well-known/jwks.json"
SUBJECT_SECONDS: Final = 60
#: the order of P-256 (SEC 2 section 2.4.2)
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
#: 64 bits more than the order, so that the remainder is as good as uniform (FIPS 186-5 A.2.1)
_SEED_BYTES: Final = 40


class Subject(Protocol):
    """Somebody a token is exchanged for; `place` tells one from another, `until` is seconds since the epoch."""

    @property
    def place(self) -> bytes:
        """What tells it from others."""
        ...

    @property
    def until(self) -> float:
        """When it ends."""
        ...

    def shown(self) -> str:
        """Return the token that is shown to the authorization server."""
        ...


@dataclass(frozen=True, slots=True)
class Own:
    """A caller's own verified token."""

    token: str
    until: float

    @property
    def place(self) -> bytes:
        """The token's digest."""
        return hashlib.sha256(self.token.encode()).digest()

    def shown(self) -> str:
        """Return the caller's token."""
        return self.token


@dataclass(frozen=True, slots=True)
class Vouched:
    """A caller the gateway vouches for, anew each time it is asked."""

    vouching: Vouching
    principal: Principal
    audience: str
    until: float = float("inf")

    @property
    def place(self) -> bytes:
        """A digest of who calls, with which credential."""
        caller = self.principal
        scopes = None if caller.scopes is None else sorted(caller.scopes)
        named = [caller.domain, caller.agent, caller.user, caller.actors, caller.credential, scopes]
        return hashlib.sha256(b"vouched" + json.dumps(named).encode()).digest()

    def shown(self) -> str:
        """Return a token signed now."""
        return self.vouching.sign(self.principal, self.audience)


class Vouching:
    """Signs for callers; `issuer` is the gateway's URL, `secrets` the bytes of `secret_key`, the first signs."""

    def __init__(self, issuer: str, secrets: Sequence[bytes]) -> None:
        self._issuer = issuer
        keys = [_signing_key(secret) for secret in secrets]
        self._public = [_public(key) for key in keys]
        self._key = keys[0]

    def subject(self, principal: Principal, *, audience: str) -> Vouched:
        """Return `principal` as a subject for the authorization server `audience`."""
        return Vouched(self, principal, audience)

    def sign(self, principal: Principal, audience: str) -> str:
        """Return a JWT that says who calls, good for a minute and for `audience` alone.

        `sub` is the user on whose behalf the agent acts, with the agent in `act` (RFC 8693 section 4.1), else the
        agent itself; both are written with their trust domain, `agent:acme/billing`.
        """
        now = int(time.time())
        claims: dict[str, object] = {
            "iss": self._issuer, "aud": audience, "iat": now, "exp": now + SUBJECT_SECONDS,
            "jti": random.token_urlsafe(16), "sub": principal.name, "client_id": principal.name,
        }  # fmt: skip
        if principal.user is not None:
            chain: dict[str, object] | None = None
            for actor in reversed(principal.actors):
                one: dict[str, object] = {"sub": f"agent:{principal.domain}/{actor}"}
                chain = one if chain is None else one | {"act": chain}
            acting: dict[str, object] = {"sub": principal.name}
            claims |= {
                "sub": f"user:{principal.domain}/{principal.user}",
                "act": acting if chain is None else acting | {"act": chain},
            }
        if principal.scopes is not None:
            claims["scope"] = " ".join(sorted(principal.scopes))
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": str(self._public[0]["kid"])})

    def key_set(self) -> dict[str, object]:
        """Return the public keys as a JWK set (RFC 7517)."""
        return {"keys": self._public}


def _signing_key(secret: bytes) -> EllipticCurvePrivateKey:
    seed = HKDF(algorithm=SHA256(), length=_SEED_BYTES, salt=None, info=b"oncegate/subjects/1").derive(secret)
    return derive_private_key(int.from_bytes(seed) % (_ORDER - 1) + 1, SECP256R1())


def _public(key: EllipticCurvePrivateKey) -> dict[str, object]:
    found = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    # the thumbprint (RFC 7638 section 3): required members in order, without spaces
    members = {name: found[name] for name in ("crv", "kty", "x", "y")}
    digest = hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).digest()
    kid = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return {**members, "kid": kid, "use": "sig", "alg": "ES256"}
