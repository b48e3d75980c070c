"""An authority that signs tokens, good and bad, with real keys."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from functools import cache
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from gateway.config import load
from gateway.identity import Authenticator, Unidentified

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.call import Headers
    from gateway.config import Config
    from gateway.identity.dpop import Asked
    from gateway.identity.key_cache import Pace
    from policy.decision import Principal

ISSUER = "https://idp.example/acme"
OTHER_ISSUER = "https://idp.example/other"
AUDIENCE = "https://gateway.example"
ADMIN_AUDIENCE = "https://gateway.example/admin"
SECRET = b"0123456789abcdef0123456789abcdef"

CONFIG = f"""
version: 1
trust_domains:
  acme:
    issuers:
      - issuer: "{ISSUER}"
        jwks_file: acme.json
        algorithms: [ES256]
        audience: ["{AUDIENCE}"]
        admin_audience: ["{ADMIN_AUDIENCE}"]
        roles_claim: roles
        groups_claim: groups
        user_claim: user
        max_lifetime: 1h
        leeway: 30s
  other:
    issuers:
      - {{issuer: "{OTHER_ISSUER}", jwks_file: other.json, algorithms: [RS256], audience: "{AUDIENCE}"}}
models:
  m: {{provider: openai, url: "https://api.openai.com/v1"}}
"""


@cache
def ec_key(name: str) -> EllipticCurvePrivateKey:
    """Return the key of that name, the same within a test session."""
    del name
    return generate_private_key(SECP256R1())


@cache
def rsa_key(bits: int = 2048) -> RSAPrivateKey:
    return generate_rsa(public_exponent=65537, key_size=bits)


def ec_jwk(name: str, **members: object) -> dict[str, object]:
    found: dict[str, object] = json.loads(ECAlgorithm.to_jwk(ec_key(name).public_key()))
    return found | {"kid": name} | members


def rsa_jwk(kid: str, bits: int = 2048, **members: object) -> dict[str, object]:
    found: dict[str, object] = json.loads(RSAAlgorithm.to_jwk(rsa_key(bits).public_key()))
    return found | {"kid": kid} | members


def jwks(*keys: Mapping[str, object]) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def claims(**changes: object) -> dict[str, object]:
    """Return good claims with changes; a value of `...` leaves the claim out."""
    now = int(time.time())
    good: dict[str, object] = {
        "iss": ISSUER, "sub": "billing", "aud": AUDIENCE, "iat": now - 1, "exp": now + 3000, "jti": "t-1",
    }  # fmt: skip
    return {name: value for name, value in (good | changes).items() if value is not ...}


def header(**changes: object) -> dict[str, object]:
    """Return a good header with changes; a value of `...` leaves the member out."""
    good: dict[str, object] = {"alg": "ES256", "typ": "at+jwt", "kid": "a"}
    return {name: value for name, value in (good | changes).items() if value is not ...}


def sign(
    said: Mapping[str, object] | bytes | None = None, head: Mapping[str, object] | bytes | None = None, *,
    key: str = "a",
) -> str:  # fmt: skip
    """Return a token over exactly this header and these claims, signed ES256 with the key of that name."""
    said = claims() if said is None else said
    head = header() if head is None else head
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (head, said)]
    signed = ".".join(b64(part) for part in parts)
    signature = ECAlgorithm(ECAlgorithm.SHA256).sign(signed.encode(), ec_key(key))
    return f"{signed}.{b64(signature)}"


def sign_rsa(said: Mapping[str, object], head: Mapping[str, object], bits: int = 2048) -> str:
    signed = ".".join(b64(json.dumps(part).encode()) for part in (head, said))
    algorithm = RSAAlgorithm(RSAAlgorithm.SHA256)
    return f"{signed}.{b64(algorithm.sign(signed.encode(), rsa_key(bits)))}"


def sign_symmetric(said: Mapping[str, object], head: Mapping[str, object], secret: bytes) -> str:
    signed = ".".join(b64(json.dumps(part).encode()) for part in (head, said))
    return f"{signed}.{b64(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def bearer(token: str) -> Headers:
    return ((b"host", b"gateway"), (b"authorization", f"Bearer {token}".encode("latin-1", "replace")))


def write_config(folder: Path, text: str = CONFIG) -> Config:
    (folder / "acme.json").write_bytes(jwks(ec_jwk("a"), ec_jwk("b")))
    (folder / "other.json").write_bytes(jwks(rsa_jwk("r")))
    (folder / "oncegate.yaml").write_text(text, encoding="utf-8")
    return load(folder / "oncegate.yaml")


async def outcome(authenticator: Authenticator, headers: Headers, asked: Asked | None = None) -> str | int:
    """Return the domain of a caller who is let in, the status of one who is not."""
    try:
        return (await authenticator.identify(headers, asked=asked)).principal.domain
    except Unidentified as refused:
        return refused.status


async def no_run(run_id: str, attempt: int) -> tuple[Principal, Principal] | None:
    del run_id, attempt
    return None


async def open_authenticator(config: Config, pace: Pace | None = None) -> Authenticator:
    return await Authenticator.open(config, secrets=[SECRET], run_principal=no_run, pace=pace)
