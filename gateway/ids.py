"""Random bytes for ids and scopes, fetched from the kernel a page at a time: a system call per id adds up."""

from __future__ import annotations

import os
from typing import Final

_PAGE_BYTES: Final = 4096


class _Page:
    rest = b""


def random_bytes(count: int) -> bytes:
    """Return `count` fresh random bytes (at most 4,096); no byte is given out twice."""
    if len(_Page.rest) < count:
        _Page.rest = os.urandom(_PAGE_BYTES)
    taken, _Page.rest = _Page.rest[:count], _Page.rest[count:]
    return taken
