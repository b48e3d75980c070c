"""Encryption at rest: AES-256-GCM under keys derived from `secret_key`, each sealed value bound to its place.

A sealed value is version byte, 8-byte key id, 12-byte nonce, ciphertext and tag. The key id names the
secret and the purpose, so that a rotated ring still reads what the old secret wrote (NIST SP 800-38D).
"""

from __future__ import annotations

import hashlib
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SECRET_BYTES: Final = 32
_VERSION: Final = b"\x01"
_ID_BYTES: Final = 8
_NONCE_BYTES: Final = 12
_HEAD_BYTES: Final = 1 + _ID_BYTES + _NONCE_BYTES


class Unsealable(Exception):  # noqa: N818 - says what is known of the value
    """No key of the ring opens the value, or it does not belong where it stands."""


class Keyring:
    """Keys from one or more secrets: the first writes, all read."""

    def __init__(self, secrets: tuple[bytes, ...]) -> None:
        if not secrets or any(len(secret) != SECRET_BYTES for secret in secrets):
            raise ValueError(f"expected one or more secrets of {SECRET_BYTES} bytes")
        self._secrets = secrets
        self._ciphers: dict[tuple[str, bytes], AESGCM] = {}
        self._first: dict[str, bytes] = {}

    def seal(self, purpose: str, place: str, content: bytes) -> bytes:
        """Return `content` sealed for `place` (what it belongs to: table, row, column)."""
        key_id, cipher = self._writer(purpose)
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + key_id + nonce + cipher.encrypt(nonce, content, place.encode())

    def unseal(self, purpose: str, place: str, sealed: bytes) -> bytes:
        """Return the content sealed for `place`. Raises `Unsealable`."""
        key_id, nonce = sealed[1 : 1 + _ID_BYTES], sealed[1 + _ID_BYTES : _HEAD_BYTES]
        self._writer(purpose)
        cipher = self._ciphers.get((purpose, key_id))
        if sealed[:1] != _VERSION or cipher is None:
            raise Unsealable("no key of `secret_key` fits; was a key taken off the list?")
        try:
            return cipher.decrypt(nonce, sealed[_HEAD_BYTES:], place.encode())
        except InvalidTag:
            raise Unsealable("a stored value was changed or moved") from None

    def fits(self, purpose: str, sealed: bytes) -> bool:
        """Return whether a key of the ring is the one that `sealed` names; what is too short is not sealed at all."""
        self._writer(purpose)
        return len(sealed) < _HEAD_BYTES or (purpose, sealed[1 : 1 + _ID_BYTES]) in self._ciphers

    @property
    def rotating(self) -> bool:
        """Whether there are older secrets beside the first."""
        return len(self._secrets) > 1

    def writing_id(self, purpose: str) -> bytes:
        """Return the key id of what is sealed now; it stands in bytes 2 to 9 of a sealed value."""
        return self._writer(purpose)[0]

    def _writer(self, purpose: str) -> tuple[bytes, AESGCM]:
        if purpose not in self._first:
            for secret in self._secrets:
                key = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"oncegate/{purpose}/1".encode()).derive(
                    secret
                )
                key_id = hashlib.sha256(b"oncegate/key-id/" + key).digest()[:_ID_BYTES]
                self._ciphers[purpose, key_id] = AESGCM(key)
                self._first.setdefault(purpose, key_id)
        key_id = self._first[purpose]
        return key_id, self._ciphers[purpose, key_id]
