"""The audit's chain: whatever is done to a record is found and named, and nothing of it is quoted."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable.chain import Chain, Link, read_links
from durable.journal import JournalRefused
from durable.verification import verify, verify_database
from tests.durable.steps import ask, journal_in, step

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "planted-secret"


def links(count: int, chain: Chain | None = None, **first: object) -> list[Link]:
    chain = chain or Chain("i1/1")
    return [chain.link({"event": f"e{n}", **(first if n == 0 else {})}, time_microseconds=n) for n in range(count)]


async def journaled(folder: Path, epochs: int = 1) -> Path:
    for epoch in range(epochs):
        async with journal_in(folder) as journal:
            await journal.write_audit([{"event": "denied", "note": f"{SECRET}-{epoch}-{n}"} for n in range(4)])
    return folder / "journal.db"


def altered(path: Path, statement: str) -> Path:
    """Return a copy in which somebody with the file in hand has run `statement`."""
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    with closing(sqlite3.connect(copy)) as database:
        database.executescript(
            f"DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_deleted; {statement}; VACUUM"
        )
    return copy


@pytest.mark.requirement("DUR-15")
@given(count=st.integers(1, 12), data=st.data())
def test_any_single_record_changed_missing_or_swapped_is_named(count: int, data: st.DataObject) -> None:
    whole = links(count)
    assert verify(whole).ok
    place = data.draw(st.integers(0, count - 1))
    one = whole[place]
    at = data.draw(st.integers(0, len(one.text) - 1))
    other = chr((ord(one.text[at]) + data.draw(st.integers(1, 90)) - 32) % 95 + 32)
    changed = Link(one.chain, one.number, one.text[:at] + other + one.text[at + 1 :], one.hash)
    if changed != one:
        found = verify([*whole[:place], changed, *whole[place + 1 :]])
        assert not found.ok
        assert found.problem is not None
        assert found.problem.startswith(f"record {place + 1} of chain i1/1")
    if place < count - 1:
        assert not verify([*whole[:place], *whole[place + 1 :]]).ok
        assert not verify([*whole[:place], whole[place + 1], one, *whole[place + 2 :]]).ok


@pytest.mark.requirement("DUR-15")
def test_a_chain_names_the_head_of_the_one_before_it_also_of_another_instance() -> None:
    first = links(3)
    second = links(2, Chain("i2/1"), previous_head=first[-1].hash.hex())
    found = verify([*first, *second])
    assert (found.ok, found.records, found.chains) == (True, 5, 2)
    for damaged in ([*first[:-1], *second], second, [*first, *links(2, Chain("i2/1"))]):
        problem = verify(damaged).problem
        assert problem is not None
        assert problem.startswith("record 1 of chain i2/1: it does not continue the chain before it")


@pytest.mark.requirement("DUR-15")
def test_a_float_has_no_canonical_text_and_is_refused() -> None:
    with pytest.raises(TypeError, match="float"):
        Chain("i1/1").link({"usage": {"cost": [1, 0.5]}}, time_microseconds=0)


@pytest.mark.anyio
@pytest.mark.requirement("DUR-15")
@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE audit SET record = replace(record, 'denied', 'allowed') WHERE number = 3", "record 3 of chain"),
        ("DELETE FROM audit WHERE number = 3", "record 4 of chain"),
        ("UPDATE audit SET hash = zeroblob(32) WHERE number = 3", "record 3 of chain"),
        ("UPDATE audit SET sequence = 100 WHERE number = 3", "record 4 of chain"),
        ("UPDATE audit SET record = CAST(x'ff41' AS TEXT) WHERE number = 3", "the record after record 2 of chain"),
    ],
)
async def test_what_somebody_does_to_the_file_is_found_and_not_quoted(
    tmp_path: Path, statement: str, problem: str
) -> None:
    path = await journaled(tmp_path)
    assert verify_database(path).ok
    found = verify_database(altered(path, statement))
    assert not found.ok
    assert found.problem is not None
    assert found.problem.startswith(problem)
    assert SECRET not in found.problem


@pytest.mark.anyio
@pytest.mark.requirement("DUR-15")
async def test_one_byte_flipped_in_a_copy_is_found_in_its_record(tmp_path: Path) -> None:
    path = await journaled(tmp_path)
    whole = path.read_bytes()
    place = whole.index(f"{SECRET}-0-2".encode())
    copy = tmp_path / "copy.db"
    for bit in range(8):
        copy.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
        found = verify_database(copy)
        assert not found.ok
        assert found.problem is not None
        # the fourth record: one for the opening, then the third of those written
        assert found.problem.startswith(("record 4 of chain", "the record after record 3 of chain"))
        assert SECRET[1:] not in found.problem


@pytest.mark.anyio
@pytest.mark.requirement("DUR-15")
async def test_whatever_byte_of_the_file_is_damaged_nothing_worse_than_a_verdict_comes_of_it(tmp_path: Path) -> None:
    whole = (await journaled(tmp_path)).read_bytes()
    copy = tmp_path / "copy.db"
    for place in range(0, len(whole), 997):
        copy.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            problem = verify_database(copy).problem or ""
        except JournalRefused as error:
            problem = str(error)
        assert SECRET not in problem


@pytest.mark.anyio
@pytest.mark.requirement("DUR-15")
async def test_every_epoch_is_a_chain_that_continues_the_last(tmp_path: Path) -> None:
    path = await journaled(tmp_path, epochs=3)
    found = verify_database(path)
    assert (found.ok, found.chains, found.records) == (True, 3, 15)
    cut = verify_database(altered(path, "DELETE FROM audit WHERE number = 5 AND chain LIKE '%/2'"))
    assert cut.problem is not None
    assert "it does not continue the chain before it" in cut.problem


@pytest.mark.anyio
@pytest.mark.requirement("DUR-15")
async def test_audit_is_read_beside_the_gateway_that_writes_it(tmp_path: Path) -> None:
    async with journal_in(tmp_path) as journal:
        await ask(journal, step(key="order-7"))
        assert [link.number for link in read_links(tmp_path / "journal.db")] == [1, 2]


@pytest.mark.anyio
@pytest.mark.requirement("DUR-15")
@pytest.mark.parametrize("statement", ["UPDATE audit SET record = ''", "DELETE FROM audit"])
async def test_the_file_itself_refuses_to_change_audit_records(tmp_path: Path, statement: str) -> None:
    path = await journaled(tmp_path)
    with (
        closing(sqlite3.connect(path)) as database,
        pytest.raises(sqlite3.IntegrityError, match="audit records are never"),
    ):
        database.execute(statement)


@pytest.mark.requirement("DUR-15")
def test_what_is_no_journal_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        verify_database(tmp_path / "nothing.db")
    (tmp_path / "notes #1?.txt").write_text("no journal " * 200)
    with pytest.raises(JournalRefused, match="cannot be read as a journal"):
        verify_database(tmp_path / "notes #1?.txt")
