"""What stands in the file: sealed, bound to its place, readable after a rotation; and which files are refused."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from durable.journal import JournalRefused, JournalUnavailable
from durable.seal import Keyring, Unsealable
from durable.sqlite import open_sqlite
from durable.sqlite_writer import WAL_BYTES_MAX
from durable.step import Intent, Owner, Replay, Settlement, VaultEntry
from tests.durable.steps import KEYRING, OWNER, ask, begun, intent, journal_in, next_attempt, outcome, step

if TYPE_CHECKING:
    from pathlib import Path

    from durable.store import Store

pytestmark = pytest.mark.anyio
OLD, NEW = bytes(range(32)), bytes(range(32, 64))
PLAIN = b"the customer is <PERSON_1>"


def entry(token: str, original: str = "Ann Example", scope: str = "run_1") -> VaultEntry:
    return VaultEntry(scope=scope, token=token, entity="PERSON", original=original)


def content_of(folder: Path) -> bytes:
    files = [folder / f"journal.db{ending}" for ending in ("", "-wal")]
    return b"".join(path.read_bytes() for path in files)


def modes_of(folder: Path) -> set[int]:
    return {path.stat().st_mode & 0o777 for path in folder.iterdir()}


async def write_everything(journal: Store) -> None:
    run = await next_attempt(journal)
    wanted = Intent(step=step(run=run, key="order-7"), request=PLAIN, vault=(entry("<PERSON_1>"),))
    began = await begun(journal, wanted)
    found = outcome(PLAIN.decode())
    await journal.settle(began, Settlement(outcome=found, vault=(entry("<PERSON_2>", "Bob Example"),)))
    await journal.close_run(run.id, 1, "finished", PLAIN)


@pytest.mark.requirement("DUR-11")
async def test_no_body_original_or_key_stands_in_the_file_as_it_is(tmp_path: Path) -> None:
    async with journal_in(tmp_path) as journal:
        await write_everything(journal)
        keys = await journal.run_keys(OWNER, None)
        content = content_of(tmp_path)
        for secret in (PLAIN, b"Ann Example", b"Bob Example", keys.fingerprint, keys.placeholder, OLD):
            assert secret not in content


@pytest.mark.requirement("DUR-11")
async def test_only_its_owner_may_read_the_files(tmp_path: Path) -> None:
    async with journal_in(tmp_path) as journal:
        await write_everything(journal)
        assert modes_of(tmp_path) == {0o600}


@pytest.mark.requirement("DUR-11")
async def test_a_sealed_value_moved_to_another_place_is_not_read(tmp_path: Path) -> None:
    async with journal_in(tmp_path) as journal:
        first = await begun(journal, intent(step(key="a")))
        second = await begun(journal, intent(step(key="b")))
        for began, text in ((first, "1"), (second, "2")):
            await journal.settle(began, Settlement(outcome=outcome(text)))
    with closing(sqlite3.connect(tmp_path / "journal.db")) as database:
        database.execute(
            "UPDATE call SET sealed_outcome = (SELECT sealed_outcome FROM call WHERE id = ?) WHERE id = ?",
            (first.id, second.id),
        )
        database.commit()
    async with journal_in(tmp_path) as journal:
        assert await journal.read_outcome(first.id) == outcome("1")
        with pytest.raises(Unsealable, match="changed or moved"):
            await journal.read_outcome(second.id)


@pytest.mark.requirement("DUR-11")
async def test_the_vault_gives_originals_of_its_scope_and_no_other(tmp_path: Path) -> None:
    async with journal_in(tmp_path) as journal:
        wanted = Intent(step=step(key="a"), request=b"{}", vault=(entry("<PERSON_1>"), entry("<PERSON_2>", "Bob")))
        await begun(journal, wanted)
        assert await journal.originals("run_1", ["<PERSON_2>", "<PERSON_9>"]) == {
            "<PERSON_2>": entry("<PERSON_2>", "Bob")
        }
        assert await journal.originals("run_2", ["<PERSON_1>"]) == {}


@pytest.mark.requirement("DUR-11")
async def test_what_is_known_instead_of_begun_leaves_nothing_in_the_vault(tmp_path: Path) -> None:
    async with journal_in(tmp_path) as journal:
        await begun(journal, intent(step(key="a")))
        await journal.begin(Intent(step=step(key="a"), request=b"{}", vault=(entry("<PERSON_1>"),)))
        assert await journal.originals("run_1", ["<PERSON_1>"]) == {}


@pytest.mark.requirement("DUR-11")
async def test_keys_are_kept_and_differ_by_run_owner_and_use(tmp_path: Path) -> None:
    async with journal_in(tmp_path) as journal:
        runs = [(await next_attempt(journal)).id for _ in range(2)]
        owners = [OWNER, Owner("acme", "sales"), Owner("acme", "billing", "ann"), Owner("vendors", "billing")]
        before = [await journal.run_keys(OWNER, run) for run in runs]
        before += [await journal.run_keys(owner, None) for owner in owners]
        assert len({key for keys in before for key in (keys.fingerprint, keys.placeholder)}) == 2 * len(before)
        with pytest.raises(LookupError):
            await journal.run_keys(OWNER, "run_nowhere")
    async with journal_in(tmp_path) as journal:
        after = [await journal.run_keys(OWNER, run) for run in runs]
        assert after + [await journal.run_keys(owner, None) for owner in owners] == before


@pytest.mark.requirement("DUR-12")
async def test_after_a_rotation_the_old_is_read_and_the_new_written(tmp_path: Path) -> None:
    async with journal_in(tmp_path, Keyring((OLD,))) as journal:
        assert await ask(journal, step(key="old")) == ("executed", 0)
    async with journal_in(tmp_path, Keyring((NEW, OLD))) as journal:
        assert isinstance(await journal.look_up(step(key="old")), Replay)
        run = await next_attempt(journal)
        assert await ask(journal, step(key="new", run=run)) == ("executed", 0)
    async with journal_in(tmp_path, Keyring((NEW,))) as journal:
        assert isinstance(await journal.look_up(step(key="new", run=run)), Replay)
        with pytest.raises(Unsealable, match="was a key taken off the list"):
            await journal.look_up(step(key="old"))


@pytest.mark.requirement("DUR-12")
def test_a_key_ring_needs_whole_secrets() -> None:
    for secrets in ((), (b"short",), (OLD, b"")):
        with pytest.raises(ValueError, match="32 bytes"):
            Keyring(secrets)
    with pytest.raises(Unsealable):
        Keyring((OLD,)).unseal("body", "call/1/request", b"")
    with pytest.raises(Unsealable):
        Keyring((OLD,)).unseal("vault", "place", Keyring((OLD,)).seal("body", "place", b"x"))


@pytest.mark.requirement("DUR-13")
async def test_a_newer_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    async with journal_in(tmp_path):
        pass
    with closing(sqlite3.connect(tmp_path / "journal.db")) as database:
        database.execute("PRAGMA user_version = 99")
    for _ in range(2):
        with pytest.raises(JournalRefused, match="schema version 99"):
            await open_sqlite(tmp_path / "journal.db", keyring=KEYRING)


@pytest.mark.requirement("DUR-13")
async def test_what_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("no journal " * 500)
    with pytest.raises(JournalRefused, match="expected a journal"):
        await open_sqlite(tmp_path / "notes.db", keyring=KEYRING)
    with closing(sqlite3.connect(tmp_path / "other.db")) as database:
        database.execute("CREATE TABLE invoice (id)")
    with pytest.raises(JournalRefused, match="another program's database"):
        await open_sqlite(tmp_path / "other.db", keyring=KEYRING)
    with pytest.raises(JournalRefused, match="cannot be opened"):
        await open_sqlite(tmp_path / "no folder" / "journal.db", keyring=KEYRING)


@pytest.mark.requirement("DUR-13")
async def test_a_second_journal_on_the_file_is_refused(tmp_path: Path) -> None:
    async with journal_in(tmp_path):
        with pytest.raises(JournalRefused, match="one process per file"):
            await open_sqlite(tmp_path / "journal.db", keyring=KEYRING)


@pytest.mark.requirement("DUR-14")
async def test_a_closed_journal_takes_nothing(tmp_path: Path) -> None:
    async with journal_in(tmp_path) as journal:
        began = await begun(journal, intent(step(key="a")))
    with pytest.raises(JournalUnavailable, match="closed"):
        await journal.settle(began, Settlement(outcome=outcome()))
    with pytest.raises(JournalUnavailable, match="closed"):
        await journal.write_audit([{"event": "denied"}])
    await journal.aclose()


@pytest.mark.requirement("DUR-14")
async def test_one_who_writes_nonsense_takes_nobody_else_with_him(tmp_path: Path) -> None:
    async with journal_in(tmp_path) as journal:
        began = await begun(journal, intent(step(key="a")))
        nonsense = journal.write_audit([{"cost": 0.5}])
        settled = journal.settle(began, Settlement(outcome=outcome(), audit=({"event": "outcome"},)))
        gathered = await asyncio.gather(nonsense, settled, return_exceptions=True)
        assert isinstance(gathered[0], TypeError)
        assert gathered[1] is True
        assert isinstance(await journal.look_up(step(key="a")), Replay)


def log_bytes(folder: Path) -> int:
    return (folder / "journal.db-wal").stat().st_size


@pytest.mark.requirement("DUR-18")
async def test_the_write_ahead_log_is_taken_back_when_it_has_grown(tmp_path: Path) -> None:
    async with journal_in(tmp_path) as journal:
        large = outcome("x" * (4 << 20))
        for number in range(WAL_BYTES_MAX // (4 << 20) + 1):
            began = await begun(journal, intent(step(key=f"{number}")))
            await journal.settle(began, Settlement(outcome=large))
        async with asyncio.timeout(60):
            # each write lets the writer look at the log once more
            while log_bytes(tmp_path) > WAL_BYTES_MAX:
                await journal.write_audit([{"event": "denied"}])
        assert await ask(journal, step(key="0"), delivered=None) == ("replayed", 0)
