"""TLS ended by the gateway itself: certificates that are read again when they change, and who is at the other end.

uvicorn shows an application nothing of the connection, so its HTTP protocol is subclassed by a few lines that put the
peer's certificate into the scope as the ASGI TLS extension has it.
"""

from __future__ import annotations

import logging
import ssl
import time
from typing import TYPE_CHECKING, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.config.problems import ConfigInvalid, Problem
from gateway.identity.certificate import TLS_EXTENSION
from gateway.identity.key_file import LOOK_SECONDS, stamp

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from gateway.config.identity import Tls
    from gateway.identity.certificate import Authorities

_log = logging.getLogger("oncegate.tls")

#: RFC 9325 section 4.2; those of TLS 1.3 are OpenSSL's
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
_ASKED: Final = {"none": ssl.CERT_NONE, "accept": ssl.CERT_OPTIONAL, "require": ssl.CERT_REQUIRED}


class ListenerTls:
    """The listener's side of TLS. `context` stays the same; each handshake takes what the files hold by then."""

    def __init__(self, tls: Tls, authorities: Authorities, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the files. Raises `ConfigInvalid`."""
        self._tls = tls
        self._authorities = authorities
        self._clock = clock
        self._looked = clock()
        self._seen = self._stamps()
        self._current = self._made()
        self.context = self._made()
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """Serve a handshake with today's files; called for each, also without a server name."""
        del name, context
        self._freshen()
        connection.context = self._current

    def again(self) -> None:
        """Look now whether a file has changed."""
        self._looked = float("-inf")
        self._freshen()

    def _freshen(self) -> None:
        now = self._clock()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        self._authorities.freshen()
        seen = self._stamps()
        if seen == self._seen:
            return
        try:
            self._current = self._made()
        except ConfigInvalid as error:  # files are replaced one after the other: it is tried with the next handshake
            _log.error("the certificate in use stays: %s", error)
        else:
            self._seen = seen
            _log.info("the listener's certificate was read again")

    def _stamps(self) -> object:
        return stamp(self._tls.certificate_file), stamp(self._tls.key_file), self._authorities.generation

    def _made(self) -> ssl.SSLContext:
        tls = self._tls
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_CIPHERS)
        context.set_alpn_protocols(["http/1.1"])
        # a resumed session would bring a certificate that nobody has verified again
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        try:
            context.load_cert_chain(tls.certificate_file, tls.key_file, password=lambda: "")
        except (OSError, ValueError):  # also `ssl.SSLError`
            message = "expected a certificate chain in PEM, and in `key_file` its private key without a password"
            raise ConfigInvalid([Problem(str(tls.certificate_file), 0, message)]) from None
        if tls.client_certificates != "none":
            context.load_verify_locations(cadata=self._authorities.pem)
            # an authority is trusted because it is named, whoever has issued its own certificate
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            context.verify_mode = _ASKED[tls.client_certificates]
        return context


class TlsProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol that says who is at the other end; `uvicorn.Config(http=TlsProtocol)`."""

    _said: Mapping[str, object] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Note the peer's certificate, once a connection."""
        super().connection_made(transport)
        connection = cast("ssl.SSLObject | None", transport.get_extra_info("ssl_object"))
        if connection is None:
            return
        certificate = connection.getpeercert(binary_form=True)
        chain = [] if certificate is None else [ssl.DER_cert_to_PEM_cert(certificate)]
        # https://asgi.readthedocs.io/en/latest/specs/tls.html
        self._said = {
            "server_cert": None, "client_cert_chain": chain, "client_cert_name": None, "client_cert_error": None,
            "tls_version": None, "cipher_suite": None,
        }  # fmt: skip

    def on_message_begin(self) -> None:
        """Put it into the scope of each request."""
        super().on_message_begin()
        if self._said is not None:
            scope = cast("dict[str, object]", self.scope)
            scope["extensions"] = {TLS_EXTENSION: self._said}
