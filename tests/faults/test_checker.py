"""The checker can fail: each promise broken by hand, in a ledger, a log or a journal, is found."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.rig.checker import check

if TYPE_CHECKING:
    from collections.abc import Callable

Lines = list[dict[str, Any]]
World = dict[str, Lines]
TOP = Path(__file__).parents[2]


def sound() -> World:
    """Return a world in which every promise was kept: three calls done, one in doubt, one of a run."""
    ledger: Lines = []
    answers: Lines = []
    calls: Lines = []
    for who, what, effect, state in (
        ("billing", "pay", "once", "done"), ("billing", "put", "keyed", "done"), ("shipping", "pay", "once", "done"),
        ("billing", "look", "safe", "doubt"),
    ):  # fmt: skip
        name, key = f"{who}/{what}", f"key-{what}"
        receipt = f"{name}#1"
        ledger.append({"class": effect, "name": name, "key": f"up-{name}", "receipt": receipt, "repeat": False})
        asked = {"who": who, "what": what, "name": name, "key": key, "run": None}
        answers.append({"event": "asked", **asked, "receipt": None})
        if state == "done":
            answers.append({"event": "acknowledged", **asked, "receipt": receipt})
        calls.append({"agent": who, "key": key, "run": None, "resource": f"mcp/effects/tool/{what}", "effect": effect,
                      "state": state, "attempt": 1})  # fmt: skip
    ledger.append(
        {"class": "once", "name": "billing/run", "key": "up-run", "receipt": "billing/run#1", "repeat": False}
    )
    asked = {"who": "billing", "what": "pay", "name": "billing/run", "key": None, "run": "r1"}
    answers += [{"event": "asked", **asked, "receipt": None},
                {"event": "acknowledged", **asked, "receipt": "billing/run#1"}]  # fmt: skip
    calls.append({"agent": "billing", "key": None, "run": "r1", "resource": "mcp/effects/tool/pay", "effect": "once",
                  "state": "done", "attempt": 1})  # fmt: skip
    return {"ledger": ledger, "answers": answers, "calls": calls}


def twice(world: World) -> None:
    world["ledger"].append(deepcopy(world["ledger"][0]) | {"receipt": "billing/pay#2"})


def keyed_twice(world: World) -> None:
    world["ledger"].append(deepcopy(world["ledger"][1]) | {"receipt": "billing/put#2"})


def shared_upstream_key(world: World) -> None:
    world["ledger"][2]["key"] = world["ledger"][0]["key"]


def another_outcome(world: World) -> None:
    world["answers"][1]["receipt"] = "shipping/pay#1"


def answered_differently(world: World) -> None:
    world["ledger"][1]["repeat"] = False
    world["ledger"].append(deepcopy(world["ledger"][1]) | {"receipt": "billing/put#2", "repeat": True})
    world["answers"].append(deepcopy(world["answers"][3]) | {"receipt": "billing/put#2"})


def acknowledged_and_lost(world: World) -> None:
    world["calls"][0]["state"] = "doubt"


def row_gone(world: World) -> None:
    del world["calls"][1]


def happened_and_denied(world: World) -> None:
    world["calls"][3]["state"] = "released"


def left_in_flight(world: World) -> None:
    world["calls"][3]["state"] = "intent"


def done_that_never_happened(world: World) -> None:
    world["calls"][3]["state"] = "done"
    del world["ledger"][3]


def run_row_gone(world: World) -> None:
    del world["calls"][4]


def run_row_too_many(world: World) -> None:
    world["calls"].append(deepcopy(world["calls"][4]))


DOCTORED: dict[Callable[[World], None], str] = {
    twice: "A", keyed_twice: "B", shared_upstream_key: "B", another_outcome: "C", answered_differently: "D",
    acknowledged_and_lost: "D", row_gone: "D", happened_and_denied: "E", left_in_flight: "F",
    done_that_never_happened: "G", run_row_gone: "D", run_row_too_many: "G",
}  # fmt: skip


@pytest.mark.requirement("FAULT-12")
def test_the_checker_finds_nothing_in_a_world_where_every_promise_was_kept() -> None:
    found = check(**sound())
    assert found.broken == []
    assert (found.asked, found.acknowledged, found.effects, found.in_doubt) == (5, 4, 5, 1)


@pytest.mark.requirement("FAULT-12")
@pytest.mark.parametrize("doctor", DOCTORED, ids=lambda doctor: doctor.__name__)
def test_the_checker_finds_a_doctored_world_out(doctor: Callable[[World], None]) -> None:
    world = sound()
    doctor(world)
    assert DOCTORED[doctor] in {line[0] for line in check(**world).broken}


@pytest.mark.requirement("FAULT-12")
def test_the_checker_reads_files_and_says_with_its_status_that_a_promise_was_broken(tmp_path: Path) -> None:
    world = sound()
    for name in ("ledger", "answers"):
        (tmp_path / name).write_text("".join(json.dumps(line) + "\n" for line in world[name]) + "cut sho")
    database = sqlite3.connect(tmp_path / "journal.db")
    database.execute("CREATE TABLE call (agent, key, run, resource, effect, state, attempt)")
    database.executemany(
        "INSERT INTO call VALUES (:agent, :key, :run, :resource, :effect, :state, :attempt)", world["calls"]
    )
    database.commit()
    command = [sys.executable, "-m", "tests.faults.rig.checker", "--ledger", tmp_path / "ledger",
               "--answers", tmp_path / "answers", "--journal", str(tmp_path / "journal.db")]  # fmt: skip
    assert subprocess.run(command, cwd=TOP, check=False, capture_output=True).returncode == 0
    database.execute("UPDATE call SET state = 'intent' WHERE state = 'doubt'")
    database.commit()
    database.close()
    judged = subprocess.run(command, cwd=TOP, check=False, capture_output=True)
    assert judged.returncode == 1
    assert json.loads(judged.stdout)["broken"][0].startswith("F")
