"""The SQL of definitions: every version of a tool, prompt or text a server has shown, and what was decided about it.

A version is a row, found by its hash. The newest one seen is `current`; it counts when its own state is
`accepted`. All changes go under one counter, so that every instance learns of each.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, cast

from durable.journal import JournalError
from durable.rows import seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from durable.seal import Keyring
    from durable.sql import Row, Transaction, Writing

DefinitionState = Literal["accepted", "quarantined", "rejected"]

#: Versions of one definition that are kept beside those accepted.
VERSIONS_MAX: Final = 20
#: What is woken when a definition of any server changed.
WAKE: Final = "definitions"
_COLUMNS: Final = "server, kind, name, hash, state, current, sealed, findings, seen, decided, decider, reason"
_REVISION: Final = "SELECT value FROM mark WHERE name = 'definitions'"
#: The row's lock puts the changes of all instances in one order.
_NEXT: Final = (
    "INSERT INTO mark (name, value) VALUES ('definitions', '1') ON CONFLICT (name) "
    "DO UPDATE SET value = CAST(CAST(mark.value AS BIGINT) + 1 AS TEXT)"
)
_OF_NAME: Final = (
    f"SELECT {_COLUMNS} FROM tool_definition WHERE server = $1 AND kind = $2 AND name = $3 "  # noqa: S608 - constant columns
    "ORDER BY current DESC, seen DESC, hash"
)
_OF_SERVER: Final = f"SELECT {_COLUMNS} FROM tool_definition WHERE server = $1 AND current = 1 ORDER BY kind, name"  # noqa: S608 - constant columns
_LIST: Final = (
    f"SELECT {_COLUMNS} FROM tool_definition WHERE current = 1 AND (CAST($1 AS TEXT) IS NULL OR server = $1) "  # noqa: S608 - constant columns
    "AND (CAST($2 AS TEXT) IS NULL OR state = $2) AND (server, kind, name) > ($4, $5, $6) "
    "ORDER BY server, kind, name LIMIT $3"
)
_INSERT: Final = (
    "INSERT INTO tool_definition (server, kind, name, hash, state, current, sealed, findings, seen) "
    "VALUES ($1, $2, $3, $4, $5, 1, $6, $7, $8)"
)
_NO_LONGER: Final = (
    "UPDATE tool_definition SET current = 0 WHERE server = $1 AND kind = $2 AND name = $3 AND current = 1"
)
_CURRENT: Final = (
    "UPDATE tool_definition SET current = 1, seen = $5 WHERE server = $1 AND kind = $2 AND name = $3 AND hash = $4"
)
_DECIDE: Final = (
    "UPDATE tool_definition SET state = $5, decided = $6, decider = $7, reason = $8 "
    "WHERE server = $1 AND kind = $2 AND name = $3 AND hash = $4 AND current = 1"
)
_FORGET: Final = "DELETE FROM tool_definition WHERE server = $1 AND kind = $2 AND name = $3 AND hash = $4"


class DefinitionMoved(JournalError):  # noqa: N818 - says what is known
    """The server shows another definition now than the one that was to be decided about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionRecord:
    """One version. `content` is canonical JSON; times are seconds since the epoch; `decider` is `-` at first sight."""

    server: str
    kind: str
    name: str
    hash: str
    state: DefinitionState
    current: bool
    content: bytes
    findings: tuple[str, ...]
    seen: float
    decided: float | None
    decider: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A version a server has just shown. `at_first` is its state where nothing of that name was seen before."""

    kind: str
    name: str
    hash: str
    content: bytes
    at_first: DefinitionState
    findings: tuple[str, ...]
    audit: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What a person decided about exactly the version of this hash."""

    hash: str
    state: Literal["accepted", "rejected"]
    decider: str
    reason: str


