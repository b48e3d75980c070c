"""Whatever is done to an audit is found and the record named; each case says what it is held against."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from durable.chain import Chain, Link, read_links
from durable.checkpoint import CheckpointInvalid, Head, SigningKey, read_checkpoint
from durable.sqlite import open_sqlite
from durable.verification import Witnesses, verify
from tests.audit.stand import checkpoints_of, found_in, inside, outside, rechained, record, signed_journal, tampered
from tests.durable.steps import KEYRING
from tests.gateway.running import new_folder

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

ON_FIRST = "WHERE chain = (SELECT min(chain) FROM audit)"


@pytest.fixture
async def journal(tmp_path: Path) -> Path:
    return await signed_journal(tmp_path)


@pytest.mark.requirement("AUD-02")
async def test_a_whole_audit_holds_and_every_chain_has_its_checkpoints(journal: Path) -> None:
    found = found_in(journal, outside(journal.parent))
    assert (found.ok, found.problem, found.chains, found.open) == (True, None, 2, found.open)
    assert (found.signed, found.outside) == (6, 6)
    assert len(found.keys) == 1


@pytest.mark.requirement("AUD-02")
async def test_the_second_record_of_a_chain_is_its_signed_checkpoint(journal: Path) -> None:
    links = list(read_links(journal))
    for chain in {link.chain for link in links}:
        first, second, *_ = (link for link in links if link.chain == chain)
        assert '"event":"opened"' in first.text
        assert '"event":"checkpoint"' in second.text


@pytest.mark.requirement("AUD-01")
@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE audit SET record = replace(record, 'a3', 'b3') WHERE record LIKE '%\"a3\"%'", "record 6 of chain"),
        ("DELETE FROM audit FIRST AND number = 5", "record 6 of chain"),
        ("DELETE FROM audit FIRST", "record 1 of chain"),
        ("UPDATE audit SET sequence = -1 FIRST AND number = 5", "record 5 of chain"),
        ("DELETE FROM audit FIRST AND number = 9", "record 10 of chain"),
    ],
    ids=["a byte", "the middle", "the first chain", "the order", "late in a chain"],
)
async def test_edits_deletions_and_reordering_need_no_checkpoint(journal: Path, statement: str, named: str) -> None:
    found = found_in(tampered(journal, statement.replace("FIRST", ON_FIRST) + ";"))
    assert not found.ok
    assert named in str(found.problem)


@pytest.mark.requirement("AUD-01")
async def test_a_tail_cut_off_needs_a_checkpoint_from_outside(journal: Path) -> None:
    copy = tampered(journal, "DELETE FROM audit WHERE sequence > (SELECT max(sequence) - 3 FROM audit);")
    assert found_in(copy, inside(journal.parent)).ok
    found = found_in(copy, outside(journal.parent))
    assert not found.ok
    assert "missing" in str(found.problem)
    assert "its tail was cut" in str(found.problem)


@pytest.mark.requirement("AUD-01")
async def test_a_chain_written_anew_contradicts_the_checkpoints_that_stand_in_it(journal: Path) -> None:
    found = found_in(rechained(journal, '"a3"', '"b3"'))
    assert not found.ok
    assert "was written anew" in str(found.problem)


@pytest.mark.requirement("AUD-01")
async def test_a_chain_written_anew_without_checkpoints_needs_the_gateways_public_key(journal: Path) -> None:
    copy = rechained(journal, '"a3"', '"b3"', without_checkpoints=True)
    assert found_in(copy).ok  # with nothing to hold it against nobody can tell
    for witnesses in (inside(journal.parent), outside(journal.parent)):
        found = found_in(copy, witnesses)
        assert not found.ok
        assert "the chain was written anew" in str(found.problem)
        assert str(found.problem).startswith("record ")


@pytest.mark.requirement("AUD-01")
async def test_who_has_database_and_configuration_but_not_the_signing_key_cannot_sign_it_anew(
    journal: Path, tmp_path: Path
) -> None:
    forger, previous, number = SigningKey.open(tmp_path / "forger"), "", 0
    chains: dict[str, Chain] = {}
    heads: dict[str, Head] = {}
    forged: list[Link] = []
    for link in read_links(journal):
        fields = json.loads(link.text.replace('"a3"', '"b3"'))
        if "previous_head" in fields:
            fields["previous_head"] = heads[fields["previous_chain"]].hash.hex()
        if fields["event"] == "checkpoint":
            number += 1
            signed = forger.sign("checkpoint", link.chain, number, previous, fields["time"], heads)
            previous, fields["line"] = signed.digest, signed.line
        made = chains.setdefault(link.chain, Chain(link.chain)).link(fields, time_microseconds=fields["time"])
        heads[link.chain] = Head(made.number, made.hash)
        forged.append(made)
    assert verify(forged).ok  # in itself it is whole: whose key it is has to be known
    for witnesses in (inside(journal.parent), outside(journal.parent)):
        found = verify(forged, witnesses)
        assert not found.ok
        assert f"signed by key {forger.id}, which is none of the trusted ones" in str(found.problem)
        assert str(found.problem).startswith("record 2 of chain ")


@pytest.mark.requirement("AUD-06")
async def test_no_words_in_a_record_make_a_second_line_of_an_export(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path / "journal.db", keyring=KEYRING)
    words = 'a\n{"chain":"i9/1","number":1}\r\u2028\u2029\x85\x1b[2J=cmd()'
    await store.write_audit([{"event": "denied", "reason": words}])
    await store.aclose()
    links = list(read_links(tmp_path / "journal.db"))
    assert [len(link.text.splitlines()) for link in links] == [1] * len(links)
    assert json.loads(links[-1].text)["reason"] == words
    assert verify(links).ok


@pytest.mark.requirement("AUD-01")
async def test_a_database_put_in_the_place_of_another_is_signed_by_somebody_else(journal: Path, tmp_path: Path) -> None:
    other = await signed_journal(new_folder(tmp_path / "other"))
    assert found_in(other, inside(other.parent)).ok
    found = found_in(other, inside(journal.parent))
    assert not found.ok
    assert "which is none of the trusted ones" in str(found.problem)
    theirs = Witnesses(checkpoints=outside(journal.parent).checkpoints)
    assert "missing with its whole chain" in str(found_in(other, theirs).problem)


@pytest.mark.requirement("AUD-01")
async def test_two_writers_of_one_chain_are_refused_by_the_store_and_found_in_a_copy(journal: Path) -> None:
    links = list(read_links(journal))
    last = [link for link in links if link.chain == links[-1].chain][-1]
    with closing(sqlite3.connect(journal)) as database, pytest.raises(sqlite3.IntegrityError):
        database.execute(
            "INSERT INTO audit (chain, number, record, hash) VALUES (?, ?, ?, ?)",
            (last.chain, last.number, last.text, last.hash),
        )
    second = Chain(last.chain)
    second.back_to((links[-2].number, links[-2].hash))
    forked = second.link({"event": "denied"}, time_microseconds=1)
    found = verify([*links, forked])
    assert not found.ok
    assert str(found.problem).startswith(f"record {forked.number} of chain {last.chain}: expected number")


@pytest.mark.requirement("AUD-01")
async def test_checkpoints_left_out_changed_or_signed_by_another_are_named(journal: Path, tmp_path: Path) -> None:
    lines = list(outside(journal.parent).checkpoints)
    missing = found_in(journal, Witnesses(checkpoints=[lines[0], *lines[2:]]))
    assert "the checkpoint in line 2 does not follow" in str(missing.problem)
    changed = lines[1].replace('"number":2', '"number":9')
    assert "the checkpoint in line 2: its signature does not hold" in str(
        found_in(journal, Witnesses(checkpoints=[lines[0], changed])).problem
    )
    mine = SigningKey.open(tmp_path / "mine")
    said = read_checkpoint(lines[0])
    forged = mine.sign("checkpoint", said.chain, 1, "", said.time, said.chains)
    found = found_in(journal, Witnesses(checkpoints=[forged.line], keys=inside(journal.parent).keys))
    assert f"signed by key {mine.id}, which is none of the trusted ones" in str(found.problem)


@pytest.mark.requirement("AUD-02")
async def test_a_checkpoint_is_nothing_but_one_line_with_a_signature_that_holds(tmp_path: Path) -> None:
    for line in ("", "{}", '{"checkpoint":{},"public_key":"","signature":""}', "[1]", '{"checkpoint":1}'):
        with pytest.raises(CheckpointInvalid):
            read_checkpoint(line)
    (tmp_path / "bad").write_text("no key", encoding="utf-8")
    with pytest.raises(CheckpointInvalid, match="expected a private key"):
        SigningKey.open(tmp_path / "bad")
    assert (SigningKey.open(tmp_path / "k").id, (tmp_path / "k").stat().st_mode & 0o777) == (
        SigningKey.open(tmp_path / "k").id, 0o600,
    )  # fmt: skip


@pytest.mark.requirement("AUD-02")
async def test_half_a_line_that_a_crash_left_does_not_spoil_the_next_checkpoint(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path / "journal.db", keyring=KEYRING)
    made = await checkpoints_of(store, tmp_path)
    file = tmp_path / "checkpoints.jsonl"
    file.write_text(file.read_text(encoding="utf-8") + '{"checkpoint":{"cha', encoding="utf-8")
    await store.write_audit([record(1)])
    await made.write()
    lines = file.read_text(encoding="utf-8").splitlines()
    assert [read_checkpoint(line).number for line in (lines[0], lines[2])] == [1, 2]
    assert await made.write() is None  # nothing has happened since
    await store.aclose()


@pytest.mark.requirement("AUD-01")
def test_a_checkpoint_of_another_chain_put_among_the_records_is_named(tmp_path: Path) -> None:
    key, chain = SigningKey.open(tmp_path / "key"), Chain("i1/1")
    links = [chain.link({"event": "opened"}, time_microseconds=0)]
    stolen = key.sign("checkpoint", "i2/1", 1, "", 0, {})
    links.append(chain.link({"event": "checkpoint", "line": stolen.line}, time_microseconds=1))
    found = verify(links)
    assert "its checkpoint is of another chain or key" in str(found.problem)
    assert verify([Link("i1/1", 1, links[0].text, links[0].hash)]).ok
