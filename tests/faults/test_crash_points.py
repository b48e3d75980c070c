"""Real processes killed at each journal commit: `once` never twice, nothing acknowledged lost, the rest in doubt."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from durable.records import CallFilter
from durable.sqlite import open_sqlite
from durable.verification import verify_database
from tests.faults.victim import CALLS, FATAL_CALL, KEYRING, outcome_of

pytestmark = pytest.mark.anyio

TOP = Path(__file__).parents[2]
NAMES = [f"call-{number}" for number in range(CALLS)]
FATAL = NAMES[FATAL_CALL]
#: what the interrupted call is when the process died there
FOUND = {
    "before_intent_commit": "nothing",
    "after_intent_commit": "doubt",
    "after_effect": "doubt",
    "before_outcome_commit": "doubt",
    "after_outcome_commit": "done",
}


def play(folder: Path, effect: str, addressing: str, point: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.faults.victim", "story", str(folder), effect, addressing, point],
        cwd=TOP, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def lines(path: Path) -> list[list[str]]:
    return [line.split(" ", 1) for line in path.read_text().splitlines()] if path.exists() else []


def retold(folder: Path, effect: str, addressing: str) -> dict[str, str]:
    done = play(folder, effect, addressing, "never")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.requirement("FAULT-01", "FAULT-02", "FAULT-03")
@pytest.mark.parametrize("addressing", ["key", "fingerprint"])
@pytest.mark.parametrize("effect", ["safe", "once"])
@pytest.mark.parametrize("point", FOUND)
async def test_a_gateway_killed_at_any_commit_keeps_its_promises(
    tmp_path: Path, point: str, effect: str, addressing: str
) -> None:
    killed = play(tmp_path, effect, addressing, point)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    acknowledged = dict(lines(tmp_path / "answers"))
    effects_before = Counter(name for name, _ in lines(tmp_path / "effects"))
    came_to = retold(tmp_path, effect, addressing)
    effects = Counter(name for name, _ in lines(tmp_path / "effects"))
    upstream_keys = {tuple(line) for line in lines(tmp_path / "effects")}
    # one key a call, however often it was executed
    assert len(upstream_keys) == len(effects)
    for name in acknowledged:
        assert came_to[name] == "replayed"
        assert effects[name] == 1
    assert set(acknowledged) == set(NAMES[:FATAL_CALL])
    if effect == "once":
        assert max(effects.values()) == 1
    expected = {
        "nothing": "executed",
        "done": "replayed",
        "doubt": "InDoubt" if effect == "once" else "executed",
    }[FOUND[point]]
    assert came_to[FATAL] == expected
    if expected == "executed":
        assert effects[FATAL] == effects_before[FATAL] + 1
    assert [came_to[name] for name in NAMES[FATAL_CALL + 1 :]] == ["executed"] * (CALLS - FATAL_CALL - 1)
    await assert_listed(tmp_path, in_doubt=expected == "InDoubt")


async def assert_listed(folder: Path, *, in_doubt: bool) -> None:
    journal = await open_sqlite(folder / "journal.db", keyring=KEYRING)
    calls = {call.id: call for call in await journal.list_calls(CallFilter())}
    answers = [outcome_of(name) for name in NAMES]
    doubted = [call for call in calls.values() if call.state == "doubt"]
    for call in calls.values():
        if call.state == "done":
            found = await journal.read_outcome(call.id)
            assert found is not None
            assert found in answers
    await journal.aclose()
    assert len(calls) == CALLS
    assert len(doubted) == int(in_doubt)
    assert verify_database(folder / "journal.db").ok
