"""Retention, tombstones, key rotation, backups, and a store that has lost its past."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from durable.journal import JournalRefused
from durable.sqlite_backup import back_up
from durable.sqlite_head import head_path
from durable.step import Held, InDoubt, Replay
from durable.verification import verify_database
from tests.durable.steps import KEYRING, ask, begun, intent, journal_in, next_attempt, step

if TYPE_CHECKING:
    from pathlib import Path

    from durable.step import RunRef

pytestmark = pytest.mark.anyio
OLD, NEW = bytes(range(32)), bytes(range(32, 64))


def counts(folder: Path) -> dict[str, int]:
    with closing(sqlite3.connect(folder / "journal.db")) as database:
        return {
            table: database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - constant names
            for table in ("run", "call", "use", "cursor", "vault", "tombstone")
        }


@pytest.mark.requirement("DUR-23")
async def test_a_backup_taken_under_way_is_whole_and_replays(tmp_path: Path) -> None:
    (copied := tmp_path / "elsewhere").mkdir()
    async with journal_in(tmp_path) as journal:
        await ask(journal, step("before", key="before"))
        size = back_up(tmp_path / "journal.db", copied / "journal.db")
        await ask(journal, step("after", key="after"))
    assert size > 0
    assert (copied / "journal.db").stat().st_mode & 0o777 == 0o600
    async with journal_in(copied) as journal:
        assert isinstance(await journal.look_up(step("before", key="before")), Replay)
        assert await journal.look_up(step("after", key="after")) is None


@pytest.mark.requirement("DUR-23")
async def test_a_backup_neither_overwrites_nor_copies_what_is_no_journal(tmp_path: Path) -> None:
    (other := tmp_path / "other.db").write_bytes(b"not a database, but long enough to be looked at" * 99)
    with pytest.raises(JournalRefused):
        back_up(other, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()
    async with journal_in(tmp_path):
        with pytest.raises(FileExistsError):
            back_up(tmp_path / "journal.db", other)
    with pytest.raises(FileNotFoundError):
        back_up(tmp_path / "nowhere.db", tmp_path / "copy.db")


async def rolled_back(folder: Path) -> RunRef:
    """Leave a journal that was restored from a backup taken before a charge; returns the charge's run."""
    async with journal_in(folder) as journal:
        run = await next_attempt(journal)
        await ask(journal, step("before", run=run))
        back_up(folder / "journal.db", folder / "backup.db")
        assert await ask(journal, step("charge", run=run)) == ("executed", 1)
        assert await ask(journal, step("order", key="order-7")) == ("executed", 0)
        await journal.note_head()
    (folder / "backup.db").replace(folder / "journal.db")
    return run


@pytest.mark.requirement("DUR-24")
async def test_a_restored_backup_is_noticed_and_older_once_steps_are_held(tmp_path: Path) -> None:
    run = await rolled_back(tmp_path)
    async with journal_in(tmp_path) as journal:
        assert await journal.rolled_back() is not None
        for lost in (step("charge", run=run), step("order", key="order-7")):
            first = await journal.begin(intent(lost))
            assert isinstance(first, Held)
            assert await journal.begin(intent(lost)) == first
        assert await ask(journal, step("before", run=run)) == ("replayed", 1)
        assert await ask(journal, step("read", run=run, effect="safe")) == ("executed", 1)
        # what nobody can have executed before is not held
        assert await ask(journal, step("charge", run=await next_attempt(journal))) == ("executed", 1)
        assert await ask(journal, step("no identity")) == ("executed", 1)
    assert verify_database(tmp_path / "journal.db").ok


@pytest.mark.requirement("DUR-24")
async def test_an_accepted_past_holds_nothing_more_but_what_is_held(tmp_path: Path) -> None:
    run = await rolled_back(tmp_path)
    async with journal_in(tmp_path) as journal:
        held = await journal.begin(intent(step("charge", run=run)))
        assert await journal.accept_past(())
        assert not await journal.accept_past(())
        assert await journal.begin(intent(step("charge", run=run))) == held
        assert await ask(journal, step("order", key="order-7")) == ("executed", 0)
        assert await journal.resolve(held.id if isinstance(held, Held) else "", "execute", None, ()) == "held"
        assert (await begun(journal, intent(step("charge", run=run)))).attempt == 2


@pytest.mark.requirement("DUR-24")
async def test_a_journal_that_only_restarts_has_lost_nothing(tmp_path: Path) -> None:
    async with journal_in(tmp_path) as journal:
        await ask(journal, step("order", key="order-7"))
        await journal.note_head()
        await ask(journal, step("order", key="order-8"))
    for _ in range(2):
        async with journal_in(tmp_path) as journal:
            assert await journal.rolled_back() is None
            await journal.note_head()


@pytest.mark.requirement("DUR-24")
async def test_an_unreadable_head_and_a_removed_journal_hold_too(tmp_path: Path) -> None:
    async with journal_in(tmp_path) as journal:
        await journal.note_head()
    (tmp_path / "journal.db").unlink()
    async with journal_in(tmp_path) as journal:
        assert isinstance(await journal.begin(intent(step("order", key="order-7"))), Held)
        await journal.accept_past(())
        await journal.note_head()
    head_path(tmp_path / "journal.db").write_text("{", encoding="utf-8")
    async with journal_in(tmp_path, KEYRING) as journal:
        assert await journal.rolled_back() is not None


@pytest.mark.requirement("DUR-24")
async def test_a_doubt_from_before_stays_a_doubt(tmp_path: Path) -> None:
    async with journal_in(tmp_path) as journal:
        run = await next_attempt(journal)
        await begun(journal, intent(step("charge", run=run)))
        back_up(tmp_path / "journal.db", tmp_path / "backup.db")
        await journal.note_head()
    (tmp_path / "backup.db").replace(tmp_path / "journal.db")
    async with journal_in(tmp_path) as journal:
        assert isinstance(await journal.begin(intent(step("charge", run=run))), InDoubt)
