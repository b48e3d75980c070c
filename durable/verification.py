"""Goes over an audit from the first record to the last, and names what does not hold.

Within the store: each record against its hash and the one before it, each chain against the one before it,
each checkpoint that stands among the records against the records and its signature. With checkpoints from
outside: that the chains they name are there, as long as they say, with the heads they say. With the ids of
trusted keys: that nobody else has signed.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from durable.chain import GENESIS, Unreadable, link_hash, read_anchors, read_links
from durable.checkpoint import Checkpoint, CheckpointInvalid, Head, read_checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from durable.chain import Link

#: how many of a chain's last hashes are kept, for checkpoints and for chains opened after it
_HEADS_KEPT: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What `verify` found. `problem` names the first record that does not hold, and what is wrong.

    `signed` is the number of signed checkpoints that were found among the records, `outside` of those given,
    `keys` the ids of who signed them; `open` names the chains nobody has closed.
    """

    ok: bool
    records: int
    chains: int
    problem: str | None = None
    signed: int = 0
    outside: int = 0
    pruned: int = 0
    keys: tuple[str, ...] = ()
    open: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Witnesses:
    """What an audit is held against besides itself.

    `anchors` are the lines under which prefixes were pruned, `checkpoints` lines kept outside the store,
    `keys` the ids of trusted keys (`None`: any key whose signature holds).
    """

    anchors: Sequence[str] = ()
    checkpoints: Sequence[str] = ()
    keys: frozenset[str] | None = None


class _Wrong(Exception):  # noqa: N818 - carries the problem up
    pass


def verify(links: Iterable[Link], witnesses: Witnesses | None = None) -> Verification:
    """Check links, each chain's in order, chains in the order they were opened.

    The first record of a chain must name the last head of the chain before it; where that is another
    instance's, which may have gone on meanwhile, one of its last heads.
    """
    seen = _Seen()
    problem: str | None = None
    try:
        seen.hear(witnesses or Witnesses())
        for link in links:
            seen.take(link)
        seen.end()
    except Unreadable as error:
        problem = str(error)
    except _Wrong as wrong:
        problem = str(wrong)
    return Verification(
        ok=problem is None, records=seen.records, chains=len(seen.heads), problem=problem, signed=seen.signed,
        outside=seen.outside, pruned=seen.pruned, keys=tuple(sorted(seen.signers)), open=tuple(sorted(seen.open)),
    )  # fmt: skip


def verify_database(path: Path, witnesses: Witnesses | None = None) -> Verification:
    """Check the audit of an SQLite journal, read-only, beside a running gateway or in a copy.

    Raises `FileNotFoundError`, `durable.journal.JournalRefused` when it is no journal.
    """
    given = witnesses or Witnesses()
    anchors = [*given.anchors, *(read_anchors(path) if path.is_file() else ())]
    return verify(read_links(path), Witnesses(anchors=anchors, checkpoints=given.checkpoints, keys=given.keys))


