"""Retention, tombstones and key rotation, on both stores."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import asyncpg
import pytest

from durable.journal import RunPurged
from durable.records import CallFilter
from durable.seal import Keyring
from durable.step import Intent, Purged, Replay, Settlement, VaultEntry
from durable.verification import verify
from tests.contracts.place import DatabasePlace, FilePlace, journal_in
from tests.durable.keeping import full_run, purge_all
from tests.durable.steps import OWNER, ask, begun, intent, next_attempt, outcome, step

if TYPE_CHECKING:
    from tests.contracts.place import Place

pytestmark = pytest.mark.anyio
OLD, NEW = bytes(range(32)), bytes(range(32, 64))


async def rows_in(place: Place, table: str) -> int:
    counting = f'SELECT count(*) FROM "{table}"'  # noqa: S608 - constant names
    if isinstance(place, FilePlace):
        with closing(sqlite3.connect(place.folder / "journal.db")) as database:
            return database.execute(counting).fetchone()[0]
    assert isinstance(place, DatabasePlace)
    connection = await asyncpg.connect(place.url)
    try:
        return await connection.fetchval(counting)
    finally:
        await connection.close()


@pytest.mark.requirement("DUR-20")
async def test_a_run_past_its_retention_goes_with_all_that_belongs_to_it_in_small_parts(place: Place) -> None:
    async with journal_in(place) as journal:
        await full_run(journal)
        kept = await next_attempt(journal)
        await ask(journal, step("kept", run=kept))
        await purge_all(journal)
        assert [record.id for record in await journal.list_runs(limit=9, agent=None, state=None)] == [kept.id]
        assert [call.run for call in await journal.list_calls(CallFilter())] == [kept.id]
    left = {table: await rows_in(place, table) for table in ("run", "call", "use", "cursor", "vault", "tombstone")}
    assert left == {"run": 1, "call": 1, "use": 0, "cursor": 1, "vault": 0, "tombstone": 1}
    assert verify(await place.links()).ok


@pytest.mark.requirement("DUR-21")
async def test_a_purged_run_id_and_a_purged_key_stay_refused(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await full_run(journal)
        keyed = step("order", key="order-7")
        assert await ask(journal, keyed) == ("executed", 0)
        await purge_all(journal)
        with pytest.raises(RunPurged):
            await journal.open_run(OWNER, run.id, {})
        with pytest.raises(RunPurged):
            await journal.touch_run(OWNER, run.id, {})
        assert isinstance(await journal.begin(intent(keyed)), Purged)
        assert await journal.purge({"tombstones": 0.0}, rows_max=9) == 2
        assert await ask(journal, keyed) == ("executed", 0)


@pytest.mark.requirement("DUR-20")
async def test_what_is_in_doubt_is_kept_until_somebody_has_decided(place: Place) -> None:
    async with journal_in(place) as journal:
        run = await next_attempt(journal)
        began = await begun(journal, intent(step(run=run)))
        await journal.doubt(began, "cut", ())
        await journal.close_run(run.id, 1, "finished", None)
        alone = await begun(journal, intent(step("alone", key="k")))
        await journal.doubt(alone, "cut", ())
        assert await purge_all(journal) == 0
        assert {call.id for call in await journal.list_calls(CallFilter(state="doubt"))} == {began.id, alone.id}


@pytest.mark.requirement("DUR-20")
async def test_originals_outside_runs_are_kept_as_long_as_they_are_used(place: Place) -> None:
    async with journal_in(place) as journal:
        entry = VaultEntry(scope="agent/acme/billing/ann", token="<PERSON_1>", entity="PERSON", original="Ann")
        began = await begun(journal, Intent(step=step("one", key="k"), request=b"{}", vault=(entry,)))
        await journal.settle(began, Settlement(outcome=outcome()))
        await journal.purge({"calls": 3600.0}, rows_max=9)
        assert (await journal.originals(entry.scope, [entry.token]))[entry.token].original == "Ann"
        await purge_all(journal)
        assert await journal.originals(entry.scope, [entry.token]) == {}


@pytest.mark.requirement("DUR-22")
async def test_a_rotation_seals_everything_again_so_that_the_old_secret_can_go(place: Place) -> None:
    async with journal_in(place, Keyring((OLD,))) as journal:
        run = await full_run(journal)
        await ask(journal, step("alone", key="k"))
        assert await journal.count_older() == 0
    async with journal_in(place, Keyring((NEW, OLD))) as journal:
        left = await journal.count_older()
        assert left == 2 + 12 + 5 + 1  # keys of the run and the owner, six calls' bodies, five originals, a result
        while await journal.rewrap(rows_max=7):
            left -= 7
        assert left <= 0
        assert await journal.count_older() == 0
    async with journal_in(place, Keyring((NEW,))) as journal:
        assert isinstance(await journal.look_up(step("alone", key="k")), Replay)
        assert (await journal.originals(f"run/{run.id}", ["<PERSON_1>"]))["<PERSON_1>"].original == "Ann"
        assert (found := await journal.read_run(run.id)) is not None
        assert found.result == b"done"
