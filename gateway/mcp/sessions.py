"""Sessions of the older era, bound to their principal without keeping any: the id we give is a sealed one.

The upstream's session id is encrypted under the server's name and the principal, so a session id shown
by anybody else opens nothing, and one survives a restart of the gateway.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from durable.seal import Keyring, Unsealable

if TYPE_CHECKING:
    from policy.decision import Principal


class Sessions:
    """Wraps and unwraps session ids."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def wrap(self, upstream_id: str, server: str, principal: Principal) -> str:
        """Return the session id the client gets."""
        sealed = self._keyring.seal("mcp-session", _place(server, principal), upstream_id.encode())
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def unwrap(self, client_id: str, server: str, principal: Principal) -> str | None:
        """Return the upstream's session id, `None` when it is not this principal's."""
        try:
            sealed = base64.urlsafe_b64decode(client_id + "=" * (-len(client_id) % 4))
            return self._keyring.unseal("mcp-session", _place(server, principal), sealed).decode()
        except (binascii.Error, ValueError, Unsealable):
            return None


def _place(server: str, principal: Principal) -> str:
    return "\n".join((server, principal.name, principal.user or "-", *principal.actors))
