"""Workloads with SPIFFE identities: JWT-SVIDs, and certificates a named proxy has verified (XFCC).

A SPIFFE trust domain is an entry of the configuration (`trust_domains.<domain>.spiffe`). Another company's is
federated by an entry of its own with its own bundle: nothing is trusted because a bundle or a token says so.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, cast

import jwt

from gateway.identity.names import ANONYMOUS, usable_name
from gateway.identity.refused import CredentialRefused
from gateway.secrets import SecretError
from policy.decision import Principal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config.identity import Proxy, Spiffe
    from gateway.identity.compact import Compact
    from gateway.identity.key_cache import KeyCache

#: SPIFFE-ID section 2; percent-encoding, query, fragment, port and user are not allowed there
_ID: Final = re.compile(r"spiffe://([a-z0-9._-]{1,255})((?:/[A-Za-z0-9._-]+)*)")
_ID_CHARACTERS_MAX: Final = 2048
#: JWT-SVID section 2: `typ` may be left out
_TYPES: Final = (None, "JWT", "JOSE")  # no set: a header may hold what has no hash
_HEADERS: Final = frozenset({"alg", "typ", "kid"})
_LEEWAY_SECONDS: Final = 30.0
_LIFETIME_SECONDS_MAX: Final = 24 * 3600.0
_FIELD: Final = re.compile(r'([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^;,"]*)(?:;|$)')
PROXY_HEADER: Final = b"oncegate-proxy"
CERTIFICATE_HEADER: Final = b"x-forwarded-client-cert"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workloads:
    """A SPIFFE trust domain: the domain its workloads belong to, its entry, and its keys (`None`: no JWT-SVIDs)."""

    domain: str
    entry: Spiffe
    keys: KeyCache | None


@dataclass(frozen=True, slots=True)
class Svid:
    """What a JWT-SVID proved, until when, and by the keys of which generation."""

    principal: Principal
    workloads: Workloads
    until: float


def names_workload(compact: Compact) -> bool:
    """Return whether an unverified token calls itself a workload's."""
    subject = compact.claims.get("sub")
    return isinstance(subject, str) and subject.startswith("spiffe://")


async def verify_svid(
    token: str, compact: Compact, known: Mapping[str, Workloads], *, times: dict[str, float], now: float
) -> Svid:
    """Return what a JWT-SVID proves (JWT-SVID sections 2 to 4); `times` are its numeric claims.

    Raises `CredentialRefused`.
    """
    head, claims = compact.header, compact.claims
    trust_domain, path = split_id(claims.get("sub"))
    workloads = known.get(trust_domain)
    if workloads is None or workloads.keys is None:
        raise CredentialRefused("issuer_unknown")
    entry, algorithm, kid = workloads.entry, head.get("alg"), head.get("kid")
    if head.keys() - _HEADERS or head.get("typ") not in _TYPES:
        raise CredentialRefused("header_unusable")
    if not isinstance(algorithm, str) or algorithm not in entry.algorithms:
        raise CredentialRefused("algorithm_not_allowed")
    if not isinstance(kid, str) or not 0 < len(kid) <= 256:  # noqa: PLR2004 - as for other tokens
        raise CredentialRefused("key_unknown")
    if "cnf" in claims or "act" in claims:
        raise CredentialRefused("bound_token" if "cnf" in claims else "delegated_token")
    if "exp" not in times:
        raise CredentialRefused("claim_missing")
    _check_audience(claims.get("aud"), entry)
    key = await workloads.keys.find(kid, algorithm)
    try:
        jwt.decode(token, key.public, [algorithm], audience=entry.audience, leeway=_LEEWAY_SECONDS,
                   options={"enforce_minimum_key_length": True, "verify_iss": False})  # fmt: skip
    except jwt.ExpiredSignatureError:
        raise CredentialRefused("expired") from None
    except jwt.PyJWTError as error:
        wrong = isinstance(error, jwt.InvalidSignatureError)
        raise CredentialRefused("signature_wrong" if wrong else "claim_unusable") from None
    if times["exp"] - times.get("iat", now) > _LIFETIME_SECONDS_MAX:
        raise CredentialRefused("lifetime_too_long")
    principal = principal_of(workloads, path, "jwt", f"spiffe://{trust_domain}")
    return Svid(principal, workloads, times["exp"] + _LEEWAY_SECONDS)


def by_certificate(
    shown: str, forwarded: str | None, known: Mapping[str, Workloads], proxies: Mapping[str, Proxy]
) -> Principal:
    """Return whom a proxy says that it has verified; `shown` is `NAME SECRET`, `forwarded` the XFCC header.

    Raises `CredentialRefused`.
    """
    name, proxy = vouching(shown, proxies)
    trust_domain, path = split_id(_uri(forwarded))
    workloads = known.get(trust_domain)
    if workloads is None or workloads.domain not in proxy.domains:
        raise CredentialRefused("issuer_unknown")
    return principal_of(workloads, path, "certificate", f"proxy:{name}")


def vouching(shown: str, proxies: Mapping[str, Proxy]) -> tuple[str, Proxy]:
    """Return the proxy that proves itself by `shown`, `NAME SECRET`, and its name. Raises `CredentialRefused`."""
    name, _, secret = shown.partition(" ")
    proxy = proxies.get(name)
    try:
        wanted = "" if proxy is None else proxy.secret.read()
    except SecretError:
        raise CredentialRefused("keys_unavailable") from None
    if not hmac.compare_digest(secret.encode(), wanted.encode()) or proxy is None or not wanted:
        raise CredentialRefused("proxy_wrong")
    return name, proxy


def split_id(text: object) -> tuple[str, str]:
    """Return the trust domain and the path of a SPIFFE ID. Raises `CredentialRefused`."""
    found = _ID.fullmatch(text) if isinstance(text, str) and len(text) <= _ID_CHARACTERS_MAX else None
    if found is None or any(part in {".", ".."} for part in found.group(2).split("/")):
        raise CredentialRefused("subject_unusable")
    return found.group(1), found.group(2)


def _uri(forwarded: str | None) -> str:
    """Return the one URI in XFCC; several mean that it is no X509-SVID (X509-SVID section 2), which is refused."""
    uris = [value for key, value in forwarded_fields(forwarded) if key == "uri"]
    if len(uris) != 1:
        raise CredentialRefused("certificate_unusable")
    return uris[0]


def forwarded_fields(forwarded: str | None) -> list[tuple[str, str]]:
    """Return what XFCC says of its one certificate, names in lower case.

    Several elements mean that a proxy before this one was believed. Raises `CredentialRefused`.
    """
    text = forwarded or ""
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        match = _FIELD.match(text, at)
        if match is None or match.end() == at:
            raise CredentialRefused("certificate_unusable")
        found.append((match.group(1).lower(), match.group(2).strip('"')))
        at = match.end()
    return found


def principal_of(workloads: Workloads, path: str, method: Literal["jwt", "certificate"], issuer: str) -> Principal:
    """Return the agent that the path of a verified SPIFFE ID names. Raises `CredentialRefused`."""
    agent = workloads.entry.agent_of(path)
    if agent is None or not usable_name(agent) or agent == ANONYMOUS:
        raise CredentialRefused("agent_not_allowed")
    return Principal(agent=agent, domain=workloads.domain, method=method, issuer=issuer, credential="svid")


def _check_audience(named: object, entry: Spiffe) -> None:
    listed: list[object] = cast("list[object]", named) if isinstance(named, list) else [named]
    if not listed or not all(isinstance(one, str) and one in entry.audience for one in listed):
        raise CredentialRefused("audience_wrong")
