"""Ports for servers of the tests, that stay theirs.

The kernel gives the ports of its own range (Linux: 32768 and up) to whoever binds to none and to every connection that
goes out, so a server that ends and starts again on one of those may find it taken. These lie below.
"""

from __future__ import annotations

import secrets
import socket
from typing import Final

_FIRST: Final = 12_000
_COUNT: Final = 20_000


def free_port() -> int:
    """Return a port of loopback nobody listens on, and that nobody is given unasked."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return `count` free ports, no two the same."""
    found: set[int] = set()
    while len(found) < count:
        port = _FIRST + secrets.randbelow(_COUNT)
        if _is_free(port):
            found.add(port)
    return list(found)


def free_pair() -> int:
    """Return a free port whose next is free too."""
    while True:
        port = free_port()
        if _is_free(port + 1):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
