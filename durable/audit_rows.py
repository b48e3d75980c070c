"""The SQL of the audit besides its writing: heads, searches, pruning under anchors, erasure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from durable.chain import Link, said
from durable.checkpoint import Head
from durable.rows import UNSETTLED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable.journal import Audit
    from durable.sql import Transaction, Writing

#: Records that one search looks at before it gives what it has and says where to go on.
SCANNED_MAX: Final = 20_000
_PART: Final = 1_000
_NEXT_CHAIN: Final = "SELECT min(chain) AS chain FROM audit WHERE chain > $1"
_LAST: Final = "SELECT number, hash FROM audit WHERE chain = $1 ORDER BY number DESC LIMIT 1"
_LINKS: Final = "SELECT number, record, hash FROM audit WHERE chain = $1 AND number > $2 ORDER BY number LIMIT $3"
_NEWEST: Final = (
    "SELECT sequence, chain, number, record, hash FROM audit WHERE sequence < $1 ORDER BY sequence DESC LIMIT $2"
)
_PAGE: Final = "SELECT sequence, chain, number, record, hash FROM audit WHERE sequence > $1 ORDER BY sequence LIMIT $2"
_END: Final = 2**62
_PRUNED: Final = (
    "DELETE FROM audit WHERE chain = $1 AND number IN "
    "(SELECT number FROM audit WHERE chain = $1 AND number <= $2 ORDER BY number LIMIT $3)"
)
#: a user acting through others is written `ann|actors`
_RUNS_OF: Final = (
    'SELECT id FROM run WHERE domain = $1 AND ("user" = $2 OR substr("user", 1, CAST($3 AS INTEGER)) = $4)'
)
_VAULT_OF: Final = (
    "DELETE FROM vault WHERE substr(scope, 1, CAST($2 AS INTEGER)) = $1 "
    "AND substr(scope, length(scope) - CAST($4 AS INTEGER) + 1) = $3"
)
#: what a filter asks of a record, by its field
_FIELDS: Final = ("run", "resource", "event", "call", "decision", "ending")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which records a search shows; `None` means any. Times are microseconds since the epoch, `before` a place."""

    limit: int = 50
    before: int | None = None
    since: int | None = None
    until: int | None = None
    agent: str | None = None
    run: str | None = None
    resource: str | None = None
    event: str | None = None
    call: str | None = None
    decision: str | None = None
    ending: str | None = None

    @property
    def said(self) -> tuple[str, ...]:
        """What stands in the text of each record that fits."""
        asked = ((name, getattr(self, name)) for name in _FIELDS)
        return tuple(said(name, value) for name, value in asked if value is not None)

    def fits(self, record: dict[str, object]) -> bool:
        """Return whether a record is wanted; `agent` is its subject's whole name, or the part after the last `/`."""
        time = record.get("time")
        if not isinstance(time, int):
            return False
        if (self.since is not None and time < self.since) or (self.until is not None and time >= self.until):
            return False
        if self.agent is not None:
            name = str(record.get("principal", ""))
            if self.agent not in (name, name.removeprefix("agent:"), name.rpartition("/")[2]):
                return False
        asked = ((name, getattr(self, name)) for name in _FIELDS)
        return all(wanted is None or record.get(name) == wanted for name, wanted in asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """Records, newest first; `following` is the place to ask `before` of, `None` at the end."""

    records: tuple[dict[str, object], ...]
    following: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditTotals:
    """What waits for somebody, in the whole store."""

    in_flight: int
    in_doubt: int
    held: int
    approvals: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What an erasure took: whether the audit knew the person, and how many originals the vault held."""

    known: bool
    originals: int
    runs: tuple[str, ...] = field(default=())


async def heads(tx: Transaction, chain: str | None) -> dict[str, Head]:
    """Return the last record of one chain, or of all."""
    found: dict[str, Head] = {}
    if chain is not None:
        row = await tx.row(_LAST, chain)
        return found if row is None else {chain: Head(row["number"], bytes(row["hash"]))}
    name = ""
    # from one chain to the next by the index: no record in between is read
    while (row := await tx.row(_NEXT_CHAIN, name)) is not None and row["chain"] is not None:
        name = cast("str", row["chain"])
        found |= await heads(tx, name)
    return found


async def links(tx: Transaction, chain: str, after: int, limit: int) -> list[Link]:
    """Return records of a chain after number `after`, in order."""
    rows = await tx.rows(_LINKS, chain, after, limit)
    return [Link(chain, row["number"], row["record"], bytes(row["hash"])) for row in rows]


async def page(tx: Transaction, after: int, limit: int) -> tuple[list[Link], int]:
    """Return records in the order they were written, and the place after which to go on."""
    rows = await tx.rows(_PAGE, after, limit)
    found = [Link(row["chain"], row["number"], row["record"], bytes(row["hash"])) for row in rows]
    return found, rows[-1]["sequence"] if rows else after


async def search(tx: Transaction, wanted: AuditFilter) -> AuditPage:
    """Return what fits, newest first, having looked at no more than `SCANNED_MAX` records."""
    found: list[dict[str, object]] = []
    place, scanned = _END if wanted.before is None else wanted.before, 0
    said = wanted.said
    while scanned < SCANNED_MAX:
        rows = await tx.rows(_NEWEST, place, _PART)
        for row in rows:
            place = cast("int", row["sequence"])
            text = cast("str", row["record"])
            if not all(one in text for one in said):  # most are told by their text, which costs less than reading it
                continue
            record = cast("dict[str, object]", json.loads(text))
            if wanted.fits(record):
                found.append(record)
            if len(found) == wanted.limit:
                return AuditPage(records=tuple(found), following=place)
        scanned += len(rows)
        if len(rows) < _PART:
            return AuditPage(records=tuple(found), following=None)
    return AuditPage(records=tuple(found), following=place)


async def prunable(tx: Transaction, before: int, sinks: Sequence[str]) -> dict[str, Head]:
    """Return, by chain, the last record that may go: old, with every sink, and not the chain's head."""
    found: dict[str, Head] = {}
    for chain, head in (await heads(tx, None)).items():
        most = head.number - 1
        for sink in sinks:
            row = await tx.row("SELECT number FROM audit_cursor WHERE sink = $1 AND chain = $2", sink, chain)
            most = min(most, 0 if row is None else row["number"])
        low = await tx.row("SELECT min(number) AS number FROM audit WHERE chain = $1", chain)
        first = most + 1 if low is None or low["number"] is None else cast("int", low["number"])
        number = await _last_before(tx, chain, before, (first, most))
        if number is not None:
            row = await tx.row("SELECT hash FROM audit WHERE chain = $1 AND number = $2", chain, number)
            if row is not None:
                found[chain] = Head(number, bytes(row["hash"]))
    return found


async def _last_before(tx: Transaction, chain: str, before: int, between: tuple[int, int]) -> int | None:
    """Return the last number whose record is older than `before`; times rise with numbers, so halves are enough."""
    first, last = between
    found: int | None = None
    while first <= last:
        middle = (first + last) // 2
        row = await tx.row("SELECT record FROM audit WHERE chain = $1 AND number = $2", chain, middle)
        if row is not None and json.loads(row["record"])["time"] < before:
            found, first = middle, middle + 1
        else:
            last = middle - 1
    return found


async def prune(tx: Writing, rows_max: int) -> int:
    """Delete records under anchors, at most `rows_max`."""
    rows = await tx.rows("SELECT chain, max(number) AS number FROM audit_anchor GROUP BY chain")
    left = rows_max
    for row in rows:
        if left > 0:
            left -= await tx.execute(_PRUNED, row["chain"], row["number"], left)
    return rows_max - left


async def totals(tx: Transaction) -> AuditTotals:
    """Return what waits, each by an index of its own."""

    async def counted(rows: str) -> int:
        row = await tx.row(f"SELECT count(*) AS number FROM {rows}")  # noqa: S608 - constants
        return 0 if row is None else row["number"]

    return AuditTotals(
        in_flight=await counted(f"call WHERE {UNSETTLED} AND state = 'intent'"),
        in_doubt=await counted(f"call WHERE {UNSETTLED} AND state = 'doubt'"),
        held=await counted("call WHERE state = 'held'"), approvals=await counted("approval WHERE state = 'pending'"),
    )  # fmt: skip


async def erase(tx: Writing, lookup: bytes, who: tuple[str, str], audit: Audit) -> Erased:
    """Delete who a person was, and the originals of their runs and their own scope."""
    known = await tx.execute("DELETE FROM audit_person WHERE lookup = $1", lookup)
    domain, user = who
    rows = await tx.rows(_RUNS_OF, domain, user, len(user) + 1, f"{user}|")
    runs = tuple(cast("str", row["id"]) for row in rows)
    originals = 0
    for run in runs:
        originals += await tx.execute("DELETE FROM vault WHERE scope = $1", f"run/{run}")
    start, end = f"agent/{domain}/", f"/{user}"
    originals += await tx.execute(_VAULT_OF, start, len(start), end, len(end))
    tx.audit([{**record, "originals": originals} for record in audit])
    return Erased(known=bool(known), originals=originals, runs=runs)
