"""Names that look alike to somebody who reads quickly, and so could be taken for one another (G19)."""

from __future__ import annotations

import re
from typing import Final

#: Taken for one another in most typefaces; before and after the case is folded.
_UPRIGHT: Final = str.maketrans({"0": "o", "1": "l", "I": "l", "5": "s"})
_SEPARATORS: Final = re.compile(r"[-_.]+")


def skeleton(name: str) -> str:
    """Return what an ASCII name looks like: two names of one skeleton are look-alikes."""
    plain = name.translate(_UPRIGHT).casefold()
    return _SEPARATORS.sub("-", plain).replace("rn", "m").replace("vv", "w")
