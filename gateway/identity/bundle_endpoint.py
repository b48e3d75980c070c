"""Bundle endpoints of SPIFFE's profile `https_spiffe`: known by a SPIFFE ID, whatever host name leads to them.

SPIFFE Trust Domain and Bundle section 5.2.2. The endpoint is authenticated by the authorities that the configuration
names; those that a bundle brings are not taken, so what is served cannot widen who is believed.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Protocol, cast

import httpx
from cryptography import x509

from gateway.identity.certificate import uri_of
from gateway.identity.key_cache import fetch_url
from gateway.identity.key_set import KeySetUnusable

if TYPE_CHECKING:
    from gateway.identity.certificate import Authorities
    from gateway.identity.key_cache import Fetch

_SECONDS_MAX = 5.0


class _Stream(Protocol):
    def get_extra_info(self, name: str) -> ssl.SSLObject | None: ...


def fetch_bundle(url: str, endpoint: str, trust_domain: str, authorities: Authorities) -> Fetch:
    """Return what fetches a trust bundle from `url`, served by the workload `endpoint` of `trust_domain`."""

    def vet(response: httpx.Response) -> None:
        stream = cast("_Stream", response.extensions["network_stream"])
        connection = stream.get_extra_info("ssl_object")
        shown = None if connection is None else connection.getpeercert(binary_form=True)
        if shown is None or _named(shown) != endpoint:
            raise KeySetUnusable(f"expected `{endpoint}` at the bundle endpoint, its certificate names somebody else")

    async def fetch() -> bytes:
        # a client for each fetch: the authorities may have changed, and minutes lie in between
        context = _context(authorities.pem_of(trust_domain))
        async with httpx.AsyncClient(
            verify=context, trust_env=False, follow_redirects=False, timeout=_SECONDS_MAX
        ) as client:
            return await fetch_url(client, url, vet)()

    return fetch


def _named(certificate: bytes) -> str | None:
    """Return whom a certificate (DER) names, `None` for nobody, also where it cannot be read."""
    try:
        return uri_of(x509.load_der_x509_certificate(certificate))
    except ValueError:
        return None


def _context(authorities: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # it is the SPIFFE ID that counts
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=authorities)
    return context
