"""The smallest store of definitions: everything is as it was first seen, in memory."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from durable.definitions import DefinitionMoved, DefinitionRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from durable.definitions import Ruling, Sighting


class Shelf:
    """What servers showed; a second version of a name is quarantined."""

    def __init__(self) -> None:
        self.noted: dict[tuple[str, str, str], DefinitionRecord] = {}
        self.sightings: list[Sighting] = []

    async def note_definitions(self, server: str, seen: Sequence[Sighting]) -> list[DefinitionRecord]:
        for one in seen:
            known = (server, one.kind, one.name) in self.noted
            self.noted[server, one.kind, one.name] = DefinitionRecord(
                server=server, kind=one.kind, name=one.name, hash=one.hash,
                state="quarantined" if known else one.at_first, current=True, content=one.content,
                findings=one.findings, seen=time.time(), decided=None, decider="-", reason="",
            )  # fmt: skip
        self.sightings += seen
        return [self.noted[server, one.kind, one.name] for one in seen]

    async def read_definitions(self, server: str) -> list[DefinitionRecord]:
        return [record for record in self.noted.values() if record.server == server]

    async def definitions_revision(self) -> int:
        return 0

    async def wait_definitions(self, known: int, seconds_max: float) -> int:
        await asyncio.Event().wait()
        return known + round(seconds_max)

    async def list_definitions(
        self, *, server: str | None, state: str | None, limit: int, after: tuple[str, str, str] = ("", "", "")
    ) -> list[DefinitionRecord]:
        del limit, after
        return [one for one in self.noted.values() if server in {None, one.server} and state in {None, one.state}]

    async def read_versions(self, place: tuple[str, str, str]) -> list[DefinitionRecord]:
        return [self.noted[place]] if place in self.noted else []

    async def decide_definition(
        self, place: tuple[str, str, str], ruling: Ruling, audit: Sequence[Mapping[str, object]]
    ) -> DefinitionRecord:
        del audit
        if place not in self.noted:
            raise LookupError(place)
        if self.noted[place].hash != ruling.hash:
            raise DefinitionMoved("the server shows another definition now; look at it first")
        self.noted[place] = replace(self.noted[place], state=ruling.state, decider=ruling.decider)
        return self.noted[place]
