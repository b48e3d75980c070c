"""What is pinned, in memory: read once, written when a server shows something new, kept in step with other instances.

A call asks only this book. What an operator decides on any instance arrives by the store's own signal, and
by its slow look where that is lost.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, Protocol, cast

from durable.definitions import Sighting
from durable.journal import JournalUnavailable
from gateway import body
from gateway.definitions.changes import changes_of
from gateway.definitions.scan import Names, is_grave, scan
from gateway.definitions.schema import Checker, SchemaUnusable
from gateway.trail import new_audit_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from durable.definitions import DefinitionRecord, DefinitionState
    from gateway.config import McpServer
    from gateway.definitions.definition import Definition, Kind, Tree

_log = logging.getLogger("oncegate.definitions")

#: How long one look at the store's changes takes at most.
_LOOK_SECONDS: Final = 30.0
_AWAY_SECONDS: Final = 1.0
_SCHEMAS: Final = ("inputSchema", "outputSchema")


class Definitions(Protocol):
    """What is needed of the store."""

    async def note_definitions(self, server: str, seen: Sequence[Sighting]) -> list[DefinitionRecord]:
        """Write what a server shows; returns it as it counts now."""
        ...

    async def read_definitions(self, server: str) -> list[DefinitionRecord]:
        """Return what a server shows, as far as the store knows."""
        ...

    async def definitions_revision(self) -> int:
        """Return the number of changes so far."""
        ...

    async def wait_definitions(self, known: int, seconds_max: float) -> int:
        """Wait until there are more changes than `known`; returns how many there are."""
        ...


@dataclass(frozen=True)
class Pin:
    """The version a server shows now, and whether it may be used."""

    hash: str
    state: DefinitionState
    content: bytes = field(repr=False)

    @property
    def accepted(self) -> bool:
        """Whether it may be shown and used."""
        return self.state == "accepted"

    @cached_property
    def tree(self) -> Tree:
        """The definition itself."""
        return cast("Tree", body.parse(self.content))

    @cached_property
    def arguments(self) -> Checker | None:
        """What checks arguments; `None` without a schema, or with one an operator accepted though it cannot run."""
        return _checker(self.tree.get("inputSchema"))

    @cached_property
    def result(self) -> Checker | None:
        """What checks structured results."""
        return _checker(self.tree.get("outputSchema"))


class Book:
    """The pins of all configured servers."""

    def __init__(self, store: Definitions, servers: Mapping[str, McpServer]) -> None:
        self._store = store
        self._servers = servers
        self._pins: dict[str, dict[tuple[Kind, str], Pin]] = {name: {} for name in servers}
        self._revision = 0
        self._watch: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Read everything and begin to hear of changes. Raises `JournalUnavailable`."""
        self._revision = await self._store.definitions_revision()
        await self._read()
        self._watch = asyncio.create_task(self._hear())

    async def aclose(self) -> None:
        """Hear no more."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)

    def pin(self, server: str, kind: Kind, name: str) -> Pin | None:
        """Return what is known of a definition."""
        return self._pins[server].get((kind, name))

    async def note(self, server: str, shown: Iterable[Definition]) -> None:
        """Take what a server has just shown; what is new or changed is written. Raises `JournalUnavailable`."""
        pins = self._pins[server]
        fresh = {
            (one.kind, one.name): one for one in shown
            if (known := pins.get((one.kind, one.name))) is None or known.hash != one.hash
        }  # fmt: skip
        if not fresh:
            return
        tools = [(owner, name) for owner, known in self._pins.items() for kind, name in known if kind == "tool"]
        tools += [(server, name) for kind, name in fresh if kind == "tool"]
        seen = await asyncio.to_thread(self._sightings, server, list(fresh.values()), tools)
        for record in await self._store.note_definitions(server, seen):
            self._take(record)
            if record.state != "accepted":
                _log.warning(
                    "%s of server `%s` waits for an operator: `oncegate tools list --server %s`",
                    record.kind, server, server,
                )  # fmt: skip

    def _sightings(self, server: str, fresh: list[Definition], tools: list[tuple[str, str]]) -> list[Sighting]:
        names = Names(tools)
        return [self._sighting(server, one, names) for one in fresh]

    def _sighting(self, server: str, one: Definition, names: Names) -> Sighting:
        config = self._servers[server]
        findings = (*_unusable(one), *scan(one, server, names))
        doubtful = config.suspicious == "quarantine" and is_grave(findings)
        at_first: DefinitionState = "quarantined" if doubtful or config.definitions != "first_sight" else "accepted"
        audit: dict[str, object] = {"audit": new_audit_id(), "server": server, "kind": one.kind, "name": one.name}
        before = self._pins[server].get((one.kind, one.name))
        if before is not None:
            audit["risky"] = any(change.weight == "risky" for change in changes_of(before.tree, one.tree))
        return Sighting(
            kind=one.kind, name=one.name, hash=one.hash, content=one.content, at_first=at_first, findings=findings,
            audit=audit,
        )  # fmt: skip

    def _take(self, record: DefinitionRecord) -> None:
        known = self._pins[record.server].get((cast("Kind", record.kind), record.name))
        if known is None or (known.hash, known.state) != (record.hash, record.state):
            pin = Pin(hash=record.hash, state=record.state, content=record.content)
            self._pins[record.server][cast("Kind", record.kind), record.name] = pin

    async def _read(self) -> None:
        for server in self._servers:
            for record in await self._store.read_definitions(server):
                self._take(record)

    async def _hear(self) -> None:
        while True:
            try:
                found = await self._store.wait_definitions(self._revision, _LOOK_SECONDS)
                if found != self._revision:
                    await self._read()
                    self._revision = found
            except JournalUnavailable as error:
                _log.warning("decisions about definitions are not heard of: %s", error)
                await asyncio.sleep(_AWAY_SECONDS)


def _unusable(one: Definition) -> list[str]:
    if one.kind != "tool":
        return []
    return [f"schema {name}" for name in _SCHEMAS if name in one.tree and _checker(one.tree[name]) is None]


def _checker(schema: object) -> Checker | None:
    try:
        return None if schema is None else Checker(schema)
    except SchemaUnusable:
        return None
