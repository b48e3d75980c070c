"""Nonces that proofs of possession must hold (RFC 9449 section 9): of this minute, made anew by any instance.

Nothing is kept: a nonce is the number of its minute and a keyed digest of that, so that every instance with the same
`secret_key` knows those of the others.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.identity.compact import encode_segment

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A nonce is good in its slice and the next; one of the slice to come is another instance's, whose clock is ahead.
SLICE_SECONDS: Final = 60
_KEY_BYTES: Final = 32
_DIGEST_BYTES: Final = 16


class Nonces:
    """Makes and knows nonces; `secrets` are those of `secret_key`, the first makes them."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._keys = tuple(
            HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=b"oncegate/dpop-nonce/1").derive(secret)
            for secret in secrets
        )

    def current(self, now: float) -> str:
        """Return the nonce of this moment."""
        return _made(self._keys[0], int(now) // SLICE_SECONDS)

    def good(self, nonce: object, now: float) -> bool:
        """Return whether a proof's nonce is one of ours that is not too old."""
        if not isinstance(nonce, str) or not nonce.isascii():
            return False
        here = int(now) // SLICE_SECONDS
        made = (_made(key, here + step) for key in self._keys for step in (0, -1, 1))
        return any(hmac.compare_digest(one, nonce) for one in made)


def _made(key: bytes, number: int) -> str:
    place = number.to_bytes(8, "big", signed=True)
    return encode_segment(place + hmac.digest(key, place, "sha256")[:_DIGEST_BYTES])
