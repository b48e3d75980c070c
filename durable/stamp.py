"""Times and names as the journal writes them."""

from __future__ import annotations

import secrets
import time
from typing import Final

MICROSECONDS: Final = 1_000_000


def now() -> int:
    """Return microseconds since the epoch."""
    return time.time_ns() // 1000


def random_name() -> str:
    """Return an unguessable name that sorts by when it was given."""
    return f"{now():013x}{secrets.token_hex(8)}"
