"""`oncegate audit` on a real journal file, whole and tampered with."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from durable.chain import GENESIS, Chain
from durable.sqlite_schema import migrate
from tests.cli.stand import Stand, oncegate

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A journal's file with five audit records."""
    Stand(tmp_path).write_config()
    path = tmp_path / "oncegate.db"
    chain = Chain("instance_1.1")
    with closing(sqlite3.connect(path)) as database:
        migrate(database)
        for number in range(5):
            link = chain.link({"event": "decision", "rule": f"line-{number}"}, time_microseconds=number)
            row = (link.chain, link.number, link.text, link.hash)
            database.execute("INSERT INTO audit (chain, number, record, hash) VALUES (?, ?, ?, ?)", row)
        database.commit()
    return path


def flip(path: Path, before: bytes, after: bytes) -> None:
    content = path.read_bytes()
    assert content.count(before) == 1
    path.write_bytes(content.replace(before, after))


@pytest.mark.requirement("CLI-21")
def test_an_untouched_audit_is_whole(journal: Path) -> None:
    done = oncegate(journal.parent, "audit", "verify")
    assert (done.returncode, done.stderr) == (0, "")
    assert "5" in done.stdout
    answer = json.loads(oncegate(journal.parent, "audit", "verify", "--json").stdout)
    assert answer | {"ok": True, "records": 5, "chains": 1, "problem": None} == answer


@pytest.mark.requirement("CLI-21")
def test_one_changed_byte_in_a_copy_is_found_and_its_record_named(journal: Path) -> None:
    copy = journal.with_name("copy.db")
    copy.write_bytes(journal.read_bytes())
    flip(copy, b"line-3", b"line-7")
    found = oncegate(journal.parent, "audit", "verify", "--db", str(copy))
    assert found.returncode == 1
    assert "record 4 of chain instance_1.1" in found.stderr
    assert oncegate(journal.parent, "audit", "verify", "--db", str(copy), "--json").returncode == 1
    assert oncegate(journal.parent, "audit", "verify").returncode == 0


@pytest.mark.requirement("CLI-21")
def test_a_record_that_cannot_even_be_read_is_found_and_not_quoted(journal: Path) -> None:
    flip(journal, b"line-3", b"line-\xff")
    found = oncegate(journal.parent, "audit", "verify")
    assert found.returncode == 1
    assert "chain instance_1.1" in found.stderr
    assert not {"line-", "Traceback"} & set(found.stderr.split())
    assert oncegate(journal.parent, "audit", "export").returncode == 1


@pytest.mark.requirement("CLI-21")
def test_what_is_no_journal_is_said_so(tmp_path: Path) -> None:
    Stand(tmp_path).write_config()
    assert oncegate(tmp_path, "audit", "verify").returncode == 2
    (tmp_path / "notes.txt").write_text("no journal at all " * 100)
    found = oncegate(tmp_path, "audit", "verify", "--db", "notes.txt")
    assert found.returncode == 1
    assert found.stderr == "error: `notes.txt`: cannot be read as a journal\n"


@pytest.mark.requirement("CLI-22")
def test_an_export_carries_every_record_as_it_was_hashed(journal: Path) -> None:
    done = oncegate(journal.parent, "audit", "export")
    lines = done.stdout.splitlines()
    assert [json.loads(line)["record"]["rule"] for line in lines] == [f"line-{number}" for number in range(5)]
    head = GENESIS
    for line in lines:
        text = line.partition('"record":')[2][:-1]
        head = hashlib.sha256(b"\x00" + head + text.encode()).digest()
        assert json.loads(line)["hash"] == head.hex()
