"""A store with checkpoints, and somebody who has its file in hand."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from durable.chain import Chain, read_links
from durable.checkpoint import SigningKey, read_public_key
from durable.sqlite import open_sqlite
from durable.verification import Witnesses, verify_database
from gateway.checkpoints import Checkpoints
from tests.durable.steps import KEYRING

if TYPE_CHECKING:
    from pathlib import Path

    from durable.store import Store
    from durable.verification import Verification

TRIGGERS = "DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_deleted;"


def record(number: int, **more: object) -> dict[str, object]:
    return {"event": "outcome", "audit": f"a{number}", "decision": "allow", "principal": "agent:acme/billing", **more}


async def checkpoints_of(store: Store, folder: Path) -> Checkpoints:
    """Return checkpoints that nobody writes but the test."""
    made = Checkpoints(store, SigningKey.open(folder / "audit-key"), folder / "checkpoints.jsonl")
    await made.begin()
    return made


async def signed_journal(folder: Path, epochs: int = 2, records: int = 6) -> Path:
    """Return a journal of some epochs, each with a checkpoint before, among and after its records."""
    for epoch in range(epochs):
        store = await open_sqlite(folder / "journal.db", keyring=KEYRING)
        checkpoints = await checkpoints_of(store, folder)
        for number in range(records):
            await store.write_audit([record(10 * epoch + number)])
            if number == records // 2:
                await checkpoints.write()
        await checkpoints.aclose()
        await store.aclose()
    return folder / "journal.db"


def outside(folder: Path) -> Witnesses:
    """Return what an auditor keeps: the checkpoints, and whose key is trusted."""
    lines = (folder / "checkpoints.jsonl").read_text(encoding="utf-8").splitlines()
    return Witnesses(checkpoints=lines, keys=inside(folder).keys)


def inside(folder: Path) -> Witnesses:
    """Return what the gateway itself has: its own public key."""
    return Witnesses(keys=frozenset({read_public_key(folder / "audit-key.pub")}))


def tampered(path: Path, statements: str) -> Path:
    """Return a copy in which somebody with the file in hand has run `statements`."""
    copy = path.with_name("tampered.db")
    shutil.copy(path, copy)
    with closing(sqlite3.connect(copy)) as database:
        database.executescript(f"{TRIGGERS} {statements}")
    return copy


def rechained(path: Path, change: str, to: str, *, without_checkpoints: bool = False) -> Path:
    """Return a copy in which every hash was computed anew after `change` was written over."""
    links = list(read_links(path))
    chains: dict[str, Chain] = {}
    rows: list[tuple[str, int, str, bytes]] = []
    copy = path.with_name("rechained.db")
    shutil.copy(path, copy)
    with closing(sqlite3.connect(copy)) as database:
        database.executescript(TRIGGERS)
        database.execute("DELETE FROM audit")
        heads: dict[str, str] = {}
        for link in links:
            if without_checkpoints and '"event":"checkpoint"' in link.text:
                continue
            chain = chains.setdefault(link.chain, Chain(link.chain))
            rows.append(_again(chain, link.text.replace(change, to), heads))
        database.executemany("INSERT INTO audit (chain, number, record, hash) VALUES (?, ?, ?, ?)", rows)
        database.commit()
    return copy


def _again(chain: Chain, text: str, heads: dict[str, str]) -> tuple[str, int, str, bytes]:
    fields = json.loads(text)
    if "previous_head" in fields:
        fields["previous_head"] = heads[fields["previous_chain"]]
    link = chain.link(fields, time_microseconds=fields["time"])
    heads[link.chain] = link.hash.hex()
    return (link.chain, link.number, link.text, link.hash)


def found_in(path: Path, witnesses: Witnesses | None = None) -> Verification:
    return verify_database(path, witnesses)
