"""Which scopes a call needs, and the refusal that names all of them at once (RFC 6750 section 3.1).

Scopes are what an issuer limits its token to, policy is what the gateway allows: both must agree. A
credential without scopes (an API key) is limited by policy alone; a run has the scopes it was opened with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.call import Refusal

if TYPE_CHECKING:
    from gateway.config import McpServer
    from policy.decision import Principal

#: the action that only looks at what a server offers; every other one reaches into it
_LOOKS: Final = "list"


@dataclass(eq=False, slots=True, kw_only=True)
class InsufficientScope(Refusal):
    """The token lacks scopes; `challenge` is for `WWW-Authenticate`."""

    challenge: str


def scopes_of(server: McpServer) -> tuple[str, ...]:
    """Return every scope that something of a server needs, each once."""
    of_tools = (scope for tool in server.tools.values() for scope in tool.scopes)
    return tuple(dict.fromkeys((*server.scopes.list, *server.scopes.call, *of_tools)))


def scopes_needed(server: McpServer, action: str, tool: str = "") -> tuple[str, ...]:
    """Return the scopes that `action` needs, of `tool` where one is called."""
    needed = server.scopes.list
    if action != _LOOKS:
        needed += server.scopes.call
    if tool in server.tools:
        needed += server.tools[tool].scopes
    return tuple(dict.fromkeys(needed))


def lacks(principal: Principal, needed: tuple[str, ...]) -> bool:
    """Return whether the caller's token lacks one of the scopes."""
    return principal.scopes is not None and not principal.scopes.issuperset(needed)


def insufficient(challenge: str) -> InsufficientScope:
    """Return the refusal with this challenge."""
    return InsufficientScope(
        code="denied",
        message="the token's scopes do not allow this; get one with the scopes of `WWW-Authenticate`, "
        "nothing was executed",
        status=403,
        challenge=challenge,
    )