@dataclass(slots=True)
class _Seen:
    """What a verification has gone over."""

    records: int = 0
    signed: int = 0
    outside: int = 0
    pruned: int = 0
    heads: dict[str, Head] = field(default_factory=dict[str, Head])
    open: set[str] = field(default_factory=set[str])
    signers: set[str] = field(default_factory=set[str])
    _trusted: frozenset[str] | None = None
    _last: str | None = None
    _recent: dict[str, OrderedDict[int, bytes]] = field(default_factory=dict[str, "OrderedDict[int, bytes]"])
    _anchors: dict[str, Head] = field(default_factory=dict[str, Head])
    #: what checkpoints from outside say of a record: its hash, and who says so
    _claims: dict[tuple[str, int], tuple[bytes, str]] = field(
        default_factory=dict[tuple[str, int], "tuple[bytes, str]"]
    )
    _signer_of: dict[str, str] = field(default_factory=dict[str, str])
    #: chains with a signed statement in them or before them
    _vouched: set[str] = field(default_factory=set[str])

    def hear(self, witnesses: Witnesses) -> None:
        """Take the statements from outside, and those under which something was pruned."""
        self._trusted = witnesses.keys
        for line in witnesses.anchors:
            anchor = self._read(line, "an anchor")
            for chain, head in anchor.chains.items():
                if anchor.kind == "pruned" and head.number > self._anchors.get(chain, Head(0, GENESIS)).number:
                    self._anchors[chain] = head
        self.pruned = sum(head.number for head in self._anchors.values())
        newest: dict[str, Checkpoint] = {}
        for place, line in enumerate(witnesses.checkpoints, 1):
            checkpoint = self._read(line, f"the checkpoint in line {place}")
            before = newest.get(checkpoint.key)
            if before is not None and (checkpoint.number, checkpoint.previous) != (before.number + 1, before.digest):
                raise _Wrong(
                    f"the checkpoint in line {place} does not follow the one before it of key {checkpoint.key}; "
                    "checkpoints are missing or out of order"
                )
            newest[checkpoint.key] = checkpoint
            self.outside += 1
            for chain, head in checkpoint.chains.items():
                self._claims[chain, head.number] = (head.hash, f"checkpoint {checkpoint.number} of {checkpoint.key}")

    def take(self, link: Link) -> None:
        """Take the next link. Raises `_Wrong`."""
        self.records += 1
        before = self.heads.get(link.chain)
        if before is None:
            anchor = self._anchors.get(link.chain)
            # what is left of a chain may begin before its anchor: a prune that is not finished
            fits = anchor is not None and 1 < link.number <= anchor.number + 1
            before = self._start(link, anchor) if fits and anchor is not None else Head(0, GENESIS)
        record = _record(link, before)
        if link.number == 1:
            self._check_opening(link, record)
        said = self._claims.pop((link.chain, link.number), None)
        if said is not None and said[0] != link.hash:
            raise _Wrong(f"{_where(link)}: {said[1]} knows it with another hash; the chain was written anew")
        self.heads[link.chain] = Head(link.number, link.hash)
        recent = self._recent.setdefault(link.chain, OrderedDict())
        recent[link.number] = link.hash
        if len(recent) > _HEADS_KEPT:
            recent.popitem(last=False)
        self._last = link.chain
        event = record.get("event")
        if event == "checkpoint":
            self._check_signed(link, record)
        elif (
            self._trusted is not None and "decision" in record and link.chain not in self._vouched | set(self._anchors)
        ):
            # a gateway serves nobody before its chain has a signed checkpoint
            raise _Wrong(f"{_where(link)}: no signed checkpoint stands before it; the chain was written anew")
        if event == "closed":
            self.open.discard(link.chain)
        else:
            self.open.add(link.chain)

    def end(self) -> None:
        """Look for what checkpoints know and nobody has shown. Raises `_Wrong`."""
        for (chain, number), (_, who) in sorted(self._claims.items(), key=lambda one: one[0]):
            anchor = self._anchors.get(chain)
            if anchor is not None and number <= anchor.number:
                continue
            if chain not in self.heads:
                raise _Wrong(f"record {number} of chain {chain}: missing with its whole chain; {who} knows it")
            raise _Wrong(
                f"record {number} of chain {chain}: missing, {who} knows it; the chain ends at record "
                f"{self.heads[chain].number}, its tail was cut"
            )

    def _hashes(self, chain: str) -> Mapping[int, bytes]:
        found: Mapping[int, bytes] | None = self._recent.get(chain)
        return {} if found is None else found

    def _start(self, link: Link, anchor: Head) -> Head:
        if link.number == anchor.number + 1:
            return anchor
        # the hash before it is not there any more: it holds by the anchor that comes
        self._claims.setdefault((link.chain, anchor.number), (anchor.hash, "the anchor"))
        return Head(link.number - 1, b"")

    def _read(self, line: str, what: str) -> Checkpoint:
        try:
            checkpoint = read_checkpoint(line)
        except CheckpointInvalid as error:
            raise _Wrong(f"{what}: {error}") from None
        if self._trusted is not None and checkpoint.key not in self._trusted:
            raise _Wrong(f"{what}: signed by key {checkpoint.key}, which is none of the trusted ones")
        self.signers.add(checkpoint.key)
        return checkpoint

    def _check_signed(self, link: Link, record: Mapping[str, object]) -> None:
        checkpoint = self._read(str(record.get("line", "")), _where(link))
        instance = _instance(link.chain)
        if checkpoint.chain != link.chain or self._signer_of.setdefault(instance, checkpoint.key) != checkpoint.key:
            raise _Wrong(f"{_where(link)}: its checkpoint is of another chain or key; it was put there")
        self.signed += 1
        self._vouched.add(link.chain)
        for chain, head in checkpoint.chains.items():
            known = self._hashes(chain).get(head.number)
            gone = head.number <= self._anchors.get(chain, Head(0, GENESIS)).number
            far = chain in self.heads and self.heads[chain].number - head.number >= _HEADS_KEPT
            if known != head.hash and not (known is None and (gone or far)):
                raise _Wrong(
                    f"record {head.number} of chain {chain}: {_where(link)} is a checkpoint that knows it otherwise; "
                    "it is missing or was written anew"
                )

    def _check_opening(self, link: Link, record: Mapping[str, object]) -> None:
        said, before = record.get("previous_head", ""), str(record.get("previous_chain", self._last))
        anchor = self._anchors.get(before)
        if self._last is None and not self._anchors:
            fits = said == ""
        elif before not in self.heads and anchor is not None:
            # gone whole under its anchor: its end is known, another instance's middle is not
            fits = said == anchor.hash.hex() or _instance(before) != _instance(link.chain)
        elif _instance(before) == _instance(link.chain):
            fits = before in self.heads and said == self.heads[before].hash.hex()
        else:
            fits = any(one.hex() == said for one in self._hashes(before).values())
            fits = fits or (anchor is not None and said == anchor.hash.hex())
        if not fits:
            raise _Wrong(f"{_where(link)}: it does not continue the chain before it; that one was cut or changed")


def _record(link: Link, before: Head) -> dict[str, object]:
    if link.number != before.number + 1:
        raise _Wrong(f"{_where(link)}: expected number {before.number + 1}; records are missing or out of order")
    if before.hash and link_hash(before.hash, link.text) != link.hash:
        raise _Wrong(f"{_where(link)}: its content does not fit its hash, or the record before it was changed")
    try:
        found = cast("object", json.loads(link.text))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise _Wrong(f"{_where(link)}: its content is no JSON object")
    record = cast("dict[str, object]", found)
    if record.get("chain") != link.chain or record.get("number") != link.number:
        raise _Wrong(f"{_where(link)}: it was moved; it says it is another one")
    return record


def _where(link: Link) -> str:
    return f"record {link.number} of chain {link.chain}"


def _instance(chain: str) -> str:
    return chain.rpartition("/")[0]
