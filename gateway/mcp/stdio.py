"""MCP servers that are commands: one process per principal for the newer era, one per session of the older one.

Commands come from the configuration file alone, run without a shell and with a minimal environment. A
session belongs to a principal, so no two principals ever share a process: over standard streams nothing
says which request a log line or a question of the server belongs to.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Final, cast

from mcp.client.stdio import get_default_environment

from gateway import body
from gateway.call import NotSent, Sent, header
from gateway.mcp.account import account_of
from gateway.mcp.child import Child
from gateway.secrets import SecretReference, SecretUnavailable
from gateway.sse import event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from gateway.call import Headers, UpstreamRequest, UpstreamResponse
    from gateway.mcp.account import Account
    from gateway.mcp.child import Message, Pending

#: Names the principal to this transport; it never leaves the process.
PRINCIPAL: Final = b"oncegate-principal"
CHILDREN_MAX: Final = 64
IDLE_SECONDS_MAX: Final = 900.0
_BACK_OFF_SECONDS: Final = (0.0, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
_STREAM: Final = ((b"content-type", b"text/event-stream"),)
_OK: Final = 200
_ACCEPTED: Final = 202
_NOT_FOUND: Final = 404


class StdioUpstream:
    """The processes of one configured command, behind the same method as an HTTP upstream."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Sequence[str], *, user: str | None = None
    ) -> None:
        self._name = name
        self._user = user
        self._command = tuple(command)
        self._environment = tuple(environment)
        self._children: dict[str, Child] = {}
        self._starting = asyncio.Lock()
        self._failures = 0
        self._not_before = 0.0

    async def send(self, request: UpstreamRequest, *, seconds_max: float) -> UpstreamResponse:
        """Send one message and return its answers as a stream. Raises `NotSent`, `Sent`."""
        del seconds_max  # the caller bounds the whole exchange
        shown = header(request.headers, b"mcp-session-id")
        # no session id begins like that: they are the hex digits made below
        own = "principal/" + (header(request.headers, PRINCIPAL) or b"").decode()
        session = shown.decode("latin-1") if shown is not None else own
        if request.method == "DELETE":
            return await self._delete(session)
        if request.method == "GET":
            return self._listen(session)
        message = cast("Message", body.parse(request.body))
        if message.get("method") == "initialize":
            return await self._initialize(message)
        child = self._children.get(session)
        if shown is not None and (child is None or not child.alive):
            return _Answer(_NOT_FOUND, (), None, None)
        if child is None or not child.alive:
            child = await self._start(own)
        if "id" in message and "method" in message:
            return _Answer(_OK, _STREAM, child, await child.ask(message))
        await child.tell(message)
        return _Answer(_ACCEPTED, (), None, None)

    async def aclose(self) -> None:
        """End all processes."""
        children, self._children = list(self._children.values()), {}
        await asyncio.gather(*(child.end() for child in children))

    async def _initialize(self, message: Message) -> UpstreamResponse:
        session = secrets.token_hex(16)
        child = await self._start(session)
        headers = (*_STREAM, (b"mcp-session-id", session.encode()))
        return _Answer(_OK, headers, child, await child.ask(message))

    async def _delete(self, session: str) -> UpstreamResponse:
        child = self._children.pop(session, None) if not session.startswith("principal/") else None
        if child is None:
            return _Answer(_NOT_FOUND, (), None, None)
        await child.end()
        return _Answer(_OK, (), None, None)

    def _listen(self, session: str) -> UpstreamResponse:
        child = self._children.get(session)
        if session.startswith("principal/") or child is None or not child.alive:
            return _Answer(405, ((b"allow", b"POST"),), None, None)
        return _Listening(child)

    async def _start(self, session: str) -> Child:
        async with self._starting:
            known = self._children.get(session)
            if known is not None and known.alive:
                return known
            await self._make_room()
            loop = asyncio.get_running_loop()
            if loop.time() < self._not_before:
                raise NotSent(f"the process of server `{self._name}` ends again and again; it is started again later")
            account = self._account()
            child = await Child.start(self._name, self._command, self._allowed(account), account)
            self._children[session] = child
            return child

    async def _make_room(self) -> None:
        now = asyncio.get_running_loop().time()
        for session, child in list(self._children.items()):
            if not child.alive:
                self._note_death(child, now)
            if not child.alive or (now - child.used > IDLE_SECONDS_MAX and not child.busy):
                del self._children[session]
                await child.end()
        if len(self._children) >= CHILDREN_MAX:
            raise NotSent(f"server `{self._name}` has {CHILDREN_MAX} processes already")

    def _note_death(self, child: Child, now: float) -> None:
        # one that answered was of use; those that never do are started ever more rarely
        self._failures = 0 if child.answered else min(self._failures + 1, len(_BACK_OFF_SECONDS) - 1)
        self._not_before = now + _BACK_OFF_SECONDS[self._failures]

    def _account(self) -> Account | None:
        if self._user is None:
            return None
        account = account_of(self._user)
        if account is None:
            raise NotSent(f"there is no account `{self._user}` for server `{self._name}`")
        return account

    def _allowed(self, account: Account | None) -> dict[str, str]:
        environment = dict(get_default_environment())
        if account is not None:
            environment |= {"HOME": account.home, "USER": account.name, "LOGNAME": account.name}
        for name in self._environment:
            try:
                environment[name] = SecretReference("env", name).read()
            except SecretUnavailable as error:
                raise NotSent(str(error)) from None
        return environment


class _Answer:
    """The messages that answer one request; closing it early tells the child."""

    def __init__(self, status: int, headers: Headers, child: Child | None, pending: Pending | None) -> None:
        self.status = status
        self.headers = headers
        self._child = child
        self._pending = pending

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield each message as an event, the response last. Raises `Sent` when the child dies before it."""
        while self._pending is not None:
            message = await self._pending.messages.get()
            if message is None:
                raise Sent("the server's process ended or was told to stop before its answer")
            yield event(body.encode(message), name="message")
            if "method" not in message:
                self._pending = None

    async def aclose(self) -> None:
        """End it; a request without its response is cancelled in the child."""
        pending, self._pending = self._pending, None
        if pending is not None and self._child is not None:
            await self._child.abandon(pending)


class _Listening:
    """A session's GET stream: what belongs to no request."""

    status = _OK
    headers: Headers = _STREAM

    def __init__(self, child: Child) -> None:
        self._child = child

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield each message as an event until the child ends."""
        while (message := await self._child.next_unsolicited()) is not None:
            yield event(body.encode(message), name="message")

    async def aclose(self) -> None:
        """Need nothing."""
