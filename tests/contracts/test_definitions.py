"""Definitions on both stores: versions by their hash, one current, decided about exactly, heard of everywhere."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from durable.definitions import VERSIONS_MAX, DefinitionMoved, Ruling, Sighting
from durable.seal import Keyring
from tests.contracts.place import DatabasePlace, audited, journal_in

if TYPE_CHECKING:
    from durable.definitions import DefinitionRecord, DefinitionState
    from durable.store import Store
    from tests.contracts.place import Place

pytestmark = pytest.mark.anyio
PAY = ("shop", "tool", "pay")


def sighting(version: str, *, at_first: DefinitionState = "accepted", name: str = "pay") -> Sighting:
    return Sighting(
        kind="tool", name=name, hash=version * 64, content=version.encode(), at_first=at_first,
        findings=("hidden description",), audit={"server": "shop", "name": name},
    )  # fmt: skip


async def shown(journal: Store, version: str, *, at_first: DefinitionState = "accepted") -> DefinitionRecord:
    (record,) = await journal.note_definitions("shop", [sighting(version, at_first=at_first)])
    return record


def ruling(version: str, state: str = "accepted") -> Ruling:
    return Ruling(
        hash=version * 64, state="accepted" if state == "accepted" else "rejected", decider="user:acme/ann",
        reason="read it",
    )  # fmt: skip


@pytest.mark.requirement("DEF-01")
async def test_the_first_version_counts_every_other_waits_and_the_first_one_counts_again(place: Place) -> None:
    async with journal_in(place) as journal:
        assert (await shown(journal, "a")).state == "accepted"
        changed = await shown(journal, "b", at_first="accepted")
        assert (changed.state, changed.current, changed.findings) == ("quarantined", True, ("hidden description",))
        assert [(one.hash[0], one.current) for one in await journal.read_versions(PAY)] == [("b", True), ("a", False)]
        assert (await shown(journal, "a")).state == "accepted"
        assert [one.content for one in await journal.read_definitions("shop")] == [b"a"]
    events = [(record["event"], record["state"]) for record in await audited(place)]
    assert events == [
        ("definition_seen", "accepted"), ("definition_changed", "quarantined"), ("definition_changed", "accepted"),
    ]  # fmt: skip


@pytest.mark.requirement("DEF-03")
async def test_a_decision_is_about_the_current_version_and_no_other(place: Place) -> None:
    async with journal_in(place) as journal:
        await shown(journal, "a")
        await shown(journal, "b")
        with pytest.raises(DefinitionMoved):
            await journal.decide_definition(PAY, ruling("a"), ())
        with pytest.raises(LookupError):
            await journal.decide_definition(("shop", "tool", "other"), ruling("a"), ())
        accepted = await journal.decide_definition(PAY, ruling("b"), ({"event": "operator"},))
        assert (accepted.state, accepted.decider, accepted.reason) == ("accepted", "user:acme/ann", "read it")
        assert accepted.decided is not None
        rejected = await journal.decide_definition(PAY, ruling("b", "rejected"), ())
        assert rejected.state == "rejected"
        assert (await shown(journal, "b")).state == "rejected"
        assert [one.name for one in await journal.list_definitions(server=None, state="rejected", limit=9)] == ["pay"]
        assert await journal.list_definitions(server="else", state=None, limit=9) == []
    (deed,) = [record for record in await audited(place) if record["event"] == "operator"]
    assert deed["hash"] == "b" * 64


@pytest.mark.requirement("DEF-10")
async def test_pins_outlive_the_process_and_a_rotation_of_the_secret(place: Place) -> None:
    async with journal_in(place) as journal:
        await shown(journal, "a", at_first="quarantined")
    rotated = Keyring((b"n" * 32, bytes(range(32))))
    async with journal_in(place, rotated) as journal:
        assert [one.state for one in await journal.read_definitions("shop")] == ["quarantined"]
        while await journal.rewrap(rows_max=7):
            continue
        assert await journal.count_older() == 0
    async with journal_in(place, Keyring((b"n" * 32,))) as journal:
        assert [one.content for one in await journal.read_definitions("shop")] == [b"a"]
        assert await journal.definitions_revision() == 1


@pytest.mark.requirement("DEF-10")
async def test_who_waits_hears_of_every_decision(place: Place) -> None:
    async with journal_in(place) as journal:
        await shown(journal, "a")
        known = await journal.definitions_revision()
        waiting = asyncio.create_task(journal.wait_definitions(known, 60.0))
        await journal.decide_definition(PAY, ruling("a", "rejected"), ())
        assert await waiting == known + 1
        assert await journal.wait_definitions(known + 1, 0.0) == known + 1


@pytest.mark.requirement("DEF-10")
async def test_what_one_instance_is_told_the_other_hears(database: str) -> None:
    shared = DatabasePlace(database)
    async with journal_in(shared) as one, journal_in(shared) as other:
        both = await asyncio.gather(
            one.note_definitions("shop", [sighting("a")]), other.note_definitions("shop", [sighting("b")])
        )
        # both saw it first: one of them was a change
        assert sorted(record.state for records in both for record in records) == ["accepted", "quarantined"]
        known = await other.definitions_revision()
        waiting = asyncio.create_task(other.wait_definitions(known, 60.0))
        (current,) = await one.read_definitions("shop")
        await one.decide_definition(PAY, ruling(current.hash[0], "rejected"), ())
        assert await waiting > known
        assert [record.state for record in await other.read_definitions("shop")] == ["rejected"]


@pytest.mark.requirement("DEF-10")
async def test_a_server_that_changes_for_ever_fills_nothing(place: Place) -> None:
    async with journal_in(place) as journal:
        await shown(journal, "a")
        for number in range(VERSIONS_MAX + 5):
            seen = [sighting(chr(ord("b") + number % 24) + str(number // 24))]
            await journal.note_definitions("shop", seen)
        versions = await journal.read_versions(PAY)
        assert len(versions) <= VERSIONS_MAX + 1
        assert "a" * 64 in {one.hash for one in versions}
