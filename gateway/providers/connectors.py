"""Whom a provider's connector speaks to, as policy names it: one reading of a URL, or none."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

_PORTS: Final = {"http": 80, "https": 443}


def connector_host(url: object) -> str | None:
    """Return the host of an http or https URL (`host:port` where the port is not the usual one).

    `None` where there is none, or where two readers could see different hosts: RFC 3986 takes what stands
    before `@` for a user, the URL standard of browsers ends a host at a backslash.
    """
    if not isinstance(url, str) or _unclear(url):
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    return host if not host or port in {None, _PORTS[parts.scheme]} else f"{host}:{port}"


def _unclear(url: str) -> bool:
    authority = url.partition("://")[2].partition("/")[0]
    return (
        not url.startswith(("https://", "http://"))
        or not authority.isascii()
        or any(one in authority for one in "@\\?# \t\r\n")
    )
