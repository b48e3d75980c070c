"""What the gateway says of itself as a protected resource: metadata and challenges (RFC 9728, RFC 6750, RFC 8707).

Each MCP endpoint is a resource of its own, named by its URL under the configured `public_url`; what a
request says of the host it came to is never used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from gateway.config.forms import secure_url
from gateway.oauth.scopes import scopes_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.config import Config

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
JOINED: Final = "/mcp"


class ProtectedResource:
    """The gateway's endpoints as resources. Without an issuer there is nothing to say: no token could be had."""

    def __init__(self, config: Config) -> None:
        listed = [entry.issuer for domain in config.trust_domains.values() for entry in domain.issuers]
        self._issuers = [issuer for issuer in dict.fromkeys(listed) if secure_url(issuer)]
        parts = urlsplit(config.public_url)
        self._origin, self._prefix = f"{parts.scheme}://{parts.netloc}", parts.path
        scopes = {f"{JOINED}/{name}": scopes_of(server) for name, server in config.mcp_servers.items()}
        joined = dict.fromkeys(scope for listed in scopes.values() for scope in listed)
        self._scopes: dict[str, tuple[str, ...]] = {"": (), JOINED: tuple(joined), **scopes}

    def identifier(self, path: str) -> str | None:
        """Return the URL that names the MCP endpoint at `path` (RFC 8707), `None` where there is none."""
        path = path.rstrip("/")
        return f"{self._origin}{self._prefix}{path}" if path and path in self._scopes else None

    def url(self, path: str) -> str:
        """Return the URL that callers know `path` by."""
        return f"{self._origin}{self._prefix}{path}"

    def metadata(self, path: str) -> dict[str, object] | None:
        """Return the metadata of the resource at `path` (RFC 9728 section 2), `None` where there is none.

        `path` may begin with the path of `public_url`, as a client makes it (section 3.1), or lack it.
        """
        path = path.rstrip("/")
        if self._prefix and (path == self._prefix or path.startswith(f"{self._prefix}/")):
            path = path.removeprefix(self._prefix)
        if path not in self._scopes or not self._issuers:
            return None
        said: dict[str, object] = {
            "resource": f"{self._origin}{self._prefix}{path}",
            "authorization_servers": list(self._issuers),
            "bearer_methods_supported": ["header"],
            "resource_name": f"Oncegate{path}",
        }
        if scopes := self._scopes[path]:
            said["scopes_supported"] = list(scopes)
        return said

    def challenge(self, path: str, *, error: str = "", scopes: Sequence[str] | None = None) -> str:
        """Return `WWW-Authenticate` for a request to `path` (RFC 9728 section 5.1, RFC 6750 section 3).

        `scopes` are all that the request needs; left out, all that the endpoint knows.
        """
        path = path.rstrip("/")
        known = path if path in self._scopes else ""
        said = [f'error="{error}"'] if error else []
        wanted = self._scopes[known] if scopes is None else scopes
        if wanted:
            said.append(f'scope="{" ".join(wanted)}"')
        if self._issuers:
            said.append(f'resource_metadata="{self._origin}{WELL_KNOWN}{self._prefix}{known}"')
        return f"Bearer {', '.join(said)}" if said else "Bearer"
