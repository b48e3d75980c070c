"""A database that is not the one it was: a dump read in again, a replica that has taken over."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from durable.condition import of_postgres
from durable.step import Held, Replay
from tests.contracts.cluster import binaries
from tests.contracts.place import DatabasePlace, audited, journal_in
from tests.durable.steps import KEYRING, ask, intent, next_attempt, step

if TYPE_CHECKING:
    from pathlib import Path

    from tests.contracts.cluster import Cluster

pytestmark = pytest.mark.anyio


def run(program: str, *words: str) -> None:
    subprocess.run([binaries() / program, *words], check=True, capture_output=True)


@pytest.mark.requirement("DUR-24")
async def test_a_dump_read_in_again_is_noticed_and_replays_what_it_holds(
    cluster: Cluster, database: str, tmp_path: Path
) -> None:
    async with journal_in(DatabasePlace(database)) as journal:
        attempt = await next_attempt(journal)
        await ask(journal, step("before", run=attempt))
        run("pg_dump", "--format=custom", "--file", str(tmp_path / "dump"), database)
        assert await ask(journal, step("charge", run=attempt)) == ("executed", 1)
    restored = cluster.create(f"{database.rpartition('/')[2]}_restored")
    run("pg_restore", "--exit-on-error", "--dbname", restored, str(tmp_path / "dump"))
    async with journal_in(DatabasePlace(restored)) as journal:
        assert isinstance(await journal.begin(intent(step("charge", run=attempt))), Held)
        assert await ask(journal, step("before", run=attempt)) == ("replayed", 1)
        assert (condition := await of_postgres(restored, None, KEYRING)).rolled_back is not None
        assert (condition.held, condition.damage) == (1, None)
        assert await journal.accept_past(({"event": "accepted"},))
        assert await ask(journal, step("order", key="order-7")) == ("executed", 0)
    events = [record["event"] for record in await audited(DatabasePlace(restored))]
    assert events.count("store_rolled_back") == 1
    assert "held" in events


@pytest.mark.requirement("DUR-24")
async def test_a_database_that_only_restarts_has_lost_nothing(cluster: Cluster, database: str) -> None:
    place = DatabasePlace(database)
    async with journal_in(place) as journal:
        attempt = await next_attempt(journal)
        await ask(journal, step("before", run=attempt))
        cluster.crash()
        cluster.start()
        assert await ask(journal, step("after", run=attempt)) == ("executed", 1)
        assert await journal.rolled_back() is None
    async with journal_in(place) as journal:
        assert isinstance(await journal.look_up(step("after", run=await next_attempt(journal, attempt.id))), Replay)
        assert await journal.rolled_back() is None
