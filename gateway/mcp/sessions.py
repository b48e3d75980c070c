"""Sessions of the older era, bound to their principal without keeping any: the id we give is a sealed one.

What is needed to go on is encrypted under the server's name and the principal: the upstream's session id
and how the client opened it, so that one that has expired upstream is opened again. A session id shown
by anybody else opens nothing, and one survives a restart of the gateway.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from durable.seal import Keyring, Unsealable
from gateway import body

if TYPE_CHECKING:
    from policy.decision import Principal

#: A client that says more about itself than this gets a session that cannot be opened again.
OPENING_BYTES_MAX: Final = 4096
_OPENED_WITH: Final = ("protocolVersion", "capabilities", "clientInfo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a session id stands for.

    `upstream_id` is the server's own id, empty where the gateway holds the session for a server without
    any; `opened_with` is what the client said to open it, empty when that is not known.
    """

    upstream_id: str
    opened_with: dict[str, object] = field(default_factory=dict[str, object])
    nonce: str = ""


class Sessions:
    """Wraps and unwraps session ids."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def wrap(self, session: Session, server: str, principal: Principal) -> str:
        """Return the session id the client gets."""
        said = {name: session.opened_with[name] for name in _OPENED_WITH if name in session.opened_with}
        if len(body.encode(said)) > OPENING_BYTES_MAX:
            said = {}
        content = zlib.compress(body.encode([session.upstream_id, session.nonce, said]))
        sealed = self._keyring.seal("mcp-session", _bound(server, principal), content)
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def unwrap(self, client_id: str, server: str, principal: Principal) -> Session | None:
        """Return what the id stands for, `None` when it is not this principal's."""
        try:
            sealed = base64.urlsafe_b64decode(client_id + "=" * (-len(client_id) % 4))
            content = self._keyring.unseal("mcp-session", _bound(server, principal), sealed)
            upstream_id, nonce, said = cast("list[object]", body.parse(zlib.decompress(content)))
        except (binascii.Error, ValueError, Unsealable, zlib.error, body.MalformedBody):
            return None
        return Session(
            upstream_id=cast("str", upstream_id), nonce=cast("str", nonce), opened_with=cast("dict[str, object]", said)
        )


def place_of(principal: Principal) -> str:
    """Return what tells principals apart wherever something is held for one."""
    return "\n".join((principal.name, principal.user or "-", *principal.actors))


def handle_of(principal: Principal) -> bytes:
    """Return the same as one header's value."""
    return hashlib.sha256(place_of(principal).encode()).hexdigest()[:32].encode()


def _bound(server: str, principal: Principal) -> str:
    return f"{server}\n{place_of(principal)}"
