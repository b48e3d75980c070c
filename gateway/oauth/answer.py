"""What a token endpoint answered: a token for so long, or that there is none (RFC 6749 section 5, RFC 8693 2.2).

NotSent
└── NoToken   nothing was sent to the upstream, because no token for it could be had
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import jiter

from gateway.call import NotSent
from gateway.oauth.posting import error_in, said_in

#: A token without `expires_in` is used for this long; one with it no longer than a day.
UNSAID_SECONDS: Final = 60.0
LIFETIME_SECONDS_MAX: Final = 24 * 3600.0
_OK: Final = 200
_BEARER: Final = re.compile(r"[A-Za-z0-9._~+/-]{1,16384}=*")
#: RFC 6749 section 5.2, RFC 8693 section 2.2.2, RFC 8707 section 2
_ERRORS: Final = frozenset({
    "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
    "invalid_scope", "invalid_target", "access_denied", "server_error", "temporarily_unavailable",
})  # fmt: skip


class NoToken(NotSent):
    """No token for an upstream could be had; the message names no secret."""


@dataclass(frozen=True, slots=True)
class Given:
    """A bearer token and for how long it holds."""

    token: str
    seconds: float


def read_answer(status: int, content: bytes) -> Given:
    """Return the token in an answer. Raises `NoToken`."""
    said = said_in(content)
    if status != _OK:
        raise NoToken(f"the authorization server answered {status}{error_in(said, _ERRORS)}")
    token, kind = said.get("access_token"), said.get("token_type")
    if not isinstance(token, str) or not _BEARER.fullmatch(token):
        raise NoToken("the authorization server's answer holds no usable token")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise NoToken("the authorization server gave a token that is no bearer token")
    return Given(token, _seconds(said.get("expires_in")))


def _seconds(value: object) -> float:
    if isinstance(value, jiter.LosslessFloat):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        return UNSAID_SECONDS
    return min(float(value), LIFETIME_SECONDS_MAX)
