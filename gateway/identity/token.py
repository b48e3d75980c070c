"""Signed tokens (JWT) to principals: what RFC 8725 and RFC 9068 ask, and what PyJWT leaves to us.

The trust domain is that of the issuer's entry in the configuration; no claim can name another.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, cast

import jiter
import jwt

from gateway.identity.binding import binding_of
from gateway.identity.names import ANONYMOUS, NAMES_MAX, usable_name
from gateway.identity.refused import CredentialRefused, Reason
from policy.decision import Principal
from policy.resources import SegmentGlob

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config import Issuer
    from gateway.identity.binding import Binding
    from gateway.identity.compact import Compact
    from gateway.identity.key_cache import KeyCache
    from gateway.identity.key_set import Key

Listener = Literal["agents", "admin"]

_TIMES: Final = ("exp", "iat", "nbf")
#: the year 9999; beyond it clocks and calendars fail
_TIME_MAX: Final = 253_402_300_799
_REQUIRED: Final = ("iss", "aud", "exp", "iat")
#: headers that offer a key of the sender's choice (RFC 8725 section 2.6)
_KEYS_IN_HEADER: Final = frozenset({"jwk", "jku", "x5u", "x5c"})
_HEADERS: Final = frozenset({"alg", "typ", "kid", "cty", "x5t", "x5t#S256"})
#: the OpenID Connect marks of an ID token, which is for the client and not for us
_ID_TOKEN: Final = frozenset({"nonce", "at_hash", "c_hash", "s_hash"})
_KID_CHARACTERS_MAX: Final = 256
_FAILURES: Final[tuple[tuple[type[jwt.PyJWTError], Reason], ...]] = (
    (jwt.ExpiredSignatureError, "expired"),
    (jwt.ImmatureSignatureError, "not_yet_valid"),
    (jwt.InvalidAudienceError, "audience_wrong"),
    (jwt.InvalidIssuerError, "issuer_unknown"),
    (jwt.MissingRequiredClaimError, "claim_missing"),
    (jwt.InvalidSignatureError, "signature_wrong"),
    (jwt.InvalidAlgorithmError, "algorithm_not_allowed"),
    (jwt.InvalidKeyError, "key_unknown"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """An issuer's entry with the domain it stands in and its keys."""

    domain: str
    entry: Issuer
    keys: KeyCache


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a token proved. `until` is seconds since the epoch, leeway included.

    `bound` is what its holder must prove to hold.
    """

    principal: Principal
    issuer: Trusted
    until: float
    bound: Binding | None = None


async def verify(
    token: str, compact: Compact, issuers: Mapping[str, Trusted], *, listener: Listener, resource: str | None = None
) -> Verified:
    """Return what `token` proves to `listener`; at the endpoint `resource` it may be for that alone (RFC 8707).

    Raises `CredentialRefused`.
    """
    trusted = _issuer(compact, issuers)
    algorithm = _check_header(compact.header, trusted.entry)
    audience = trusted.entry.audience if listener == "agents" else trusted.entry.admin_audience
    if not audience:
        raise CredentialRefused("wrong_listener")
    if resource is not None:
        audience = (*audience, resource)
    times = times_of(compact)
    key = await trusted.keys.find(_kid(compact.header), algorithm)
    _check_signature(token, key, algorithm, trusted.entry, audience)
    _check_claims(compact, audience)
    bound = binding_of(compact.claims, trusted.entry)
    if not 0 < times["exp"] - times["iat"] <= trusted.entry.lifetime_seconds_max:
        raise CredentialRefused("lifetime_too_long")
    until = times["exp"] + trusted.entry.leeway_seconds
    subject = compact.claims.get("sub")
    if not isinstance(subject, str) or not usable_name(subject, spaces=True):
        raise CredentialRefused("subject_unusable")
    principal = _principal(compact, trusted, subject)
    return Verified(principal=principal, issuer=trusted, until=until, bound=bound)


def times_of(compact: Compact) -> dict[str, float]:
    """Return the numeric dates of a token by name. Raises `CredentialRefused`."""
    return {name: _time(compact.claims[name]) for name in _TIMES if name in compact.claims}


def public_id(issuer: str, identifier: str) -> str:
    """Return what stands for a token's `jti` in audit and journal: nobody can make the token's id of it."""
    named = f"{issuer}\n{identifier}"
    return f"jti:{hashlib.sha256(named.encode()).hexdigest()[:16]}"


def _issuer(compact: Compact, issuers: Mapping[str, Trusted]) -> Trusted:
    # read before it is verified, and used only to choose whose keys must verify it
    name = compact.claims.get("iss")
    trusted = issuers.get(name) if isinstance(name, str) else None
    if trusted is None:
        raise CredentialRefused("issuer_unknown")
    return trusted


def _check_header(header: dict[str, object], entry: Issuer) -> str:
    if _KEYS_IN_HEADER & header.keys():
        raise CredentialRefused("key_in_header")
    if "crit" in header or "b64" in header:
        raise CredentialRefused("critical_unknown")
    if header.keys() - _HEADERS:
        raise CredentialRefused("header_unusable")
    kind = header.get("typ")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in _types(entry):
        raise CredentialRefused("type_not_allowed")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in entry.algorithms:
        raise CredentialRefused("algorithm_not_allowed")
    return algorithm


def _types(entry: Issuer) -> frozenset[str]:
    # media types are compared without regard to case (RFC 7515 section 4.1.9)
    return frozenset(name.lower() for name in entry.token_types)


def _kid(header: dict[str, object]) -> str | None:
    kid = header.get("kid")
    if kid is None and "kid" not in header:
        return None
    if not isinstance(kid, str) or not 0 < len(kid) <= _KID_CHARACTERS_MAX:
        raise CredentialRefused("key_unknown")
    return kid


def _check_signature(token: str, key: Key, algorithm: str, entry: Issuer, audience: tuple[str, ...]) -> None:
    try:
        jwt.decode(
            token,
            key=key.public,
            algorithms=[algorithm],
            audience=audience,
            issuer=entry.issuer,
            leeway=entry.leeway_seconds,
            options={"require": list(_REQUIRED), "enforce_minimum_key_length": True},
        )
    except jwt.PyJWTError as error:
        raise CredentialRefused(reason_of(error)) from None


def reason_of(error: jwt.PyJWTError) -> Reason:
    """Return what a token lacks, in our words."""
    for kind, reason in _FAILURES:
        if isinstance(error, kind):
            return reason
    return "claim_unusable"


def _check_claims(compact: Compact, audience: tuple[str, ...]) -> None:
    claims = compact.claims
    named = claims["aud"]
    listed: list[object] = cast("list[object]", named) if isinstance(named, list) else [named]
    if not listed or not all(isinstance(one, str) and one in audience for one in listed):
        # somebody else in the list could use the token here
        raise CredentialRefused("audience_wrong")
    if _ID_TOKEN & claims.keys():
        raise CredentialRefused("id_token")
    if "jti" in claims or _is_access_token(compact):
        identifier = claims.get("jti")
        if not isinstance(identifier, str) or not usable_name(identifier, spaces=True):
            raise CredentialRefused("claim_missing" if identifier is None else "claim_unusable")


def _is_access_token(compact: Compact) -> bool:
    # RFC 9068 section 2.2 makes `jti` a duty of what calls itself an access token
    return str(compact.header.get("typ")).lower().endswith("at+jwt")


def _time(value: object) -> float:
    # NumericDate (RFC 7519 section 2): a number, also with a fraction; PyJWT takes text for one as well
    if isinstance(value, jiter.LosslessFloat):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _TIME_MAX:
        raise CredentialRefused("claim_unusable")
    return float(value)


def _principal(compact: Compact, trusted: Trusted, subject: str) -> Principal:
    entry, claims = trusted.entry, compact.claims
    roles, groups = names_in(claims, entry.roles_claim), names_in(claims, entry.groups_claim)
    agent, user = claims.get(entry.agent_claim), _user(claims, entry)
    actors: tuple[str, ...] = ()
    user_roles = frozenset[str]()
    if claims.get("act") is not None:
        if entry.delegation == "refuse":
            raise CredentialRefused("delegated_token")
        if user not in {None, subject} or groups:
            # of two users one would be left out; groups belong to agents, a user's would be
            raise CredentialRefused("claim_unusable")
        chain = _chain(claims["act"], entry, subject)
        user, user_roles = subject, roles
        agent, actors = chain[0], chain[1:]
        roles = names_in(cast("dict[str, object]", claims["act"]), entry.roles_claim)
    if not isinstance(agent, str) or not usable_name(agent) or agent == ANONYMOUS:
        raise CredentialRefused("subject_unusable")
    if not all(any(_fits(pattern, name) for pattern in entry.agents) for name in (agent, *actors)):
        raise CredentialRefused("agent_not_allowed")
    if user is not None and not usable_name(user):
        raise CredentialRefused("claim_unusable")
    identifier = claims.get("jti")
    return Principal(
        agent=agent, domain=trusted.domain, roles=roles, groups=groups, user=user, user_roles=user_roles, actors=actors,
        method="jwt", issuer=entry.issuer, scopes=_scopes(claims),
        subject=None if subject in {agent, user, *actors} else subject,
        credential=public_id(entry.issuer, identifier) if isinstance(identifier, str) else "-",
    )  # fmt: skip


def _user(claims: dict[str, object], entry: Issuer) -> str | None:
    user = claims.get(entry.user_claim) if entry.user_claim is not None else None
    if user is not None and not isinstance(user, str):
        raise CredentialRefused("claim_unusable")
    return user


def _chain(act: object, entry: Issuer, subject: str) -> tuple[str, ...]:
    """Return who acts for `subject`, the one who calls first (RFC 8693 section 4.1). Raises `CredentialRefused`."""
    chain: list[str] = []
    while act is not None:
        one = cast("dict[str, object]", act) if isinstance(act, dict) else {}
        name = one.get("sub")
        if not isinstance(name, str) or not usable_name(name) or name == ANONYMOUS:
            raise CredentialRefused("subject_unusable")
        if one.get("iss", entry.issuer) != entry.issuer:
            # a name of another issuer is somebody else
            raise CredentialRefused("issuer_unknown")
        if name in chain or name == subject:
            raise CredentialRefused("chain_cyclic")
        chain.append(name)
        if len(chain) > entry.actors_max:
            raise CredentialRefused("chain_too_long")
        act = one.get("act")
    return tuple(chain)


def _fits(pattern: str, agent: str) -> bool:
    return SegmentGlob(tuple(pattern.split("*"))).matches(agent) if "*" in pattern else pattern == agent


def names_in(claims: dict[str, object], claim: str | None) -> frozenset[str]:
    """Return the names a claim holds, a list or one text; none without a claim. Raises `CredentialRefused`."""
    value = claims.get(claim) if claim is not None else None
    if value is None:
        return frozenset()
    # one text is a list separated by spaces, as `scope` is (RFC 6749 section 3.3)
    listed: list[object] = list(value.split(" ")) if isinstance(value, str) else cast("list[object]", value)
    if not isinstance(value, str | list) or len(listed) > NAMES_MAX:
        raise CredentialRefused("claim_unusable")
    names = [name for name in listed if isinstance(name, str) and usable_name(name, spaces=True)]
    if len(names) != len(listed):
        # leaving one out could leave out what a deny line names
        raise CredentialRefused("claim_unusable")
    return frozenset(names)


def _scopes(claims: dict[str, object]) -> frozenset[str]:
    """Return what the token is limited to (RFC 9068 section 2.2.3; `scp` of several issuers); unreadable is none."""
    value = claims.get("scope", claims.get("scp"))
    listed: list[object] = list(value.split()) if isinstance(value, str) else []
    if isinstance(value, list):
        listed = cast("list[object]", value)
    names = [name for name in listed[:NAMES_MAX] if isinstance(name, str)]
    return frozenset(names)
