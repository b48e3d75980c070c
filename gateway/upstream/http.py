"""An upstream over HTTP: a pool of connections, and exact knowledge of whether a byte can have left.

Not sent: no connection could be made, or the one at hand was closed before the request was written.
Sent: everything after the first byte was handed to the kernel, whatever went wrong then. At-most-once
rests on this line, so nothing is ever retried here after it, redirects are never followed, and proxies
are not used.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from gateway.call import NotSent, Sent, header
from gateway.upstream.connection import Connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.call import Headers, UpstreamRequest, UpstreamResponse

CONNECT_SECONDS_MAX: Final = 10.0
#: Shorter than servers usually keep a connection, so that one is rarely closed under a request.
IDLE_SECONDS_MAX: Final = 3.0
CONNECTIONS_MAX: Final = 256
_FORBIDDEN: Final = (b"\r", b"\n", b"\x00")


class HttpUpstream:
    """Connections to one base URL (`http` or `https`)."""

    def __init__(self, url: str, *, tls: ssl.SSLContext | None = None, connections_max: int = CONNECTIONS_MAX) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or parts.hostname is None:
            raise ValueError("expected an http or https URL")
        self._host = parts.hostname
        self._tls = (tls or ssl.create_default_context()) if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._base = parts.path.rstrip("/")
        self._authority = parts.netloc.rpartition("@")[2].encode("ascii")
        self._idle: list[Connection] = []
        self._places = asyncio.Semaphore(connections_max)

    async def send(self, request: UpstreamRequest, *, seconds_max: float) -> UpstreamResponse:
        """Send and wait for the answer's head. Raises `NotSent`, `Sent`."""
        written = self._written(request)
        try:
            async with asyncio.timeout(seconds_max):
                await self._places.acquire()
        except TimeoutError:
            raise NotSent("all connections to the upstream are busy") from None
        try:
            connection = await self._connection(seconds_max)
            try:
                status, headers = await connection.exchange(written)
                _demand_plain(headers)
            except BaseException:
                connection.close()
                raise
        except BaseException:
            self._places.release()
            raise
        return _Response(self, connection, status, headers)

    async def aclose(self) -> None:
        """Close all idle connections."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def give_back(self, connection: Connection) -> None:
        """Take a connection after its exchange: kept when it can serve another one."""
        self._places.release()
        if connection.drained:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        else:
            connection.close()

    async def _connection(self, seconds_max: float) -> Connection:
        oldest = time.monotonic() - IDLE_SECONDS_MAX
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and connection.idle_since > oldest:
                return connection
            connection.close()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(min(CONNECT_SECONDS_MAX, seconds_max)):
                _, connection = await loop.create_connection(
                    Connection, self._host, self._port, ssl=self._tls, server_hostname=self._host if self._tls else None
                )
        except TimeoutError:
            raise NotSent("the upstream could not be connected to in time") from None
        except ssl.SSLError:
            raise NotSent("the upstream's certificate was not accepted") from None
        except OSError:
            raise NotSent("the upstream could not be connected to") from None
        return connection

    def _written(self, request: UpstreamRequest) -> bytes:
        target = (self._base + request.path) or "/"
        lines = [f"{request.method} {target} HTTP/1.1".encode("ascii"), b"host: " + self._authority]
        if any(mark in lines[0] for mark in _FORBIDDEN) or lines[0].count(b" ") != 2:  # noqa: PLR2004 - RFC 9112 3
            raise NotSent("the request's target cannot be written as HTTP")
        for name, value in request.headers:
            if any(mark in name or mark in value for mark in _FORBIDDEN):
                raise NotSent("a header cannot be written as HTTP")
            lines.append(name + b": " + value)
        lines.append(b"accept-encoding: identity")
        if request.body or request.method == "POST":
            lines.append(b"content-length: %d" % len(request.body))
        return b"\r\n".join(lines) + b"\r\n\r\n" + request.body


class _Response:
    """An answer that has begun."""

    def __init__(self, upstream: HttpUpstream, connection: Connection, status: int, headers: Headers) -> None:
        self._upstream = upstream
        self._connection: Connection | None = connection
        self.status = status
        self.headers = headers

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives. Raises `Sent` when it is cut."""
        while self._connection is not None and (part := await self._connection.read()):
            yield part

    async def aclose(self) -> None:
        """Give the connection back, or drop it when the answer was not read to its end."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._upstream.give_back(connection)


def _demand_plain(headers: Headers) -> None:
    coding = header(headers, b"content-encoding")
    if coding is not None and coding.lower() != b"identity":
        raise Sent("the upstream encoded its answer though it was asked not to")
