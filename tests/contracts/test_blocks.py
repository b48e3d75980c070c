"""Blocks on both stores: set once, lifted once, audited, heard of on every instance in time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from durable.journal import JournalUnavailable
from gateway.blocking import STALE_SECONDS_MAX, Blocks
from policy.decision import Principal
from tests.contracts.place import DatabasePlace, audited, journal_in
from tests.pace import paced

if TYPE_CHECKING:
    from durable.blocks import BlockRecord
    from durable.store import Store
    from tests.contracts.place import Place

pytestmark = pytest.mark.anyio
BILLING = Principal(agent="billing", domain="acme", method="api_key")
AGENT = "agent:acme/billing"


async def block(journal: Store, subject: str, reason: str = "it went wild") -> BlockRecord:
    record = {"event": "operator", "deed": "block", "subject": subject}
    return await journal.block(subject, reason=reason, blocker="user:acme/ann", audit=[record])


@pytest.mark.requirement("BLK-01")
async def test_a_block_stands_until_it_is_lifted_and_both_are_audited(place: Place) -> None:
    async with journal_in(place) as journal:
        first = await block(journal, AGENT)
        assert (await block(journal, AGENT, "again")) == first
        await block(journal, "mcp/payments")
        assert {one.subject for one in await journal.list_blocks()} == {AGENT, "mcp/payments"}
    async with journal_in(place) as journal:
        lifted = await journal.lift_block(AGENT, audit=[{"event": "operator", "deed": "unblock"}])
        assert (lifted.reason, lifted.blocker) == ("it went wild", "user:acme/ann")
        with pytest.raises(LookupError):
            await journal.lift_block(AGENT, audit=[{"event": "operator", "deed": "unblock"}])
        assert [one.subject for one in await journal.list_blocks()] == ["mcp/payments"]
    deeds = [record["deed"] for record in await audited(place) if record["event"] == "operator"]
    assert deeds == ["block", "block", "block", "unblock"]


async def refused_within(blocks: Blocks, seconds: float, *, refused: bool = True) -> bool:
    with paced() as pace:
        while (blocks.of_caller(BILLING, None) is not None) is not refused:
            if pace.seconds > seconds:
                return False
            await asyncio.sleep(0.01)
    return True


@pytest.mark.requirement("BLK-02")
async def test_every_instance_hears_of_a_block_and_of_its_end_within_a_second(place: Place) -> None:
    async with journal_in(place) as one:
        # on a file there is one instance; there the commands' deeds come by the same store
        other = await place.open() if isinstance(place, DatabasePlace) else one
        here, there = Blocks(one), Blocks(other)
        await here.open()
        await there.open()
        try:
            await block(other, AGENT)
            assert await refused_within(here, 1.0)
            assert await refused_within(there, 1.0)
            await one.lift_block(AGENT, audit=[])
            assert await refused_within(here, 1.0, refused=False)
            assert await refused_within(there, 1.0, refused=False)
        finally:
            await here.aclose()
            await there.aclose()
            if other is not one:
                await other.aclose()


@pytest.mark.requirement("BLK-02")
async def test_who_has_looked_refuses_at_once_whatever_a_look_before_it_still_says(place: Place) -> None:
    async with journal_in(place) as journal:
        store = Slow(journal)
        blocks = Blocks(store)
        await blocks.look()
        await block(journal, "mcp/payments")
        store.slow = True
        before = asyncio.create_task(blocks.look())
        await store.read.wait()
        await block(journal, AGENT)
        after = asyncio.create_task(blocks.look())
        await asyncio.sleep(0)
        store.go_on.set()
        await after
        assert blocks.of_caller(BILLING, None) is not None
        await before
        assert blocks.of_caller(BILLING, None) is not None


@dataclass
class Slow:
    """A store whose next list is read and comes late."""

    journal: Store
    slow: bool = False
    read: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def list_blocks(self) -> list[BlockRecord]:
        found = await self.journal.list_blocks()
        if self.slow:
            self.slow = False
            self.read.set()
            await self.go_on.wait()
        return found

    async def blocks_revision(self) -> int:
        return await self.journal.blocks_revision()

    async def wait_blocks(self, known: int, seconds_max: float) -> None:
        await self.journal.wait_blocks(known, seconds_max)


@dataclass
class Away:
    """A store that can be away, and a clock."""

    away: bool = False
    now: float = 1000.0
    looks: int = 0
    looked: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self) -> float:
        return self.now

    async def list_blocks(self) -> list[BlockRecord]:
        return []

    async def blocks_revision(self) -> int:
        self.looks += 1
        self.looked.set()
        if self.away:
            raise JournalUnavailable("away")
        return 0

    async def wait_blocks(self, known: int, seconds_max: float) -> None:
        del known, seconds_max
        await asyncio.sleep(0)
        if self.away:
            raise JournalUnavailable("away")


@pytest.mark.requirement("BLK-03")
async def test_an_instance_that_cannot_read_its_blocks_refuses_everything_until_it_can() -> None:
    store = Away()
    blocks = Blocks(store, store)
    await blocks.open()
    try:
        store.away = True
        store.now += STALE_SECONDS_MAX - 0.1
        assert blocks.of_caller(BILLING, None) is None
        store.now += 0.2
        refused = blocks.of_caller(BILLING, None)
        assert refused is not None
        assert (refused.status, refused.final) == (503, False)
        store.away = False
        assert await refused_within(blocks, 2.0, refused=False)
    finally:
        await blocks.aclose()
