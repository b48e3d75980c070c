"""The compact form of a signed token (RFC 7515 section 7.1), read so that it can be read in one way only."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Final, cast

from gateway import body
from gateway.identity.refused import CredentialRefused

DEPTH_MAX: Final = 16
_SEGMENTS: Final = 3
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Compact:
    """Header and claims of a token nobody has verified yet."""

    header: dict[str, object]
    claims: dict[str, object]


def read_compact(token: str) -> Compact:
    """Return the parts of `token`. Raises `CredentialRefused`."""
    segments = token.split(".")
    if len(segments) != _SEGMENTS or not all(segments):
        raise CredentialRefused("not_compact")
    header, claims, _ = (decode_segment(segment) for segment in segments)
    return Compact(_json_object(header), _json_object(claims))


def decode_segment(segment: str) -> bytes:
    """Return the bytes of a base64url segment without padding (RFC 7515 section 2).

    Several texts decode to the same bytes when unused bits are set; only the one an encoder makes is
    accepted. Raises `CredentialRefused`.
    """
    if not _BASE64URL.fullmatch(segment) or len(segment) % 4 == 1:
        raise CredentialRefused("not_base64url")
    decoded = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    if encode_segment(decoded) != segment:
        raise CredentialRefused("not_base64url")
    return decoded


def encode_segment(content: bytes) -> str:
    """Return `content` in base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _json_object(content: bytes) -> dict[str, object]:
    try:
        tree = body.parse(content, depth_max=DEPTH_MAX)
    except body.MalformedBody as error:
        duplicate = str(error).startswith("duplicate")
        raise CredentialRefused("duplicate_member" if duplicate else "not_json") from None
    if not isinstance(tree, dict):
        raise CredentialRefused("not_json")
    return cast("dict[str, object]", tree)
