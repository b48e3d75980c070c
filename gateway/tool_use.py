"""Keyed digests that let the journal recognise one tool call in model traffic and on the MCP side.

Frameworks prefix tool names (`payments__charge_card`, `mcp_payments_charge_card`); so a name seen in
model traffic stands for each of its tails, a tool that is called only for its own name.
"""

from __future__ import annotations

import hmac
import re
from collections import Counter
from typing import TYPE_CHECKING

from gateway import body

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.call import ToolUse

_SEPARATOR = re.compile(r"[_./:\-]+")
#: Tails taken of one name; a longer prefix than this is no framework's.
_TAILS_MAX = 8


def use_digest(key: bytes, name: str, arguments: object) -> bytes:
    """Return the digest of one tool call; `arguments` are the redacted ones."""
    said: list[object] = [name, dict[str, object]() if arguments is None else arguments]
    content = body.canonical(said)
    return hmac.digest(key, b"use/" + content, "sha256")


def count_uses(key: bytes, uses: Sequence[ToolUse]) -> Mapping[bytes, int]:
    """Return how often each digest occurs in `uses`, every tail of a name counted."""
    if not uses:
        return {}
    counts: Counter[bytes] = Counter()
    for use in uses:
        for tail in _tails(use.name):
            counts[use_digest(key, tail, use.arguments)] += 1
    return counts


def _tails(name: str) -> list[str]:
    tails = [name]
    tails += [name[match.end() :] for match in _SEPARATOR.finditer(name) if match.end() < len(name)]
    return tails[:1] + tails[1:][-_TAILS_MAX:]
