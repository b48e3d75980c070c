"""Names that may become a principal: agents, users, roles and groups out of tokens and keys files."""

from __future__ import annotations

import unicodedata
from typing import Final

NAME_CHARACTERS_MAX: Final = 255
NAMES_MAX: Final = 200
#: what has a meaning in a policy line, so that no name can pose as part of one
_MEANINGFUL: Final = frozenset(',*"\\')
#: the agent of callers without credentials; nobody proves to be it
ANONYMOUS: Final = "anonymous"


def usable_name(text: str, *, spaces: bool = False) -> bool:
    """Return whether `text` may name somebody.

    1 to 255 printable characters (no control, format or bidirectional ones), in Unicode's normal form
    C so that equal looks mean equal names, without `,`, `*`, quotes and backslashes; spaces only
    within, and only where `spaces` allows them.
    """
    if not 0 < len(text) <= NAME_CHARACTERS_MAX or not text.isprintable() or _MEANINGFUL & set(text):
        return False
    if text != text.strip() or (" " in text and not spaces):
        return False
    return unicodedata.is_normalized("NFC", text)
