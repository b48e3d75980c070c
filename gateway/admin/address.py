"""Where the admin socket lies, and how a long path is fitted into a socket address."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

#: sun_path of sockaddr_un holds 108 bytes with the closing zero (unix(7)).
ADDRESS_BYTES_MAX = 107


def socket_path(state: Path) -> Path:
    """Return where the admin socket of a gateway lies: beside its state file."""
    return state.with_name(state.name + ".sock")


@contextlib.contextmanager
def address(path: Path) -> Generator[str]:
    """Give `path` in a form that fits a socket address; long folders are reached by a descriptor."""
    if len(os.fsencode(path)) <= ADDRESS_BYTES_MAX:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
