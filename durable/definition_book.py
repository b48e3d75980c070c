"""The store's part for definitions: what servers show, and what was decided about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable import definitions
from durable.parts import Part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable.definitions import DefinitionRecord, Ruling, Sighting
    from durable.journal import Audit
    from durable.sql import Transaction, Writing


class DefinitionBook(Part):
    """Definitions seen, decided about, and waited for."""

    async def note_definitions(self, server: str, seen: Sequence[Sighting]) -> list[DefinitionRecord]:
        """Write what a server shows; returns it as it counts now. Raises `JournalUnavailable`."""
        return await self._write("definition", lambda tx: definitions.note(tx, self._keyring, server, seen))

    async def decide_definition(self, place: tuple[str, str, str], ruling: Ruling, audit: Audit) -> DefinitionRecord:
        """Accept or reject exactly the version that was looked at; `place` is server, kind and name.

        Raises `LookupError` when there is none of that name, `DefinitionMoved` when another one is current.
        """

        async def write(tx: Writing) -> DefinitionRecord:
            await definitions.decide(tx, place, ruling)
            tx.audit([{**record, "hash": ruling.hash, "state": ruling.state} for record in audit])
            return (await definitions.read_versions(tx, self._keyring, place))[0]

        return await self._write("definition", write)

    async def read_definitions(self, server: str) -> list[DefinitionRecord]:
        """Return what a server shows, as far as the store knows."""
        return await self._read(lambda tx: definitions.read_server(tx, self._keyring, server))

    async def read_versions(self, place: tuple[str, str, str]) -> list[DefinitionRecord]:
        """Return all versions of one definition (server, kind, name), the current one first, then the newest."""
        return await self._read(lambda tx: definitions.read_versions(tx, self._keyring, place))

    async def list_definitions(
        self, *, server: str | None, state: str | None, limit: int, after: tuple[str, str, str] = ("", "", "")
    ) -> list[DefinitionRecord]:
        """Return current versions by server, kind and name, those behind the place `after`."""
        return await self._survey(
            lambda tx: definitions.read_all(tx, self._keyring, server=server, state=state, limit=limit, after=after)
        )

    async def definitions_revision(self) -> int:
        """Return the number of changes so far, on all instances."""
        return await self._read(definitions.revision)

    async def wait_definitions(self, known: int, seconds_max: float) -> int:
        """Wait until there are more changes than `known`; returns how many there are."""

        async def more(tx: Transaction) -> bool:
            return await definitions.revision(tx) != known

        await self._wait(definitions.WAKE, more, seconds_max)
        return await self.definitions_revision()
