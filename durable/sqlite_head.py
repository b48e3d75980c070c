"""How far the journal had come, written beside its file: a file older than that is a restored backup.

Written every few seconds, not with every commit: what it says was true once, and a journal can only be
further. It holds no content and no key.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The last link of a journal's newest audit chain; `epoch` counts the starts of its instance."""

    instance: str
    epoch: int
    number: int
    hash: str


def head_path(journal: Path) -> Path:
    """Return where the head of the journal in this file stands."""
    return journal.with_name(journal.name + ".head")


def write_head(journal: Path, head: Head) -> None:
    """Replace the head of a journal's file, in one step. Raises `OSError`."""
    path = head_path(journal)
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    try:
        os.write(descriptor, json.dumps(asdict(head)).encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.replace(path)


def read_head(journal: Path) -> Head | None:
    """Return the head of a journal's file, `None` when there is none.

    Raises `ValueError` when there is one that cannot be read: then nobody knows whether the file is older.
    """
    try:
        text = head_path(journal).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        read = json.loads(text)
        return Head(
            instance=str(read["instance"]), epoch=int(read["epoch"]), number=int(read["number"]), hash=str(read["hash"])
        )
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"`{head_path(journal)}`: expected what `oncegate serve` wrote there") from None
