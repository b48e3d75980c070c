"""A configured server as an adapter sees it: where its messages go, what proves the gateway, what its tools do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from gateway.mcp.peers import PRINCIPAL
from gateway.mcp.sessions import handle_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from durable.step import Effect
    from gateway.call import Exchange, Headers, Upstream
    from gateway.config import McpServer, Tool
    from policy.decision import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTarget:
    """A configured server: where its messages go, and what the file says of its tools."""

    name: str
    config: McpServer
    upstream: Upstream
    timeout: Callable[[str, Tool | None], float]
    #: gets tokens for calls, where the credential is not a fixed one
    authorizing: Callable[[Exchange], Callable[[], Awaitable[Headers]]] | None = None
    #: what the server said of its tools, where its word counts (`trust_annotations`)
    annotated: dict[str, Effect] = field(default_factory=dict[str, "Effect"])

    def tool(self, name: str) -> Tool | None:
        """Return what the file says of a tool, `None` where it says nothing."""
        return self.config.tools.get(name)

    def fixed_headers(self, principal: Principal) -> Headers:
        """Return what proves the gateway without asking anybody, and names the principal to a transport."""
        headers: Headers = () if self.config.over_http else ((PRINCIPAL, handle_of(principal)),)
        credential = self.config.credential
        if credential is None or self.authorizing is not None:
            return headers
        return (*headers, (credential.header_name.encode(), credential.header_value().encode()))

    def proof(self, exchange: Exchange) -> Callable[[], Awaitable[Headers]]:
        """Return what gets the gateway's headers for a caller. Raises `Refusal` where there can be none."""
        authorize = self.authorizing and self.authorizing(exchange)

        async def proof() -> Headers:
            fixed = self.fixed_headers(exchange.principal)
            return fixed if authorize is None else (*fixed, *await authorize())

        return proof

    def note_annotations(self, item: Mapping[str, object]) -> None:
        """Take the word of a server that is trusted with it: what its tool does."""
        hints = item.get("annotations")
        if not isinstance(hints, dict) or not isinstance(name := item.get("name"), str):
            return
        said = cast("dict[str, object]", hints)
        if said.get("readOnlyHint") is True:
            self.annotated[name] = "safe"
        elif said.get("idempotentHint") is True:
            self.annotated[name] = "keyed"
        else:
            self.annotated.pop(name, None)
