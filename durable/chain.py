"""The audit's hash chain: each record names the hash of the one before, per instance and epoch.

`h = SHA-256(0x00 ‖ h_before ‖ record)` over the record's canonical JSON (sorted keys, no floats). Edits,
deletions and reordering inside a chain show; a cut tail, or a chain rewritten whole, needs a checkpoint
kept elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import msgspec

from durable.journal import JournalRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

GENESIS: Final = b"\x00" * 32
#: how far another instance's chain may have gone on while one was opened after it
_HEADS_KEPT: Final = 10_000
_PLAIN: Final = frozenset({str, int, bool, type(None)})
_CANONICAL: Final = msgspec.json.Encoder(order="sorted")


@dataclass(frozen=True, slots=True)
class Link:
    """One stored record: its chain, its place in it, its text and its hash."""

    chain: str
    number: int
    text: str
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What `verify` found. `problem` names the first record that does not hold, and what is wrong."""

    ok: bool
    records: int
    chains: int
    problem: str | None = None


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
        text = _CANONICAL.encode(record).decode()
        digest = link_hash(self.head, text)
        self.number, self.head = number, digest
        return Link(self.name, number, text, digest)

    def mark(self) -> tuple[int, bytes]:
        """Return the head, to go back to when a transaction is undone."""
        return self.number, self.head

    def back_to(self, mark: tuple[int, bytes]) -> None:
        """Undo the links made since `mark`."""
        self.number, self.head = mark


def link_hash(before: bytes, text: str) -> bytes:
    """Return the hash of a record with canonical `text` after one with hash `before`."""
    return hashlib.sha256(b"\x00" + before + text.encode()).digest()


def verify(links: Iterable[Link]) -> Verification:
    """Check links, each chain's in order, chains in the order they were opened.

    The first record of a chain must name the last head of the chain before it; where that is another
    instance's, which may have gone on meanwhile, one of its last heads.
    """
    seen = _Seen()
    try:
        for link in links:
            problem = seen.problem(link)
            if problem is not None:
                return Verification(ok=False, records=seen.records, chains=len(seen.heads), problem=problem)
    except Unreadable as error:
        return Verification(ok=False, records=seen.records, chains=len(seen.heads), problem=str(error))
    return Verification(ok=True, records=seen.records, chains=len(seen.heads))


class _Seen:
    """What a verification has gone over."""

    def __init__(self) -> None:
        self.records = 0
        self.heads: dict[str, tuple[int, bytes]] = {}
        self._last: str | None = None
        self._recent: dict[str, deque[bytes]] = {}

    def problem(self, link: Link) -> str | None:
        """Take the next link; returns what is wrong with it, or `None`."""
        self.records += 1
        problem = _problem(link, self.heads.get(link.chain, (0, GENESIS))) or self._opening_problem(link)
        if problem is None:
            self.heads[link.chain] = (link.number, link.hash)
            self._recent.setdefault(link.chain, deque(maxlen=_HEADS_KEPT)).append(link.hash)
            self._last = link.chain
        return problem

    def _opening_problem(self, link: Link) -> str | None:
        if link.number != 1:
            return None
        record = cast("dict[str, object]", json.loads(link.text))
        said, before = record.get("previous_head", ""), str(record.get("previous_chain", self._last))
        if self._last is None:
            fits = said == ""
        elif _instance(before) == _instance(link.chain):
            fits = before in self.heads and said == self.heads[before][1].hex()
        else:
            fits = any(one.hex() == said for one in self._recent.get(before, ()))
        problem = f"{_where(link)}: it does not continue the chain before it; that one was cut or changed"
        return None if fits else problem


def verify_database(path: Path) -> Verification:
    """Check the audit of an SQLite journal, read-only, beside a running gateway or in a copy.

    Raises `FileNotFoundError`, `durable.journal.JournalRefused` when it is no journal.
    """
    return verify(read_links(path))


def read_links(path: Path) -> Iterator[Link]:
    """Yield the audit's links of an SQLite journal in order. Raises `Unreadable`, and as `verify_database`."""
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


def _read(row: tuple[object, ...]) -> Link:
    """Return a row as a link. Raises `TypeError`, `ValueError` when it is none."""
    chain, number, text, digest = row
    if not (
        isinstance(chain, bytes) and isinstance(number, int) and isinstance(text, bytes) and isinstance(digest, bytes)
    ):
        raise TypeError("expected a link")
    return Link(chain.decode(), number, text.decode(), digest)


def _where(link: Link) -> str:
    return f"record {link.number} of chain {link.chain}"


def _instance(chain: str) -> str:
    return chain.rpartition("/")[0]


def _problem(link: Link, before: tuple[int, bytes]) -> str | None:
    number, head = before
    if link.number != number + 1:
        return f"{_where(link)}: expected number {number + 1}; records are missing or out of order"
    if link_hash(head, link.text) != link.hash:
        return f"{_where(link)}: its content does not fit its hash, or the record before it was changed"
    try:
        found = cast("object", json.loads(link.text))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        return f"{_where(link)}: its content is no JSON object"
    record = cast("dict[str, object]", found)
    if record.get("chain") != link.chain or record.get("number") != link.number:
        return f"{_where(link)}: it was moved; it says it is another one"
    return None


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
