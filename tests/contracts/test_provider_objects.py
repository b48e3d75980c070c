"""Who received what a provider keeps, on both stores."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from durable.records import ReceivedObject
from durable.step import Owner, Settlement
from tests.contracts.place import journal_in
from tests.durable.steps import OWNER, begun, intent, outcome, step

if TYPE_CHECKING:
    from durable.step import Outcome
    from durable.store import Store
    from tests.contracts.place import Place

pytestmark = pytest.mark.anyio
OTHERS = [replace(OWNER, domain="rival"), replace(OWNER, agent="other"), replace(OWNER, user="ann")]
MADE = ReceivedObject(origin="https://h/v1", resource="model/one")


def naming(*names: str, origin: str = MADE.origin) -> Outcome:
    return replace(outcome(), meta={"objects": {"origin": origin, "ids": list(names)}})


async def answered(journal: Store, owner: Owner, said: Outcome, key: str) -> None:
    began = await begun(journal, intent(step(key, owner=owner, resource=MADE.resource, key=key)))
    assert await journal.settle(began, Settlement(outcome=said))


@pytest.mark.requirement("OBJ-01")
async def test_an_object_is_known_to_its_owner_alone_and_for_good(place: Place) -> None:
    async with journal_in(place) as journal:
        await answered(journal, OWNER, naming("resp_1", "rs_1"), "k1")
        await answered(journal, OWNER, naming("resp_1", origin="https://other/v1"), "k2")
    async with journal_in(place) as journal:
        known = await journal.received_objects(OWNER, ["resp_1", "rs_1", "resp_2"])
        assert known["rs_1"] == [MADE]
        assert {one.origin for one in known["resp_1"]} == {"https://h/v1", "https://other/v1"}
        assert "resp_2" not in known
        for other in OTHERS:
            assert await journal.received_objects(other, ["resp_1", "rs_1"]) == {}


@pytest.mark.requirement("OBJ-01")
async def test_what_many_receive_at_once_is_known_to_each(place: Place) -> None:
    async with journal_in(place) as journal:
        owners = [OWNER, *OTHERS]
        await asyncio.gather(*(
            answered(journal, owner, naming(f"resp_{number}_{place}", "shared"), f"k{number}{place}")
            for number, owner in enumerate(owners)
            for place in range(5)
        ))  # fmt: skip
        for number, owner in enumerate(owners):
            wanted = [f"resp_{other}_0" for other in range(len(owners))]
            known = await journal.received_objects(owner, [*wanted, "shared"])
            assert set(known) == {f"resp_{number}_0", "shared"}


@pytest.mark.requirement("OBJ-01")
async def test_a_fenced_outcome_brings_nothing(place: Place) -> None:
    async with journal_in(place) as journal:
        first = await begun(journal, intent(step(key="k")))
        await journal.doubt(first, "cut", [])
        await journal.resolve(first.id, "fail", None, [])
        assert not await journal.settle(first, Settlement(outcome=naming("resp_1")))
        assert await journal.received_objects(OWNER, ["resp_1"]) == {}


@pytest.mark.requirement("OBJ-02")
async def test_what_was_received_goes_with_the_tombstones(place: Place) -> None:
    async with journal_in(place) as journal:
        await answered(journal, OWNER, naming("resp_1", "rs_1", "rs_2"), "k1")
        assert await journal.purge({"calls": 3600.0, "tombstones": 3600.0}, rows_max=2) == 0
        while await journal.purge({"tombstones": 0.0}, rows_max=2):
            pass
        assert await journal.received_objects(OWNER, ["resp_1", "rs_1", "rs_2"]) == {}
