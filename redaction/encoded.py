"""Values inside base64: one level is opened, and the whole blob is a find when it holds any."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Final

from redaction.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: RFC 4648, both alphabets; shorter blobs hold no value of a form we know.
_BLOB: Final = re.compile(r"(?<![A-Za-z0-9+/_\-])[A-Za-z0-9+/_\-]{16,16384}={0,2}")
_URL_ALPHABET: Final = str.maketrans("-_", "+/")
#: Words and paths decode to text by chance; text that was encoded is printable from end to end.
_SPACES: Final = frozenset("\t\r\n")


def find_encoded(text: str, find: Callable[[str], Sequence[Finding]]) -> Iterator[Finding]:
    """Return the base64 blobs of `text` in which `find` finds something."""
    for match in _BLOB.finditer(text):
        inner = _opened(match.group())
        if inner is not None and find(inner):
            yield Finding(match.start(), match.end(), "SECRET", 0.9, "base64")


def _opened(blob: str) -> str | None:
    plain = blob.rstrip("=").translate(_URL_ALPHABET)
    if len(plain) % 4 == 1:
        return None
    try:
        inner = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return inner if all(one.isprintable() or one in _SPACES for one in inner) else None
