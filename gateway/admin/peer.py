"""The Unix socket beside the state: who owns the gateway may operate it, and nobody else.

The file mode keeps others out; the kernel's word on who connected (SO_PEERCRED, unix(7)) is checked
besides, because a mode can be widened by a mistake and a directory can be moved.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import struct
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.admin.address import address

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

#: pid, uid, gid: struct ucred of SO_PEERCRED.
_UCRED = struct.Struct("3i")
#: Where an ASGI scope's state says who is on the other end of the socket.
PEER_UID = "oncegate.peer_uid"


class SocketRefused(Exception):  # noqa: N818 - says what happened
    """The socket cannot be made; the message says why."""


def bind(path: Path) -> socket.socket:
    """Return a listening-ready socket at `path`, mode 0600, for `uvicorn.Server.serve(sockets=[…])`.

    The caller holds the state's lock, so a socket that lies there was left by a dead process and is
    replaced. Raises `SocketRefused` when something else lies there or the folder cannot be written.
    """
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _clear(path)
        _bind_closed(listening, path)
    except OSError as error:
        listening.close()
        raise SocketRefused(f"`{path}`: cannot be made a socket ({error.strerror or 'too long'})") from None
    except SocketRefused:
        listening.close()
        raise
    listening.settimeout(0)
    return listening


def _clear(path: Path) -> None:
    if path.exists() or path.is_symlink():
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise SocketRefused(f"`{path}`: expected a socket or nothing, something else lies there")
        path.unlink()


def _bind_closed(listening: socket.socket, path: Path) -> None:
    # the mode is right from the first instant, not after a chmod
    before = os.umask(0o177)
    try:
        with address(path) as name:
            listening.bind(name)
    finally:
        os.umask(before)


def peer_uid(connection: socket.socket) -> int:
    """Return the user id of the process at the other end of a connected Unix socket."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    _, uid, _ = _UCRED.unpack(credentials)
    return int(uid)


#: How long a stranger who says nothing keeps a connection.
_STRANGER_SECONDS_MAX = 2.0
_DETAIL = "the socket answers only its owner: run the command as the user the gateway runs as"
_BODY = json.dumps(
    {"type": "about:blank", "title": "Forbidden", "status": 403, "code": "not_the_owner", "detail": _DETAIL}
).encode()
_REFUSAL = (
    b"HTTP/1.1 403 Forbidden\r\ncontent-type: application/problem+json\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)


class OwnerProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol behind a look at the peer; `uvicorn.Config(http=OwnerProtocol)`.

    A stranger is refused and not one byte of its request is looked at. The uid goes into the scope's state
    under `PEER_UID`; the API refuses socket requests without it, so serving it otherwise fails closed.
    """

    _stranger = False

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Look at the peer first."""
        super().connection_made(transport)
        uid = _uid_behind(transport)
        if uid is None or uid != os.geteuid():
            self._stranger = True
            self.loop.call_later(_STRANGER_SECONDS_MAX, transport.close)
            return
        self.app_state = {**self.app_state, PEER_UID: uid}

    def data_received(self, data: bytes) -> None:
        """Answer a stranger with a refusal, whatever it says."""
        if not self._stranger:
            super().data_received(data)
        elif not self.transport.is_closing():
            # only now: a socket closed with unread bytes resets, and the refusal would be lost
            self.transport.write(_REFUSAL)
            self.transport.close()


def _uid_behind(transport: asyncio.Transport) -> int | None:
    wrapped: object = transport.get_extra_info("socket")
    fileno = getattr(wrapped, "fileno", None)
    if not callable(fileno):
        return None
    # loops hand out look-alikes without every method: the descriptor is what counts
    descriptor = fileno()
    if not isinstance(descriptor, int):
        return None
    with socket.socket(fileno=os.dup(descriptor)) as connection:
        if connection.family != socket.AF_UNIX:
            return None
        return peer_uid(connection)
