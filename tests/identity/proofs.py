"""Proofs that a token's holder has its key (RFC 9449), good and bad."""

from __future__ import annotations

import hashlib
import json
import os
import time
from types import MappingProxyType
from typing import TYPE_CHECKING

from jwt.algorithms import ECAlgorithm

from gateway.identity.dpop import Asked, thumbprint
from tests.identity.authority import b64, ec_jwk, ec_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.call import Headers

ASKED = Asked(method="POST", url="https://gateway.example/v1/chat/completions")
HOLDER = {name: value for name, value in ec_jwk("holder").items() if name in {"kty", "crv", "x", "y"}}
JKT = thumbprint(HOLDER)


def proof(
    token: str, head: dict[str, object] | None = None, *, key: str = "holder",
    changes: Mapping[str, object] = MappingProxyType({}),
) -> str:  # fmt: skip
    """Return a proof for `ASKED` and `token`; a change of `...` leaves a claim out."""
    good: dict[str, object] = {
        "htm": ASKED.method, "htu": ASKED.url, "iat": int(time.time()), "jti": os.urandom(8).hex(),
        "ath": b64(hashlib.sha256(token.encode()).digest()),
    }  # fmt: skip
    said = {name: value for name, value in (good | dict(changes)).items() if value is not ...}
    named = {"typ": "dpop+jwt", "alg": "ES256", "jwk": HOLDER} | (head or {})
    text = ".".join(b64(json.dumps(part).encode()) for part in (named, said))
    return f"{text}.{b64(ECAlgorithm(ECAlgorithm.SHA256).sign(text.encode(), ec_key(key)))}"


def shown(token: str, *proofs: str, scheme: str = "DPoP") -> Headers:
    """Return the headers that show a token with proofs."""
    pairs = [(b"authorization", f"{scheme} {token}".encode()), *((b"dpop", one.encode()) for one in proofs)]
    return tuple(pairs)
