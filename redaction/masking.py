"""Masking and dropping by presidio-anonymizer's own operators."""

from __future__ import annotations

from typing import Final

from presidio_anonymizer.operators import Mask

#: The last characters of a value that stay readable; few enough to name nobody.
_SHOWN: Final = 4
_SHORT: Final = 8

_mask = Mask()


def masked(value: str) -> str:
    """Return `value` with everything but its last characters as `*`; short values wholly."""
    hidden = len(value) if len(value) <= _SHORT else len(value) - _SHOWN
    said: dict[str, object] = {"masking_char": "*", "chars_to_mask": hidden, "from_end": False}
    return _mask.operate(value, said)  # pyright: ignore[reportUnknownMemberType] - untyped dict in its signature
