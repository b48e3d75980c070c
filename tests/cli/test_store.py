"""`oncegate store` and what `doctor` says of a store: migrated, copied, rolled back, damaged."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from durable.seal import Keyring
from durable.sqlite import open_sqlite
from durable.step import RunRef
from gateway.admin.parts import REASON_CHARACTERS_MAX
from gateway.cli import store_checks
from gateway.config import load
from tests.cli.ledger import Ledger
from tests.cli.stand import oncegate
from tests.cli.test_admin_api import ask as ask_admin
from tests.cli.test_doctor import write, write_key
from tests.durable.steps import OWNER, ask, begun, intent, step

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from durable.store import Store

MODEL = 'models: {m: {provider: openai, url: "http://127.0.0.1:9/v1"}}'


def prepared(folder: Path) -> Path:
    write_key(folder)
    return write(folder, MODEL)


def with_store(folder: Path, secrets: tuple[bytes, ...] = (bytes(32),)) -> Coroutine[object, object, Store]:
    return open_sqlite(folder / "oncegate.db", keyring=Keyring(secrets))


async def leave_a_doubt(folder: Path) -> None:
    store = await with_store(folder)
    run = await store.open_run(OWNER, None, {})
    began = await begun(store, intent(step("lost", run=RunRef(run.id, 1))))
    await store.doubt(began, "cut", ())
    await ask(store, step("order", key="order-7"))
    await store.note_head()
    await store.aclose()


def said(folder: Path) -> list[str]:
    return [f"{check.health}: {check.finding}" for check in store_checks.journal(load(folder / "oncegate.yaml"))]


@pytest.mark.requirement("CLI-30")
def test_a_backup_is_made_once_and_said_with_its_size(tmp_path: Path) -> None:
    prepared(tmp_path)
    assert "there is no journal" in oncegate(tmp_path, "store", "backup", "copy.db").stderr
    asyncio.run(leave_a_doubt(tmp_path))
    made = oncegate(tmp_path, "store", "backup", "copy.db", "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout) == {"file": "copy.db", "bytes": (tmp_path / "copy.db").stat().st_size}
    again = oncegate(tmp_path, "store", "backup", "copy.db")
    assert again.returncode == 2
    assert "name a new file" in again.stderr


@pytest.mark.requirement("CLI-30")
def test_a_store_is_migrated_by_itself(tmp_path: Path) -> None:
    prepared(tmp_path)
    migrated = oncegate(tmp_path, "store", "migrate", "--json")
    assert migrated.returncode == 0, migrated.stderr
    assert json.loads(migrated.stdout)["schema"] >= 4
    assert said(tmp_path) == [f"ok: schema {json.loads(migrated.stdout)['schema']}, 1 instance(s) alive"]


@pytest.mark.requirement("CLI-31")
def test_doctor_says_what_waits_in_the_store_and_what_is_wrong_with_it(tmp_path: Path) -> None:
    prepared(tmp_path)
    assert said(tmp_path) == []
    asyncio.run(leave_a_doubt(tmp_path))
    assert "warning: 1 call(s) in doubt, 0 held, the oldest for 0.0 h" in said(tmp_path)
    oncegate(tmp_path, "store", "backup", "copy.db")

    async def go_on() -> None:
        store = await with_store(tmp_path)
        await ask(store, step("order", key="order-8"))
        await store.note_head()
        await store.aclose()

    asyncio.run(go_on())
    (tmp_path / "copy.db").replace(tmp_path / "oncegate.db")
    asyncio.run(go_on())
    assert any(line.startswith("failure: the store was rolled back (2") for line in said(tmp_path))
    with (tmp_path / "oncegate.db").open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 4096 * 4)
    assert [line.partition(":")[0] for line in said(tmp_path)] == ["failure"]


@pytest.mark.requirement("CLI-31")
def test_doctor_says_which_secrets_cannot_go_yet(tmp_path: Path) -> None:
    prepared(tmp_path)
    asyncio.run(leave_a_doubt(tmp_path))
    (tmp_path / "new.key").write_text("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n")
    (tmp_path / "new.key").chmod(0o600)
    write(tmp_path, MODEL, "secret_key: [file:new.key, file:oncegate.key]")
    assert any("are sealed under an older `secret_key`" in line for line in said(tmp_path))


@pytest.mark.requirement("CLI-32")
@pytest.mark.anyio
async def test_accepting_a_rolled_back_store_needs_a_reason_and_is_audited() -> None:
    ledger = Ledger()
    answer = await ask_admin(
        ledger, "/api/v1/store/accept", method="POST", body={"reason": "looked through the ledger"}
    )
    assert (answer.status_code, answer.json()) == (200, {"accepted": False})
    assert ledger.audit[-1]["deed"] == "accept_store"
    assert ledger.audit[-1]["reason"] == "looked through the ledger"
    for reason in ("", "x" * (REASON_CHARACTERS_MAX + 1)):
        assert (
            await ask_admin(ledger, "/api/v1/store/accept", method="POST", body={"reason": reason})
        ).status_code == 422
