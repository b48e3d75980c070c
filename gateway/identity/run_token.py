"""Run tokens: a signed handle to one attempt of a run, good as a bearer token and in a URL path.

`ogr_<payload>.<mac>`, both base64url: the payload is JSON `[run id, attempt, expiry]`, the MAC
HMAC-SHA-256 under a key derived from `secret_key`. It carries no rights: the run's row does.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.identity.compact import decode_segment, encode_segment
from gateway.identity.refused import CredentialRefused
from gateway.identity.run_header import usable_run_id

if TYPE_CHECKING:
    from collections.abc import Sequence

PREFIX: Final = "ogr_"
TOKEN_CHARACTERS_MAX: Final = 512
_KEY_BYTES: Final = 32
_PARTS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RunToken:
    """What a run token says. `expires` is in seconds since the epoch."""

    run_id: str
    attempt: int
    expires: int


def signing_key(secret: bytes) -> bytes:
    """Return the 32-byte key for run tokens that follows from one of `secret_key` (HKDF, RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=b"oncegate/run-token/1").derive(secret)


def mint(key: bytes, *, run_id: str, attempt: int, expires: float) -> str:
    """Return a token for an attempt, signed with `key` (see `signing_key`), valid until `expires`."""
    payload = encode_segment(json.dumps([run_id, attempt, int(expires)], separators=(",", ":")).encode())
    return f"{PREFIX}{payload}.{encode_segment(_mac(key, payload))}"


def read(keys: Sequence[bytes], token: str, *, now: float) -> RunToken:
    """Return what `token` says, signed with any of `keys`, at `now` (seconds since the epoch).

    Raises `CredentialRefused`.
    """
    payload, dot, mac = token.removeprefix(PREFIX).partition(".")
    if not token.startswith(PREFIX) or not dot or len(token) > TOKEN_CHARACTERS_MAX:
        raise CredentialRefused("run_token_wrong")
    try:
        content, given = decode_segment(payload), decode_segment(mac)
    except CredentialRefused:
        raise CredentialRefused("run_token_wrong") from None
    # every key is tried, so that time tells nothing about which one fits
    fitting = [hmac.compare_digest(_mac(key, payload), given) for key in keys]
    if not any(fitting):
        raise CredentialRefused("run_token_wrong")
    said = _said(content)
    if said.expires <= now:
        raise CredentialRefused("run_token_expired")
    return said


def _mac(key: bytes, payload: str) -> bytes:
    return hmac.new(key, f"{PREFIX}{payload}".encode(), hashlib.sha256).digest()


def _said(content: bytes) -> RunToken:
    listed: object = json.loads(content)
    if isinstance(listed, list) and len(cast("list[object]", listed)) == _PARTS:
        run_id, attempt, expires = cast("list[object]", listed)
        whole = type(attempt) is int and type(expires) is int
        if isinstance(run_id, str) and usable_run_id(run_id) and whole:
            return RunToken(run_id=run_id, attempt=cast("int", attempt), expires=cast("int", expires))
    # signed by us and still not ours: another version of this program
    raise CredentialRefused("run_token_wrong")
