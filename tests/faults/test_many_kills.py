"""A journal killed again and again in the middle of a storm of writers, and one that two processes want."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from durable.journal import JournalRefused
from durable.records import CallFilter
from durable.sqlite import open_sqlite
from durable.verification import verify_database
from tests.faults.victim import KEYRING, outcome_of

pytestmark = pytest.mark.anyio

TOP = Path(__file__).parents[2]
KILLS = 8
ANSWERS_BEFORE_A_KILL = 150


def storm(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.victim", "storm", str(folder)], cwd=TOP, stdout=subprocess.PIPE, text=True
    )


def killed_in_mid_storm(folder: Path) -> list[list[str]]:
    """Return the answers that left the process: call id and name."""
    with storm(folder) as process:
        assert process.stdout is not None
        answers = [process.stdout.readline() for _ in range(ANSWERS_BEFORE_A_KILL)]
        process.send_signal(signal.SIGKILL)
        answers += process.stdout.readlines()
    assert process.returncode == -signal.SIGKILL
    return [line.split() for line in answers if line.endswith("\n")]


@pytest.mark.requirement("FAULT-02", "FAULT-04")
async def test_nothing_acknowledged_is_lost_in_many_kills_under_many_writers(tmp_path: Path) -> None:
    acknowledged: list[list[str]] = []
    for _ in range(KILLS):
        acknowledged += killed_in_mid_storm(tmp_path)
    assert len(acknowledged) >= KILLS * ANSWERS_BEFORE_A_KILL
    journal = await open_sqlite(tmp_path / "journal.db", keyring=KEYRING)
    for call_id, name in acknowledged:
        assert await journal.read_outcome(call_id) == outcome_of(name)
    assert await journal.list_calls(CallFilter(state="intent")) == []
    doubted = await journal.list_calls(CallFilter(state="doubt", limit=10_000))
    assert {call.id for call in doubted}.isdisjoint({call_id for call_id, _ in acknowledged})
    await journal.aclose()
    database = sqlite3.connect(tmp_path / "journal.db")
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()
    verified = verify_database(tmp_path / "journal.db")
    assert verified.ok, verified.problem
    assert verified.chains == KILLS + 1


@pytest.mark.requirement("FAULT-05")
async def test_a_second_process_on_the_file_refuses_to_start_until_the_first_is_dead(tmp_path: Path) -> None:
    with storm(tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        with pytest.raises(JournalRefused, match="another gateway holds this journal"):
            await open_sqlite(tmp_path / "journal.db", keyring=KEYRING)
        os.kill(process.pid, signal.SIGKILL)
        process.stdout.read()
    journal = await open_sqlite(tmp_path / "journal.db", keyring=KEYRING)
    await journal.aclose()
