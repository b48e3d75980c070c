"""Where an issuer publishes its keys, asked of its metadata (RFC 8414; OpenID Connect Discovery 1.0).

Used when the configuration names only the issuer. The document must name exactly that issuer (RFC 8414
section 3.3), and its `jwks_uri` must be https except on loopback.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

from gateway import body
from gateway.config.forms import secure_url
from gateway.identity.key_cache import fetch_file, fetch_url
from gateway.identity.key_set import KeySetUnusable

if TYPE_CHECKING:
    import httpx

    from gateway.config import Issuer
    from gateway.identity.key_cache import Fetch

_OAUTH: Final = "/.well-known/oauth-authorization-server"
_OPENID: Final = "/.well-known/openid-configuration"


def places(issuer: str) -> tuple[str, ...]:
    """Return the URLs of an issuer's metadata, in the order they are asked."""
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    # with a path: RFC 8414 section 3.1 puts the well-known part before it, OpenID Connect after it
    listed = (f"{origin}{_OAUTH}{path}", f"{origin}{_OPENID}{path}", f"{origin}{path}{_OPENID}")
    return tuple(dict.fromkeys(listed))


def keys_of(entry: Issuer, client: httpx.AsyncClient) -> Fetch:
    """Return what fetches the key set of a configured issuer: from its file, its URL, or where its metadata says."""
    if entry.jwks_file is not None:
        return fetch_file(entry.jwks_file)
    return discover(client, entry.issuer) if entry.jwks_url is None else fetch_url(client, entry.jwks_url)


def discover(client: httpx.AsyncClient, issuer: str) -> Fetch:
    """Return what fetches the key set of an issuer known by name only; both documents are asked each time.

    So a moved key set is found, and the pace of `KeyCache` bounds both.
    """

    async def fetch() -> bytes:
        uri = named_url(await metadata_of(client, issuer), "jwks_uri")
        if urlsplit(uri).netloc != urlsplit(issuer).netloc:
            await demand_public(uri, "jwks_uri")
        return await fetch_url(client, uri)()

    return fetch


async def metadata_of(client: httpx.AsyncClient, issuer: str, *, openid: bool = False) -> dict[str, object]:
    """Return what an issuer says of itself, from the first of its places that answers; `openid`: as a provider.

    Raises `KeySetUnusable`.
    """
    said = "the issuer's metadata cannot be had"
    for place in places(issuer)[-1:] if openid else places(issuer):
        try:
            found = await fetch_url(client, place)()
        except KeySetUnusable as error:
            said = f"{str(error).replace('key server', 'issuer')} when asked for its metadata"
            continue
        return _read(found, issuer)
    raise KeySetUnusable(said)


def named_url(metadata: dict[str, object], name: str) -> str:
    """Return the URL that an issuer names for `name`: https, or of this machine. Raises `KeySetUnusable`."""
    found = metadata.get(name)
    if not isinstance(found, str) or not secure_url(found.partition("?")[0]) or "#" in found:
        raise KeySetUnusable(f"the issuer's metadata names no `{name}` with https")
    return found


async def demand_public(uri: str, name: str) -> None:
    """Refuse an address of our own network that the issuer, not our configuration, has named.

    What the name means a moment later is the certificate's matter: the URL is https, and no inner host has one for it.
    Raises `KeySetUnusable`.
    """
    parts = urlsplit(uri)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
    except OSError:
        raise KeySetUnusable(f"the host of the issuer's `{name}` cannot be found") from None
    if not all(ipaddress.ip_address(str(one[4][0]).partition("%")[0]).is_global for one in found):
        instead = "; name it as `jwks_url`" if name == "jwks_uri" else ""
        raise KeySetUnusable(f"the issuer's `{name}` leads into a private network{instead}")


def _read(content: bytes, issuer: str) -> dict[str, object]:
    try:
        tree = body.parse(content)
    except body.MalformedBody:
        raise KeySetUnusable("the issuer's metadata is not plain JSON") from None
    said = cast("dict[str, object]", tree) if isinstance(tree, dict) else {}
    if said.get("issuer") != issuer:
        raise KeySetUnusable("the issuer's metadata names another issuer")
    return said
