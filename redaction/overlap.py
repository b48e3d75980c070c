"""Overlapping finds become one: the stronger kind names it, and it covers what any of them reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from redaction.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Stronger evidence first.
_PRIORITY: Final = {
    "SECRET": 0, "CARD": 1, "IBAN": 1, "SSN": 1, "NATIONALID": 1, "VIN": 1, "EMAIL": 2, "CRYPTO": 2, "IP": 3, "MAC": 3,
    "DOB": 3, "PHONE": 4, "ADDRESS": 5, "CUSTOM": 5, "PERSON": 6, "LOCATION": 7, "ORGANIZATION": 8,
}  # fmt: skip
#: Finds of a lower score give way to every other.
_WEAK: Final = 0.5


def resolved(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return `found` without overlaps, in order; nothing that any of them covered is left uncovered."""
    kept: list[Finding] = []
    for one in sorted(found, key=_strength):
        overlapping = [other for other in kept if one.start < other.end and other.start < one.end]
        if not overlapping:
            kept.append(one)
        elif not _adds_nothing(one, overlapping):
            first = min(overlapping, key=_strength)
            wide = Finding(min(one.start, *(other.start for other in overlapping)),
                           max(one.end, *(other.end for other in overlapping)),
                           first.entity, first.score, first.recognizer)  # fmt: skip
            kept = [wide, *(other for other in kept if other not in overlapping)]
    return tuple(sorted(kept))


def _strength(one: Finding) -> tuple[bool, int, int]:
    return one.score < _WEAK, _PRIORITY.get(one.entity, 9), one.start - one.end


def _adds_nothing(one: Finding, overlapping: list[Finding]) -> bool:
    # `user:password@host` reads like an address that begins in the password
    return any(
        (one.start >= other.start and one.end <= other.end)
        or (other.recognizer == "url password" and one.entity == "EMAIL")
        for other in overlapping
    )
