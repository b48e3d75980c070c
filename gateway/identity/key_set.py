"""Public keys of an issuer, out of a JWK set (RFC 7517); what cannot be trusted is left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from gateway import body

if TYPE_CHECKING:
    from collections.abc import Collection

SET_BYTES_MAX: Final = 1024 * 1024
KEYS_MAX: Final = 64
#: RFC 7518 section 3.3, NIST SP 800-131A
RSA_BITS_MIN: Final = 2048
RSA_BITS_MAX: Final = 8192

#: which members make a public key, by `kty`; nothing else of a JWK is handed to the library
_MEMBERS: Final = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
#: what may be verified with which key: (`kty`, curve) to algorithms
_ALGORITHMS: Final[dict[tuple[str, str], frozenset[str]]] = {
    ("RSA", ""): frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
}

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


class KeySetUnusable(Exception):  # noqa: N818 - says what is known of the set
    """The document is no JWK set, or holds no usable key."""


@dataclass(frozen=True, slots=True)
class Key:
    """A public key and the algorithms it may verify."""

    kid: str | None
    algorithms: frozenset[str]
    public: PublicKey


def read_key_set(content: bytes, allowed: Collection[str], use: str = "sig") -> tuple[Key, ...]:
    """Return the usable keys of the JWK set `content` for the `allowed` algorithms and this `use`.

    Left out: symmetric keys, keys published with their private part, keys for other uses, weak keys,
    keys that share a `kid`. Raises `KeySetUnusable` when none is left.
    """
    if len(content) > SET_BYTES_MAX:
        raise KeySetUnusable("the key set is too large")
    try:
        tree = body.parse(content)
    except body.MalformedBody:
        raise KeySetUnusable("expected a JWK set, this is not plain JSON") from None
    listed = cast("dict[str, object]", tree).get("keys") if isinstance(tree, dict) else None
    if not isinstance(listed, list):
        raise KeySetUnusable("expected a JWK set, an object with a list `keys`")
    entries = cast("list[object]", listed)
    if len(entries) > KEYS_MAX:
        raise KeySetUnusable(f"the key set holds more than {KEYS_MAX} keys")
    found = [key for entry in entries if (key := _key(entry, frozenset(allowed), use)) is not None]
    named = Counter(key.kid for key in found)
    keys = tuple(key for key in found if named[key.kid] == 1)
    if not keys:
        raise KeySetUnusable("the key set holds no usable key")
    return keys


def _key(entry: object, allowed: frozenset[str], use: str) -> Key | None:
    if not isinstance(entry, dict):
        return None
    jwk = cast("dict[str, object]", entry)
    kind, curve = jwk.get("kty"), jwk.get("crv", "")
    if not isinstance(kind, str) or not isinstance(curve, str) or "d" in jwk or not _for_use(jwk, use):
        return None
    algorithms = _ALGORITHMS.get((kind, curve), frozenset[str]()) & allowed
    named = jwk.get("alg")
    if named is not None:
        algorithms &= {named}
    kid = jwk.get("kid")
    if not algorithms or not (kid is None or (isinstance(kid, str) and kid)):
        return None
    public = _public(kind, {name: jwk.get(name) for name in _MEMBERS[kind]})
    return None if public is None else Key(kid, algorithms, public)


def public_key(jwk: dict[str, object], algorithm: str) -> PublicKey | None:
    """Return the public key in one JWK for `algorithm`, `None` where it holds none that is strong enough."""
    key = _key({name: value for name, value in jwk.items() if name != "kid"}, frozenset({algorithm}), "sig")
    return None if key is None else key.public


def _for_use(jwk: dict[str, object], use: str) -> bool:
    operations = jwk.get("key_ops")
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        return False
    # a SPIFFE bundle holds keys of several kinds and each says which (SPIFFE Trust Domain and Bundle 4.2.2)
    return jwk.get("use", "sig") == use


def _public(kind: str, members: dict[str, object]) -> PublicKey | None:
    if not all(isinstance(value, str) for value in members.values()):
        return None
    try:
        public: object = jwt.PyJWK({"kty": kind, **members}).key
    except (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError):
        return None
    if isinstance(public, RSAPublicKey):
        return public if RSA_BITS_MIN <= public.key_size <= RSA_BITS_MAX else None
    if isinstance(public, (EllipticCurvePublicKey, Ed25519PublicKey)):
        return public
    return None
