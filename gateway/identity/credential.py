"""Which credential a request carries: one, in one header."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from gateway.identity import api_keys, run_token
from gateway.identity.refused import CredentialRefused

if TYPE_CHECKING:
    from gateway.call import Headers

HEADER_BYTES_MAX: Final = 16 * 1024
#: token68 (RFC 9110 section 11.2), which every kind of ours keeps to
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_QUERY_TOKEN: Final = re.compile(rb"(?:^|[&;])(access_token|api_key|api-key|x-api-key)=", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential nobody has verified yet."""

    kind: Literal["jwt", "api_key", "run_token"]
    text: str


def find_credential(headers: Headers, query: bytes = b"") -> Credential | None:
    """Return the request's credential, `None` without one.

    Raises `CredentialRefused` for two, for one in the query, and for what is none.
    """
    if _QUERY_TOKEN.search(query):
        raise CredentialRefused("token_in_query")
    authorization = _only(headers, b"authorization")
    keys = _only(headers, b"x-api-key")
    if authorization is None and keys is None:
        return None
    bearer = None if authorization is None else _bearer(authorization)
    if bearer is not None and keys is not None and bearer != keys:
        raise CredentialRefused("two_credentials")
    text = bearer if bearer is not None else keys
    return None if text is None else classify(text)


def classify(text: str) -> Credential:
    """Return the credential that `text` is by its prefix. Raises `CredentialRefused`."""
    if not _TOKEN.fullmatch(text):
        raise CredentialRefused("not_compact")
    if text.startswith(run_token.PREFIX):
        return Credential("run_token", text)
    if text.startswith(api_keys.PREFIX):
        return Credential("api_key", text)
    return Credential("jwt", text)


def run_tokens_in(headers: Headers) -> tuple[str, ...]:
    """Return the texts in credential headers that look like run tokens, verified or not."""
    found: list[str] = []
    for name, value in headers:
        if name in {b"authorization", b"x-api-key"} and run_token.PREFIX.encode() in value:
            found += re.findall(rf"{run_token.PREFIX}[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", value.decode("latin-1"))
    return tuple(dict.fromkeys(found))


def _only(headers: Headers, name: bytes) -> str | None:
    values = [value for key, value in headers if key == name]
    if not values:
        return None
    if sum(len(value) for value in values) > HEADER_BYTES_MAX:
        raise CredentialRefused("header_too_large")
    if len(values) > 1:
        raise CredentialRefused("two_authorization_headers")
    return values[0].decode("latin-1").strip(" \t")


def _bearer(value: str) -> str:
    scheme, space, rest = value.partition(" ")
    if scheme.lower() != "bearer" or not space:
        raise CredentialRefused("scheme_unknown")
    return rest.strip(" ")
