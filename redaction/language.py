"""Which texts no language model here can read: names are not looked for in them, and the audit says so."""

from __future__ import annotations

import unicodedata
from typing import Final

#: Characters looked at, and how many letters of another script make a text one that is not read.
_CHARACTERS_MAX: Final = 2000
_LETTERS_MIN: Final = 2


def unread_script(text: str) -> str | None:
    """Return the script of a text that is mostly written in another than Latin, `None` for all others."""
    if text.isascii():
        return None
    latin = other = 0
    script = ""
    for character in text[:_CHARACTERS_MAX]:
        if not character.isalpha():
            continue
        if character.isascii() or (name := unicodedata.name(character, "")).startswith(("LATIN", "FULLWIDTH LATIN")):
            latin += 1
        else:
            other += 1
            script = script or name.partition(" ")[0].lower()
    return script if other >= _LETTERS_MIN and other > latin else None
