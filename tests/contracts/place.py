"""Where a store is kept, opened again and again as gateways start: a file, or a database of the cluster."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from durable.chain import read_links
from durable.postgres import open_postgres, read_postgres_links
from durable.sqlite import open_sqlite
from tests.durable.steps import KEYRING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from durable.chain import Link
    from durable.seal import Keyring
    from durable.store import Store

#: no busy machine misses it
LEASE_SECONDS = 60.0
#: for who waits until it is over; whoever has it may lose it on a busy machine, so nothing else is asked of them
SHORT_LEASE_SECONDS = 2.0


class Place(Protocol):
    """A kind of store; what stands in it outlives the stores that are opened."""

    async def open(self, keyring: Keyring = KEYRING) -> Store: ...

    async def links(self) -> list[Link]: ...


@dataclass(frozen=True, slots=True)
class FilePlace:
    folder: Path

    async def open(self, keyring: Keyring = KEYRING) -> Store:
        return await open_sqlite(self.folder / "journal.db", keyring=keyring)

    async def links(self) -> list[Link]:
        return list(read_links(self.folder / "journal.db"))


@dataclass(frozen=True, slots=True)
class DatabasePlace:
    url: str
    lease_seconds: float = LEASE_SECONDS

    async def open(self, keyring: Keyring = KEYRING) -> Store:
        return await open_postgres(self.url, keyring=keyring, lease_seconds=self.lease_seconds)

    async def links(self) -> list[Link]:
        return [link async for link in read_postgres_links(self.url)]


@asynccontextmanager
async def journal_in(place: Place, keyring: Keyring = KEYRING) -> AsyncGenerator[Store]:
    """Open a store there, and close it as a gateway that ends in order does."""
    journal = await place.open(keyring)
    try:
        yield journal
    finally:
        await journal.aclose()


async def audited(place: Place) -> list[dict[str, object]]:
    """Return the audit's records but for those that open and close a chain."""
    records = [json.loads(link.text) for link in await place.links()]
    return [one for one in records if one["event"] not in {"opened", "closed"}]