async def note(tx: Writing, keyring: Keyring, server: str, seen: Sequence[Sighting]) -> list[DefinitionRecord]:
    """Write what a server shows; returns it as it counts now."""
    await tx.execute(_NEXT)
    tx.wake(WAKE)
    noted: list[DefinitionRecord] = []
    for one in seen:
        place = (server, one.kind, one.name)
        known = await tx.rows(_OF_NAME, *place)
        found = next((row for row in known if row["hash"] == one.hash), None)
        if found is None or not found["current"]:
            await tx.execute(_NO_LONGER, *place)
            state = cast("str", found["state"] if found is not None else "quarantined" if known else one.at_first)
            if found is not None:
                await tx.execute(_CURRENT, *place, one.hash, tx.here.now)
            else:
                sealed = keyring.seal("body", _place(*place, one.hash), one.content)
                findings = json.dumps(one.findings)
                await tx.execute(_INSERT, *place, one.hash, state, sealed, findings, tx.here.now)
                await _prune(tx, place, known)
            record: dict[str, object] = {"event": "definition_changed" if known else "definition_seen", **one.audit,
                                         "state": state, "hash": one.hash, "findings": list(one.findings)}  # fmt: skip
            if known and known[0]["current"]:
                record["before"] = known[0]["hash"]
            tx.audit([record])
        noted += [_record(row, keyring) for row in (await tx.rows(_OF_NAME, *place))[:1]]
    return noted


async def decide(tx: Writing, place: tuple[str, str, str], ruling: Ruling) -> None:
    """Accept or reject exactly the version that was looked at. Raises `LookupError`, `DefinitionMoved`."""
    await tx.execute(_NEXT)
    tx.wake(WAKE)
    decided = (ruling.hash, ruling.state, tx.here.now, ruling.decider, ruling.reason)
    if await tx.execute(_DECIDE, *place, *decided):
        return
    if not await tx.rows(_OF_NAME, *place):
        raise LookupError("/".join(place))
    raise DefinitionMoved("the server shows another definition now; look at it first")


async def read_server(tx: Transaction, keyring: Keyring, server: str) -> list[DefinitionRecord]:
    """Return what a server shows, as far as the store knows."""
    return [_record(row, keyring) for row in await tx.rows(_OF_SERVER, server)]


async def read_versions(tx: Transaction, keyring: Keyring, place: tuple[str, str, str]) -> list[DefinitionRecord]:
    """Return all versions of one definition, the current one first, then the newest."""
    return [_record(row, keyring) for row in await tx.rows(_OF_NAME, *place)]


async def read_all(
    tx: Transaction,
    keyring: Keyring,
    *,
    server: str | None,
    state: str | None,
    limit: int,
    after: tuple[str, str, str] = ("", "", ""),
) -> list[DefinitionRecord]:
    """Return current versions by server, kind and name, those behind the place `after`."""
    return [_record(row, keyring) for row in await tx.rows(_LIST, server, state, limit, *after)]


async def revision(tx: Transaction) -> int:
    """Return the number of changes so far."""
    row = await tx.row(_REVISION)
    return 0 if row is None else int(row["value"])


async def _prune(tx: Writing, place: tuple[str, str, str], known: Sequence[Row]) -> None:
    """Forget the oldest versions nobody accepted, so that a server cannot fill the store."""
    undecided = [row for row in known if row["state"] == "quarantined"]
    for row in undecided[VERSIONS_MAX - 1 :]:
        await tx.execute(_FORGET, *place, row["hash"])


def _place(server: str, kind: str, name: str, of: str) -> str:
    return f"definition/{server}/{kind}/{name}/{of}"


def _record(row: Row, keyring: Keyring) -> DefinitionRecord:
    place = _place(row["server"], row["kind"], row["name"], row["hash"])
    return DefinitionRecord(
        server=row["server"], kind=row["kind"], name=row["name"], hash=row["hash"], state=row["state"],
        current=bool(row["current"]), content=keyring.unseal("body", place, row["sealed"]),
        findings=tuple(cast("list[str]", json.loads(row["findings"]))), seen=cast("float", seconds(row["seen"])),
        decided=seconds(row["decided"]), decider=row["decider"], reason=row["reason"],
    )  # fmt: skip
