"""An upstream over HTTP/1.1: a pool of connections, and exact knowledge of whether a byte can have left.

| what happens | what is known |
|---|---|
| the request cannot be written as HTTP, or the upstream is closed here | not sent |
| no place among the connections, no address, no connection, no TLS, all within the connecting time | not sent |
| a kept connection that the upstream has closed, or written to unasked, before the write | not sent: the next one |
| anything after the first byte was handed to the kernel: reset, end, time limit, cancel, nonsense | sent |

At-most-once rests on the line between the last two, so nothing is retried after it. Redirects are never
followed, proxies are not used, an encoded (compressed) answer is refused because it cannot be inspected.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from gateway.call import NotSent, Pouring, Sent
from gateway.upstream.connection import SILENCE_SECONDS_MAX, Connection
from gateway.upstream.request import written

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.call import Headers, UpstreamRequest, UpstreamResponse

#: Waiting for a place and connecting together; at most half of the call's time, so that the other half is the answer's.
CONNECT_SECONDS_MAX: Final = 10.0
#: Shorter than servers usually keep a connection, so that one is rarely closed under a request.
IDLE_SECONDS_MAX: Final = 3.0
CONNECTIONS_MAX: Final = 256
#: Calls that wait for a place among the connections; the next one is told at once.
WAITING_MAX: Final = 1024


class HttpUpstream:
    """Connections to one base URL (`http` or `https`); made and used in one event loop.

    `tls` replaces the default context (system's certificate authorities, host name checked). The credential
    is the adapter's to add. Raises `ValueError` for a URL it cannot use.
    """

    def __init__(
        self,
        url: str,
        *,
        tls: ssl.SSLContext | None = None,
        connections_max: int = CONNECTIONS_MAX,
        idle_seconds_max: float = IDLE_SECONDS_MAX,
        silence_seconds_max: float = SILENCE_SECONDS_MAX,
        connect_seconds_max: float = CONNECT_SECONDS_MAX,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or parts.hostname is None or parts.query or parts.fragment:
            raise ValueError("expected an http or https URL without query")
        self._host = parts.hostname
        self._tls = (tls or _verifying()) if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._base = parts.path
        self._authority = parts.netloc.rpartition("@")[2].encode("ascii")
        self._idle_seconds_max = idle_seconds_max
        self._connect_seconds_max = connect_seconds_max
        self._make = partial(Connection, silence_seconds_max)
        self._idle: list[Connection] = []
        self._pruning: asyncio.TimerHandle | None = None
        self._places = asyncio.Semaphore(connections_max)
        self._waiting = 0
        self._closed = False

    async def send(self, request: UpstreamRequest, *, seconds_max: float) -> UpstreamResponse:
        """Send and wait for the answer's head; `seconds_max` bounds the whole answer. Raises `NotSent`, `Sent`."""
        content = written(request, self._base, self._authority)
        loop = asyncio.get_running_loop()
        start = loop.time()
        connect_by = start + min(self._connect_seconds_max, seconds_max / 2)
        await self._place(connect_by)
        try:
            connection = self._kept() or await self._connect(connect_by)
            try:
                status, headers = await connection.exchange(
                    content,
                    expects_body=request.method != "HEAD",
                    deadline=start + seconds_max,
                    seconds_max=seconds_max,
                )
                _demand_plain(headers)
            except BaseException:
                connection.close()
                raise
        except BaseException:
            self._places.release()
            raise
        return _Response(self, connection, status, headers)

    async def aclose(self) -> None:
        """Close the idle connections; those in use close when their answers end."""
        self._closed = True
        for connection in self._idle:
            connection.close()
        self._idle.clear()
        if self._pruning is not None:
            self._pruning.cancel()

    def give_back(self, connection: Connection) -> None:
        """Take a connection after its exchange: kept when it can serve another one."""
        self._places.release()
        if self._closed or not connection.drained:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._pruning is None:
            self._pruning = loop.call_later(self._idle_seconds_max, self._prune)

    async def _place(self, until: float) -> None:
        if self._closed:
            raise NotSent("the gateway is stopping")
        if not self._places.locked():
            await self._places.acquire()  # at once
            return
        if self._waiting >= WAITING_MAX:
            raise NotSent(f"{WAITING_MAX} calls wait for a connection to the upstream")
        self._waiting += 1
        try:
            async with asyncio.timeout_at(until):
                await self._places.acquire()
        except TimeoutError:
            raise NotSent("all connections to the upstream are busy") from None
        finally:
            self._waiting -= 1

    def _kept(self) -> Connection | None:
        """Return the connection used last, when it is still good; nothing may be awaited until it is written to."""
        oldest = asyncio.get_running_loop().time() - self._idle_seconds_max
        while self._idle:
            connection = self._idle.pop()
            if connection.idle_since > oldest and connection.usable and connection.quiet:
                return connection
            connection.close()
        return None

    def _prune(self) -> None:
        loop = asyncio.get_running_loop()
        self._pruning = None
        oldest = loop.time() - self._idle_seconds_max
        for connection in self._idle:
            if connection.idle_since <= oldest or not connection.usable:
                connection.close()
        self._idle = [connection for connection in self._idle if connection.usable]
        if self._idle:
            self._pruning = loop.call_at(self._idle[0].idle_since + self._idle_seconds_max, self._prune)

    async def _connect(self, until: float) -> Connection:
        try:
            async with asyncio.timeout_at(until):
                _, connection = await asyncio.get_running_loop().create_connection(
                    self._make, self._host, self._port, ssl=self._tls, server_hostname=self._host if self._tls else None
                )
        except TimeoutError:
            raise NotSent("the upstream could not be connected to in time") from None
        except ssl.SSLCertVerificationError:
            raise NotSent("the upstream's certificate was not accepted") from None
        except ssl.SSLError:
            raise NotSent("no TLS connection to the upstream could be made") from None
        except (OSError, UnicodeError):  # a name that is no host name fails in IDNA
            raise NotSent("the upstream could not be connected to") from None
        if not (connection.usable and connection.quiet):
            connection.close()
            raise NotSent("the upstream closed the connection before the request was written")
        return connection


class _Response(Pouring):
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

    async def pour(self, take: Callable[[bytes], None]) -> None:
        """Give the body to `take` as it arrives. Raises `Sent` when it is cut, and what `take` raises."""
        if self._connection is not None:
            await self._connection.pour(take)

    async def aclose(self) -> None:
        """Give the connection back, or drop it when the answer was not read to its end."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._upstream.give_back(connection)


def _verifying() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _demand_plain(headers: Headers) -> None:
    for name, value in headers:
        if name == b"content-encoding" and value.strip().lower() not in {b"", b"identity"}:
            raise Sent("the upstream encoded its answer though it was asked not to")
