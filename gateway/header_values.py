"""Which values of headers pass between agents and providers: names of products, numbers, dates, ids; no address."""

from __future__ import annotations

import re
from typing import Final

_PLAIN: Final = re.compile(rb"[A-Za-z0-9 ._:;,/()+\-=*]{0,2048}")
#: So many digits may be somebody's number.
_NUMBER: Final = re.compile(rb"\d(?:[ .\-]?\d){11}")


def media(value: bytes | None) -> str:
    """Return the type of a content as it may pass on, its parameters only where they pass as well."""
    if value is None:
        return "application/json"
    alone = value.partition(b";")[0].strip()
    return next((one.decode("latin-1") for one in (value, alone) if passes(one)), "application/octet-stream")


def passes(value: bytes) -> bool:
    """Return whether a header's value may pass: redaction looks at bodies, and nobody can replace a part of an id."""
    return _PLAIN.fullmatch(value) is not None and _NUMBER.search(value) is None
