"""Masking by presidio-anonymizer's own operator."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from presidio_anonymizer.operators import Mask

#: The last characters of a value that stay readable; few enough to name nobody.
_SHOWN: Final = 4
_SHORT: Final = 8


@cache
def operator() -> Mask:
    """Return the operator, loaded when first asked for: its package brings the language libraries with it.

    That takes seconds and some 350 MiB, so nobody pays for it whose profiles do not mask, and who has
    profiles that do asks for it once, off the event loop.
    """
    return cast("Mask", import_module("presidio_anonymizer.operators").Mask())


def masked(value: str) -> str:
    """Return `value` with everything but its last characters as `*`; short values wholly."""
    hidden = len(value) if len(value) <= _SHORT else len(value) - _SHOWN
    said: dict[str, object] = {"masking_char": "*", "chars_to_mask": hidden, "from_end": False}
    return operator().operate(value, said)  # pyright: ignore[reportUnknownMemberType] - untyped dict in its signature
