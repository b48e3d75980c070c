"""The configuration of how a server's definitions are pinned."""

from __future__ import annotations

from typing import Final

from gateway.config.forms import Choice, Duration
from gateway.config.reading import Setting

DEFINITIONS: Final = Setting(
    "definitions",
    Choice(("first_sight", "accepted_only")),
    "What counts of what the server defines: what it showed first, until it changes, or only what was accepted.",
)
SUSPICIOUS: Final = Setting(
    "suspicious",
    Choice(("quarantine", "warn")),
    "What becomes of a new definition with hidden characters, a look-alike name or a schema that cannot be checked.",
)
RELIST: Final = Setting(
    "relist", Duration(1.0, 86400.0), "A call is made on definitions the server has shown within this time."
)
