"""The form of a requirement; areas list theirs in `tests/<area>/requirements.py`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Requirement:
    """`id` as `POL-01`, the `text` as one sentence about behaviour, and where it comes from."""

    id: str
    text: str
    source: str
