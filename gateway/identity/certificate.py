"""Client certificates shown to the gateway's own listener: X509-SVIDs, each verified by its own domain's authorities.

The handshake proves that the caller has the key, and that some configured authority has issued the certificate. Which
authority may speak for which trust domain is decided here: else one company's authority could name another's agents.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, cast

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from gateway.config.problems import ConfigInvalid, Problem
from gateway.identity.key_file import LOOK_SECONDS, stamp
from gateway.identity.refused import CredentialRefused
from gateway.identity.spiffe import principal_of, split_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from gateway.identity.spiffe import Workloads
    from policy.decision import Principal

_log = logging.getLogger("oncegate.identity")

FILE_BYTES_MAX: Final = 1024 * 1024
CERTIFICATES_MAX: Final = 4096
_DEPTH_MAX: Final = 4
#: of the ASGI scope: https://asgi.readthedocs.io/en/latest/specs/tls.html
TLS_EXTENSION: Final = "tls"


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a TLS connection that the gateway ends: the certificate it has shown in PEM, or `None`."""

    certificate: str | None


@dataclass(frozen=True, slots=True)
class _Verified:
    principal: Principal
    until: float
    generation: int


class Authorities:
    """Who may issue certificates for which SPIFFE trust domain; files are read again within a second of a change."""

    def __init__(self, files: Mapping[str, Path], clock: Callable[[], float] = time.monotonic) -> None:
        """Read the files, by SPIFFE trust domain. Raises `ConfigInvalid`."""
        self._files = files
        self._clock = clock
        self._looked = clock()
        self._stamps = {name: stamp(path) for name, path in files.items()}
        self._read = {name: _read(path) for name, path in files.items()}
        #: goes up whenever a file has changed; what was concluded from an older one is void
        self.generation = 0

    @property
    def pem(self) -> str:
        """All authorities, for the handshake."""
        return "".join(pem for _, pem in self._read.values())

    def pem_of(self, trust_domain: str) -> str:
        """Return the authorities of a SPIFFE trust domain as text, nothing where it has none."""
        self.freshen()
        return self._read[trust_domain][1] if trust_domain in self._read else ""

    def of(self, trust_domain: str) -> Store | None:
        """Return the authorities of a SPIFFE trust domain, `None` where it has none."""
        found = self._read.get(trust_domain)
        return None if found is None else found[0]

    def again(self) -> None:
        """Look now whether a file has changed."""
        self._looked = float("-inf")
        self.freshen()

    def freshen(self) -> None:
        """Look whether a file has changed; one that cannot be read any more keeps what was read."""
        now = self._clock()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        stamps = {name: stamp(path) for name, path in self._files.items()}
        changed = [name for name, found in stamps.items() if found != self._stamps[name]]
        self._stamps = stamps
        for name in changed:
            try:
                self._read[name] = _read(self._files[name])
            except ConfigInvalid as error:
                _log.error("the authorities of `%s` stay as they were: %s", name, error)
            else:
                self.generation += 1


class Certificates:
    """Knows whose a certificate is."""

    def __init__(
        self, authorities: Authorities, workloads: Mapping[str, Workloads], clock: Callable[[], float] = time.time
    ) -> None:
        self._authorities = authorities
        self._workloads = workloads
        self._clock = clock
        self._known: OrderedDict[str, _Verified] = OrderedDict()

    def principal_of(self, pem: str) -> Principal:
        """Return the workload that has shown a certificate (X509-SVID section 5). Raises `CredentialRefused`.

        It is asked with each request: a connection may outlive its certificate, and the authority that issued it.
        """
        self._authorities.freshen()
        now = self._clock()
        known = self._known.get(pem)
        if known is None or known.generation != self._authorities.generation:
            known = self._known[pem] = self._verified(pem, now)
            while len(self._known) > CERTIFICATES_MAX:
                self._known.popitem(last=False)
        if known.until <= now:
            raise CredentialRefused("expired")
        self._known.move_to_end(pem)
        return known.principal

    def _verified(self, pem: str, now: float) -> _Verified:
        generation = self._authorities.generation
        try:
            certificate = x509.load_der_x509_certificate(ssl.PEM_cert_to_DER_cert(pem))
        except ValueError:
            raise CredentialRefused("certificate_unusable") from None
        trust_domain, path = split_id(uri_of(certificate))
        workloads, store = self._workloads.get(trust_domain), self._authorities.of(trust_domain)
        if workloads is None or store is None:
            raise CredentialRefused("issuer_unknown")
        until = certificate.not_valid_after_utc.timestamp()
        if until <= now:
            raise CredentialRefused("expired")
        policy = PolicyBuilder().store(store).time(datetime.fromtimestamp(now, UTC)).max_chain_depth(_DEPTH_MAX)
        try:
            policy.build_client_verifier().verify(certificate, [])
        except (VerificationError, ValueError):
            raise CredentialRefused("signature_wrong") from None
        principal = principal_of(workloads, path, "certificate", f"spiffe://{trust_domain}")
        return _Verified(principal, until, generation)


def uri_of(certificate: x509.Certificate) -> str | None:
    """Return the one URI that a certificate names, `None` where that is none or several (X509-SVID section 2)."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return uris[0] if len(uris) == 1 else None


def _read(path: Path) -> tuple[Store, str]:
    """Return the authorities in a PEM file, and its certificates as text. Raises `ConfigInvalid`."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        found = x509.load_pem_x509_certificates(content) if len(content) <= FILE_BYTES_MAX else []
        store = Store(found)
    except (OSError, ValueError):
        raise ConfigInvalid([Problem(str(path), 0, "expected certificates of authorities in PEM")]) from None
    return store, "".join(ssl.DER_cert_to_PEM_cert(one.public_bytes(Encoding.DER)) for one in found)


def peer_of(scope: Mapping[str, object]) -> Peer | None:
    """Return who is at the other end of a request's connection, `None` where TLS is not ended here."""
    extensions = cast("Mapping[str, Mapping[str, list[str]]]", scope.get("extensions", {}))
    said = extensions.get(TLS_EXTENSION)
    if said is None:
        return None
    chain = said["client_cert_chain"]
    return Peer(chain[0] if chain else None)
