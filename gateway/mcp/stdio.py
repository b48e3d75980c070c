"""MCP servers that are commands: one process per principal for the newer era, one per session of the older one.

Commands come from the configuration file alone, run without a shell, with a minimal environment, as the
account the file names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp.client.stdio import get_default_environment

from gateway.call import NotSent
from gateway.mcp.account import account_of
from gateway.mcp.child import Child
from gateway.mcp.peers import Peers
from gateway.secrets import SecretReference, SecretUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.call import Headers, UpstreamRequest, UpstreamResponse
    from gateway.mcp.account import Account
    from gateway.mcp.peers import Peer


class StdioUpstream:
    """The processes of one configured command, behind the same method as an HTTP upstream."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Sequence[str],
        *,
        user: str | None = None,
        show_errors: bool = False,
    ) -> None:
        self._name = name
        self._command = tuple(command)
        self._environment = tuple(environment)
        self._user = user
        self._show_errors = show_errors
        self._peers = Peers(name, self._begin)

    @property
    def deaths(self) -> int:
        """How many of the processes have ended by themselves so far."""
        return self._peers.deaths

    async def send(self, request: UpstreamRequest, *, seconds_max: float) -> UpstreamResponse:
        """Send one message and return its answers as a stream. Raises `NotSent`, `Sent`."""
        del seconds_max  # the caller bounds the whole exchange
        return await self._peers.send(request)

    async def aclose(self) -> None:
        """End all processes."""
        await self._peers.aclose()

    async def _begin(self, headers: Headers) -> Peer:
        del headers  # a process gets its secrets by its environment
        account = self._account()
        allowed = self._allowed(account)
        return await Child.start(self._name, self._command, allowed, account, show_errors=self._show_errors)

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
