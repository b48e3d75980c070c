"""The audit's hash chain: each record names the hash of the one before, per instance and epoch.

`h = SHA-256(0x00 ‖ h_before ‖ record)` over the record's canonical JSON (sorted keys, no floats). Edits,
deletions and reordering inside a chain show; a cut tail, or a chain rewritten whole, needs a checkpoint
kept elsewhere (`durable/checkpoint.py`); `durable/verification.py` checks both.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import msgspec

from durable.journal import JournalRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

GENESIS: Final = b"\x00" * 32
_PLAIN: Final = frozenset({str, int, bool, type(None)})
_CANONICAL: Final = msgspec.json.Encoder(order="sorted")
_LINE_ENDS: Final = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}


@dataclass(frozen=True, slots=True)
class Link:
    """One stored record: its chain, its place in it, its text and its hash."""

    chain: str
    number: int
    text: str
    hash: bytes


class Unreadable(Exception):  # noqa: N818 - says what is known of the record
    """A record cannot be read at all; the message names the one before it and quotes nothing."""


class Chain:
    """The writing end of one chain."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.number = 0
        self.head = GENESIS

    def link(self, fields: Mapping[str, object], *, time_microseconds: int) -> Link:
        """Return the next link for `fields` and move the head. Raises `TypeError` on a float."""
        number = self.number + 1
        record = {**fields, "chain": self.name, "number": number, "time": time_microseconds}
        _refuse_floats(record)
        text = _canonical(record)
        digest = link_hash(self.head, text)
        self.number, self.head = number, digest
        return Link(self.name, number, text, digest)

    def mark(self) -> tuple[int, bytes]:
        """Return the head, to go back to when a transaction is undone."""
        return self.number, self.head

    def back_to(self, mark: tuple[int, bytes]) -> None:
        """Undo the links made since `mark`."""
        self.number, self.head = mark


def said(name: str, value: str) -> str:
    """Return how a record's text says that its field `name` is `value`."""
    return f"{_canonical(name)}:{_canonical(value)}"


def _canonical(value: object) -> str:
    text = _CANONICAL.encode(value).decode()
    # many programs end a line at these, and JSON lets them stand in a string as they are (RFC 8259 section 7)
    return text if text.isascii() else text.translate(_LINE_ENDS)


def export_line(link: Link) -> str:
    """Return a record as exports have it: its text is what was hashed, so it goes out byte for byte."""
    return f'{{"hash":"{link.hash.hex()}","record":{link.text}}}\n'


def anchor_line(anchor: str) -> str:
    """Return a signed statement under which records were pruned as exports have it, before all records."""
    return f'{{"anchor":{_CANONICAL.encode(anchor).decode()}}}\n'


def link_hash(before: bytes, text: str) -> bytes:
    """Return the hash of a record with canonical `text` after one with hash `before`."""
    return hashlib.sha256(b"\x00" + before + text.encode()).digest()


def read_links(path: Path) -> Iterator[Link]:
    """Yield the audit's links of an SQLite journal in order. Raises `Unreadable`, as the file may be."""
    if not path.is_file():
        raise FileNotFoundError(f"`{path}`: expected a journal, there is no such file")
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    # a damaged text is ours to report: the driver's own error would quote it
    database.text_factory = bytes
    last: Link | None = None
    try:
        rows = database.execute("SELECT chain, number, record, hash FROM audit ORDER BY sequence")
        for row in cast("Iterable[tuple[object, ...]]", rows):
            last = _read(row)
            yield last
    except (sqlite3.Error, ValueError, TypeError):
        if last is None:
            raise JournalRefused(f"`{path}`: cannot be read as a journal") from None
        raise Unreadable(f"the record after record {last.number} of chain {last.chain} cannot be read") from None
    finally:
        database.close()


def read_anchors(path: Path) -> list[str]:
    """Return the signed statements under which an SQLite journal's audit was pruned; none in an older schema."""
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        database.text_factory = bytes
        try:
            rows = cast("list[tuple[object]]", database.execute("SELECT DISTINCT line FROM audit_anchor").fetchall())
        except (sqlite3.Error, ValueError):  # the driver's own message may be damaged too; the records are read next
            return []
    return [str(line, "utf-8", "replace") if isinstance(line, bytes) else "" for (line,) in rows]


def _read(row: tuple[object, ...]) -> Link:
    """Return a row as a link. Raises `TypeError`, `ValueError` when it is none."""
    chain, number, text, digest = row
    if not (
        isinstance(chain, bytes) and isinstance(number, int) and isinstance(text, bytes) and isinstance(digest, bytes)
    ):
        raise TypeError("expected a link")
    return Link(chain.decode(), number, text.decode(), digest)


def _refuse_floats(value: object) -> None:
    if isinstance(value, float):
        raise TypeError("an audit record holds a float; its text would depend on the writer")
    inner: Iterable[object] = ()
    if isinstance(value, dict):
        inner = cast("dict[str, object]", value).values()
    elif isinstance(value, list | tuple):
        inner = cast("list[object]", value)
    for one in inner:
        if type(one) not in _PLAIN:
            _refuse_floats(one)
