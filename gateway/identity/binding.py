"""What a token is bound to, which whoever shows it must prove to hold: a key (RFC 9449), a certificate (RFC 8705)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from gateway.identity.refused import CredentialRefused
from gateway.identity.spiffe import forwarded_fields, vouching

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config import Issuer
    from gateway.config.identity import Proxy
    from gateway.identity.certificate import Peer

_KEY: Final = "jkt"
_CERTIFICATE: Final = "x5t#S256"


@dataclass(frozen=True, slots=True)
class Binding:
    """The thumbprints a token names, in base64url: of a key (RFC 7638), of a certificate (RFC 8705 section 3.1)."""

    key: str | None
    certificate: str | None


def binding_of(claims: Mapping[str, object], entry: Issuer) -> Binding | None:
    """Return what a token is bound to, `None` for nothing; what we cannot check is refused.

    Raises `CredentialRefused`.
    """
    found = claims.get("cnf")
    named = cast("dict[str, object]", found) if isinstance(found, dict) else {}
    if entry.dpop == "require" and _KEY not in named:
        raise CredentialRefused("proof_missing")
    if found is None:
        return None
    if not named or named.keys() - {_KEY, _CERTIFICATE} or (entry.dpop == "refuse" and _KEY in named):
        raise CredentialRefused("bound_token")
    if not all(isinstance(one, str) and one for one in named.values()):
        raise CredentialRefused("bound_token")
    return Binding(cast("str | None", named.get(_KEY)), cast("str | None", named.get(_CERTIFICATE)))


def demand_certificate(
    wanted: str, domain: str, *, peer: Peer | None, proxy: str | None, forwarded: str | None,
    proxies: Mapping[str, Proxy],
) -> None:  # fmt: skip
    """Check that the caller of `domain` has shown the certificate with thumbprint `wanted`.

    It has shown it to us (`peer`), or to a proxy that proves itself by `proxy` and says so in `forwarded` (XFCC);
    without either nothing is known of its certificate. Raises `CredentialRefused`.
    """
    if proxy is not None:
        vouching_for = vouching(proxy, proxies)[1]
        if domain not in vouching_for.domains:
            raise CredentialRefused("issuer_unknown")
        found = _forwarded(forwarded)
    elif peer is not None and peer.certificate is not None:
        found = hashlib.sha256(ssl.PEM_cert_to_DER_cert(peer.certificate)).digest()
    else:
        raise CredentialRefused("bound_token")
    shown = base64.urlsafe_b64encode(found).rstrip(b"=")
    if not hmac.compare_digest(shown, wanted.encode()):
        raise CredentialRefused("certificate_wrong")


def _forwarded(forwarded: str | None) -> bytes:
    """Return the SHA-256 of the one certificate in XFCC (`Hash=`, hexadecimal)."""
    hashes = [value for name, value in forwarded_fields(forwarded) if name == "hash"]
    try:
        found = bytes.fromhex(hashes[0]) if len(hashes) == 1 else b""
    except ValueError:
        found = b""
    if len(found) != hashlib.sha256().digest_size:
        raise CredentialRefused("certificate_unusable")
    return found
