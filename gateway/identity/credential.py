"""Which credential a request carries: one, in one header."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from gateway.identity import api_keys, run_token
from gateway.identity.refused import CredentialRefused
from gateway.identity.run_header import ATTEMPT_HEADER, RUN_HEADER
from gateway.identity.spiffe import CERTIFICATE_HEADER, PROXY_HEADER

if TYPE_CHECKING:
    from gateway.call import Headers

#: header values by name
Picked = dict[bytes, list[bytes]]

DPOP_HEADER: Final = b"dpop"
_PICKED: Final = frozenset({
    b"authorization", b"x-api-key", RUN_HEADER, ATTEMPT_HEADER, DPOP_HEADER, PROXY_HEADER, CERTIFICATE_HEADER,
})  # fmt: skip
HEADER_BYTES_MAX: Final = 16 * 1024
#: token68 (RFC 9110 section 11.2), which every kind of ours keeps to
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_RUN_TOKEN: Final = re.compile(rf"{run_token.PREFIX}[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_QUERY_TOKEN: Final = re.compile(rb"(?:^|[&;])(access_token|api_key|api-key|x-api-key)=", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential nobody has verified yet."""

    kind: Literal["jwt", "api_key", "run_token"]
    text: str
    #: shown with the scheme `DPoP` (RFC 9449 section 7.1)
    proven: bool = False


def pick(headers: Headers) -> Picked:
    """Return the values of the headers that say who calls and in which run, by name, in one pass."""
    found: Picked = {}
    for name, value in headers:
        if name in _PICKED:
            found.setdefault(name, []).append(value)
    return found


def find_credential(picked: Picked, query: bytes = b"") -> Credential | None:
    """Return the request's credential, `None` without one.

    Raises `CredentialRefused` for two, for one in the query, and for what is none.
    """
    if query and _QUERY_TOKEN.search(query):
        raise CredentialRefused("token_in_query")
    authorization = _only(picked, b"authorization")
    keys = _only(picked, b"x-api-key")
    if authorization is None and keys is None:
        return None
    bearer, proven = (None, False) if authorization is None else _bearer(authorization)
    if bearer is not None and keys is not None and bearer != keys:
        raise CredentialRefused("two_credentials")
    text = bearer if bearer is not None else keys
    return None if text is None else replace(classify(text), proven=proven)


def classify(text: str) -> Credential:
    """Return the credential that `text` is by its prefix. Raises `CredentialRefused`."""
    if not _TOKEN.fullmatch(text):
        raise CredentialRefused("not_compact")
    if text.startswith(run_token.PREFIX):
        return Credential("run_token", text)
    if text.startswith(api_keys.PREFIX):
        return Credential("api_key", text)
    return Credential("jwt", text)


def only(picked: Picked, name: bytes) -> str | None:
    """Return the one value of a header, `None` without one. Raises `CredentialRefused` for two."""
    return None if name not in picked else _only(picked, name)


def run_tokens_in(picked: Picked) -> tuple[str, ...]:
    """Return the texts in credential headers that look like run tokens, verified or not."""
    found: list[str] = []
    for name in (b"authorization", b"x-api-key"):
        for value in picked.get(name, ()):
            if run_token.PREFIX.encode() in value[:HEADER_BYTES_MAX]:
                found += _RUN_TOKEN.findall(value[:HEADER_BYTES_MAX].decode("latin-1"))
    return tuple(dict.fromkeys(found))


def _only(picked: Picked, name: bytes) -> str | None:
    values = picked.get(name)
    if values is None:
        return None
    if sum(len(value) for value in values) > HEADER_BYTES_MAX:
        raise CredentialRefused("header_too_large")
    if len(values) > 1:
        raise CredentialRefused("two_authorization_headers" if name != DPOP_HEADER else "two_proofs")
    return values[0].decode("latin-1").strip(" \t")


def _bearer(value: str) -> tuple[str, bool]:
    scheme, space, rest = value.partition(" ")
    if scheme.lower() not in {"bearer", "dpop"} or not space:
        raise CredentialRefused("scheme_unknown")
    return rest.strip(" "), scheme.lower() == "dpop"
