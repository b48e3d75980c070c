"""Which era a server speaks: said by the configuration, or asked once and remembered until a connection fails.

Only positive evidence counts for the newer era: a `server/discover` result that names one of its
versions (MCP 2026-07-28). A server that could not be asked is asked again the next time. A process that is
silent may only be slow to start: it is of the older era when it answers a `ping` and not the question, or
nothing at all in all the time that a process may take to start.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal, cast

from mcp_types import CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY, PROTOCOL_VERSION_META_KEY
from mcp_types.version import LATEST_MODERN_VERSION, MODERN_PROTOCOL_VERSIONS

from gateway import body
from gateway.call import NotSent, Sent, UpstreamRequest
from gateway.mcp.mirror import mirrored_headers
from gateway.mcp.talk import JSON, Tree, member, messages_of, params_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.call import Headers, UpstreamResponse
    from gateway.mcp.message import Era

UNSUPPORTED_PROTOCOL_VERSION: Final = -32022
#: How long a server may take to say which era it speaks; then a process is asked whether it listens at all.
PROBE_SECONDS_MAX: Final = 8.0
#: How long a process may take to start, and how long after a `ping` the answer to the question may still come.
START_SECONDS_MAX: Final = 45.0
_AFTER_PING_SECONDS: Final = 2.0
#: A refusal makes the gateway ask again, but not more often than this.
_KNOWN_SECONDS_MIN: Final = 10.0
_LEGACY_STATUSES: Final = frozenset({400, 404, 405, 406, 415})
_OK: Final = 200
#: The gateway's own name, where a server is asked on nobody's behalf.
OWN_INFO: Final[Tree] = {"name": "oncegate", "version": "1"}
PROBE_ID: Final = "oncegate-discover"
PING_ID: Final = "oncegate-ping"


@dataclass(frozen=True, slots=True)
class Known:
    """What a server was found to speak; `discovered` is its `server/discover` result, empty for the older era."""

    era: Era
    since: float
    discovered: Tree = field(default_factory=dict[str, object])
    #: of the server's processes, before it was asked
    deaths: int = 0


class Eras:
    """The era of one server."""

    def __init__(
        self,
        configured: Literal["auto", "legacy", "modern"],
        send: Callable[[UpstreamRequest, float], Awaitable[UpstreamResponse]],
        *,
        over_http: bool,
        deaths: Callable[[], int] = lambda: 0,
        silent_seconds_max: float = PROBE_SECONDS_MAX,
        start_seconds_max: float = START_SECONDS_MAX,
    ) -> None:
        self._configured = configured
        self._send = send
        self._over_http = over_http
        self._deaths = deaths
        self._silent_seconds_max = silent_seconds_max
        self._start_seconds_max = start_seconds_max
        #: how long the processes have been silent when asked, all times together
        self._silent_seconds = 0.0
        self._known: Known | None = None
        self._asking = asyncio.Lock()

    async def of(self, own: Headers, *, seconds_max: float) -> Known | None:
        """Return what the server speaks, `None` when it cannot be told. `own` are the gateway's headers.

        Raises `NotSent` when the server cannot be reached.
        """
        if self._is_known():
            return self._known
        async with self._asking:
            if not self._is_known():
                deaths = self._deaths()
                self._known = await self._asked(own, seconds_max)
                self._known = self._known and replace(self._known, deaths=deaths)
            return self._known

    async def modern(self, own: Headers, *, seconds_max: float) -> bool:
        """Return whether a message of the newer era goes to the server as it is."""
        if self._configured != "auto":
            return self._configured == "modern"
        known = await self.of(own, seconds_max=seconds_max)
        return known is None or known.era == "modern"

    @property
    def legacy_is_tried(self) -> bool:
        """Whether an `initialize` goes to the server as it is, to see what it says."""
        return self._configured != "modern"

    def _is_known(self) -> bool:
        # a process that was started again may be another program by now
        return self._known is not None and self._known.deaths == self._deaths()

    def forget(self) -> None:
        """Ask again: a connection failed, and another server may answer the next one."""
        known = self._known
        if known is not None and asyncio.get_running_loop().time() - known.since > _KNOWN_SECONDS_MIN:
            self._known = None

    async def _asked(self, own: Headers, seconds_max: float) -> Known | None:
        now = asyncio.get_running_loop().time()
        if self._configured == "legacy":
            return Known("legacy", now)
        left = self._silent_seconds_max if self._over_http else self._start_seconds_max - self._silent_seconds
        most = min(seconds_max, left)
        try:
            async with asyncio.timeout(most):
                return await (self._asked_once if self._over_http else self._heard)(own, most, now)
        except TimeoutError:
            self._silent_seconds += most
            if not self._over_http and most == left:
                self._silent_seconds = 0.0
                return Known("legacy", now)
            raise NotSent("the server did not say in time which protocol it speaks") from None
        except Sent:
            return None

    async def _heard(self, own: Headers, seconds_max: float, now: float) -> Known | None:
        asking = asyncio.create_task(self._asked_once(own, seconds_max, now))
        pinging: asyncio.Task[None] | None = None
        try:
            await asyncio.wait({asking}, timeout=self._silent_seconds_max)
            if not asking.done():
                pinging = asyncio.create_task(self._pinged(own, seconds_max))
                await asyncio.wait({asking, pinging}, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.wait({asking}, timeout=_AFTER_PING_SECONDS)
                if not asking.done():
                    await pinging
            return asking.result() if asking.done() else Known("legacy", now)
        finally:
            under_way = [task for task in (asking, pinging) if task is not None]
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _asked_once(self, own: Headers, seconds_max: float, now: float) -> Known | None:
        meta: Tree = {PROTOCOL_VERSION_META_KEY: LATEST_MODERN_VERSION, CLIENT_CAPABILITIES_META_KEY: {},
                      CLIENT_INFO_META_KEY: OWN_INFO}  # fmt: skip
        asked: Tree = {"jsonrpc": "2.0", "id": PROBE_ID, "method": "server/discover", "params": {"_meta": meta}}
        response = await self._send(modern_post(asked, own), seconds_max)
        try:
            return await self._read(response, now)
        finally:
            await response.aclose()

    async def _pinged(self, own: Headers, seconds_max: float) -> None:
        """Return when the server has answered a `ping`, the one request a server takes before `initialize`."""
        asked: Tree = {"jsonrpc": "2.0", "id": PING_ID, "method": "ping"}
        response = await self._send(
            UpstreamRequest(method="POST", path="", headers=(*own, *JSON), body=body.encode(asked)), seconds_max
        )
        try:
            async for message in messages_of(response):
                if message.get("id") == PING_ID and "method" not in message:
                    return
        finally:
            await response.aclose()

    async def _read(self, response: UpstreamResponse, now: float) -> Known | None:
        if response.status != _OK and response.status not in _LEGACY_STATUSES:
            return None
        try:
            async for message in messages_of(response):
                if message.get("id") == PROBE_ID and "method" not in message:
                    return _understood(message, now)
        except Sent:
            if response.status == _OK:
                raise
        return Known("legacy", now) if response.status != _OK else None


def modern_post(message: Tree, own: Headers, before: Tree | None = None, headers: Headers = ()) -> UpstreamRequest:
    """Return a message of the newer era as a request; `before` and `headers` are what mirrors were made from."""
    made = (
        *own,
        (b"mcp-protocol-version", LATEST_MODERN_VERSION.encode()),
        *mirrored_headers(before if before is not None else params_of(message), message, headers),
        (b"content-type", b"application/json"),
        (b"accept", b"application/json, text/event-stream"),
    )
    return UpstreamRequest(method="POST", path="", headers=made, body=body.encode(message))


def knows_newer(refusal: Tree) -> bool:
    """Return whether an error says that the server speaks a version of the newer era (MCP 2026-07-28, -32022)."""
    error = member(refusal, "error")
    supported = member(error, "data").get("supported")
    named = cast("list[object]", supported) if isinstance(supported, list) else []
    return error.get("code") == UNSUPPORTED_PROTOCOL_VERSION and any(one in MODERN_PROTOCOL_VERSIONS for one in named)


def _understood(message: Tree, now: float) -> Known:
    if knows_newer(message):
        return Known("modern", now)
    result = member(message, "result")
    versions = result.get("supportedVersions")
    named = cast("list[object]", versions) if isinstance(versions, list) else []
    if not any(version in MODERN_PROTOCOL_VERSIONS for version in named):
        return Known("legacy", now)
    return Known("modern", now, result)
