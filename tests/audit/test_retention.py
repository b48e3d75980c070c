"""What is old goes under a signed statement and nothing else goes; who a person was can be forgotten."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import asyncpg
import pytest

from durable.audit_rows import AuditFilter
from durable.journal import JournalUnavailable
from durable.postgres import read_postgres_anchors
from durable.sqlite import open_sqlite
from durable.step import VaultEntry
from durable.verification import Witnesses, verify
from tests.audit.stand import checkpoints_of, inside, outside, record
from tests.contracts.place import DatabasePlace, FilePlace
from tests.durable.steps import KEYRING, intent, step

if TYPE_CHECKING:
    from pathlib import Path

    from durable.verification import Verification
    from tests.contracts.place import Place

pytestmark = pytest.mark.anyio


async def verified(place: Place, witnesses: Witnesses) -> Verification:
    store = await place.open()
    anchors = await store.anchors()
    await store.aclose()
    given = Witnesses(anchors=anchors, checkpoints=witnesses.checkpoints, keys=witnesses.keys)
    return verify(await place.links(), given)


@pytest.mark.requirement("AUD-04")
async def test_a_pruned_audit_still_verifies_and_what_was_not_exported_stays(place: Place, tmp_path: Path) -> None:
    store = await place.open()
    checkpoints = await checkpoints_of(store, tmp_path)
    for number in range(8):
        await store.write_audit([record(number)])
    assert await checkpoints.prune(0.0, ["otlp"]) == 0  # nothing is with the sink yet
    await store.move_cursor("otlp", store.audit_chain, 6)
    await store.move_cursor("otlp", store.audit_chain, 4)  # a cursor never goes back
    assert await checkpoints.prune(3600.0, ["otlp"]) == 0  # nothing is old enough
    assert await checkpoints.prune(0.0, ["otlp"]) == 6
    assert await checkpoints.prune(0.0, ["otlp"]) == 0
    await checkpoints.write()
    await store.aclose()
    found = await verified(place, outside(tmp_path))
    assert (found.ok, found.problem, found.pruned) == (True, None, 6)
    # without the statement what is left begins in the middle
    assert str(verify(await place.links()).problem).startswith("record 7 of chain")


@pytest.mark.requirement("AUD-04")
async def test_a_prune_that_was_broken_off_still_verifies(place: Place, tmp_path: Path) -> None:
    store = await place.open()
    checkpoints = await checkpoints_of(store, tmp_path)
    for number in range(8):
        await store.write_audit([record(number)])
    old = await store.prunable(2**60, [])
    await checkpoints.anchor(old)
    assert await store.prune_audit(3) == 3
    await store.aclose()
    assert (await verified(place, inside(tmp_path))).problem is None


@pytest.mark.requirement("AUD-03")
async def test_no_statement_changes_or_deletes_a_record_or_an_anchor(place: Place, tmp_path: Path) -> None:
    store = await place.open()
    checkpoints = await checkpoints_of(store, tmp_path)
    await store.write_audit([record(1), record(2)])
    await checkpoints.anchor({store.audit_chain: (await store.audit_heads(store.audit_chain))[store.audit_chain]})
    for statement in (
        "UPDATE audit SET record = '{}'", "DELETE FROM audit WHERE number > 3", "UPDATE audit_anchor SET line = ''",
        "DELETE FROM audit_anchor",
    ):  # fmt: skip
        before = len(await place.links())
        if statement.startswith("DELETE FROM audit WHERE"):
            await store.write_audit([record(3)])  # beyond the anchor
            before += 1
        if isinstance(place, FilePlace):
            with (
                closing(sqlite3.connect(place.folder / "journal.db")) as beside,
                pytest.raises(sqlite3.IntegrityError),
            ):
                beside.execute(statement)
        elif isinstance(place, DatabasePlace):
            connection = await asyncpg.connect(place.url)
            with pytest.raises(asyncpg.RaiseError):
                await connection.execute(statement)
            await connection.close()
        assert len(await place.links()) == before
    await store.aclose()


@pytest.mark.requirement("AUD-03")
async def test_a_forged_anchor_lets_records_go_and_is_found(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path / "journal.db", keyring=KEYRING)
    checkpoints = await checkpoints_of(store, tmp_path)
    await store.write_audit([record(1), record(2), record(3)])
    await checkpoints.aclose()
    chain = store.audit_chain
    await store.aclose()
    database = sqlite3.connect(tmp_path / "journal.db")
    database.execute("INSERT INTO audit_anchor VALUES (?, 3, 'forged')", (chain,))
    database.execute("DELETE FROM audit WHERE number <= 3")
    database.commit()
    database.close()
    found = await verified(FilePlace(tmp_path), inside(tmp_path))
    assert "an anchor: expected a checkpoint" in str(found.problem)


@pytest.mark.requirement("AUD-05")
async def test_a_person_is_a_random_name_until_they_are_forgotten(place: Place, tmp_path: Path) -> None:
    store = await place.open()
    checkpoints = await checkpoints_of(store, tmp_path)
    ann = await store.person("acme", "ann@example.com")
    assert ann == await store.person("acme", "ann@example.com")
    assert ann != await store.person("acme", "bob@example.com")
    assert ann != await store.person("other", "ann@example.com")
    await store.write_audit([record(1, user=ann)])
    assert await store.people([ann]) == {ann: "acme/ann@example.com"}
    scope = "agent/acme/billing/ann@example.com"
    kept = VaultEntry(scope=scope, token="t1", entity="PERSON", original="Ada Lovelace")
    await store.begin(intent(step("one", key="k1"), vault=(kept,)))
    assert await store.originals(scope, ["t1"])
    erased = await store.erase_person("acme", "ann@example.com", [{"event": "person_erased", "person": ann}])
    assert (erased.known, erased.originals) == (True, 1)
    assert await store.people([ann]) == {}
    assert not await store.originals(scope, ["t1"])
    again = await store.person("acme", "ann@example.com")
    assert again != ann  # nothing leads from the person to the old name any more
    await checkpoints.write()
    await store.aclose()
    assert (await verified(place, outside(tmp_path))).problem is None
    assert "ann@example.com" not in "".join(link.text for link in await place.links())


@pytest.mark.requirement("AUD-06")
async def test_a_search_goes_from_the_newest_back_and_says_where_to_go_on(place: Place) -> None:
    store = await place.open()
    for number in range(7):
        await store.write_audit([record(number, run="run_1" if number % 2 else "run_2", resource="model/m")])
    first = await store.search_audit(AuditFilter(limit=2, run="run_1"))
    assert [one["audit"] for one in first.records] == ["a5", "a3"]
    second = await store.search_audit(AuditFilter(limit=2, run="run_1", before=first.following))
    assert [one["audit"] for one in second.records] == ["a1"]
    assert second.following is None
    assert len((await store.search_audit(AuditFilter(agent="acme/billing"))).records) == 7
    assert not (await store.search_audit(AuditFilter(agent="shipping"))).records
    assert not (await store.search_audit(AuditFilter(until=1))).records
    assert json.loads((await place.links())[-1].text)["audit"] == "a6"
    await store.aclose()


@pytest.mark.requirement("AUD-04")
async def test_the_anchors_of_a_database_are_read_beside_a_gateway(database: str, tmp_path: Path) -> None:
    store = await DatabasePlace(database).open()
    checkpoints = await checkpoints_of(store, tmp_path)
    await store.write_audit([record(1), record(2), record(3)])
    assert await checkpoints.prune(0.0, []) > 0
    assert await read_postgres_anchors(database) == await store.anchors()
    await store.aclose()


@pytest.mark.requirement("AUD-07")
@pytest.mark.parametrize("best_effort", [False, True])
async def test_a_record_that_cannot_be_written_refuses_or_is_counted(tmp_path: Path, *, best_effort: bool) -> None:
    store = await open_sqlite(tmp_path / "journal.db", keyring=KEYRING)
    store.audit_best_effort = best_effort
    await store.aclose()
    if best_effort:
        await store.write_audit([record(1), record(2)])
        assert store.audit_lost == 2
        return
    with pytest.raises(JournalUnavailable):
        await store.write_audit([record(1)])
    assert store.audit_lost == 0
