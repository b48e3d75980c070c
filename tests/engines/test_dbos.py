"""DBOS above the gateway: its worker is killed in mid-activity, the effect happens once."""

from __future__ import annotations

import contextlib
import json
import threading
from typing import TYPE_CHECKING, cast

import pytest

from tests.engines.above import SECONDS_MAX, Above, answered, answers, kill, process, started
from tests.runs.stand import eventually

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Generator
    from pathlib import Path


@contextlib.contextmanager
def worker(folder: Path, *workflows: str) -> Generator[subprocess.Popen[bytes]]:
    """Run a worker; what is left of it is killed."""
    running = process(folder, "tests.engines.dbos_worker", str(folder), *workflows)
    try:
        yield running
    finally:
        kill(running)


def result(folder: Path, workflow: str, running: subprocess.Popen[bytes]) -> list[str]:
    """Return what the workflow came to."""
    assert running.wait(60) == 0, (folder / "worker.log").read_text(encoding="utf-8")
    return cast("list[str]", json.loads((folder / f"result-{workflow}").read_text(encoding="utf-8")))


@pytest.mark.requirement("ENG-01", "ENG-05")
def test_an_activity_of_dbos_killed_in_its_call_gets_that_calls_answer(below: Above) -> None:
    folder, until = below.settings(), threading.Event()
    asking, charging = "dbos-in-ask", "dbos-in-charge"
    below.hold_model(asking, until)
    below.hold(charging)
    with worker(folder, asking, charging) as first:
        eventually(lambda: below.asked(asking) and below.effects(charging), SECONDS_MAX)
        kill(first)
    with worker(folder, asking, charging) as second:
        started(folder, f"{asking}.ask", 2)
        started(folder, f"{charging}.charge", 2)
        until.set()
        below.release(charging)
        for name in (asking, charging):
            assert result(folder, name, second) == ["yes", f"charge 1 of {name}"]
            assert (below.asked(name), below.effects(name)) == (1, 1)
    assert len(below.timeline(asking)) == 2
    ended = below.agent.post(f"/runs/{asking}/finish", {"attempt": 1, "state": "finished", "result": "done"})
    assert ended.json() == {"id": asking, "state": "finished"}
    late = below.agent.post("/v1/chat/completions", {"model": "one", "messages": []}, **{"oncegate-run": asking})
    assert late.status_code == 409


@pytest.mark.requirement("ENG-02")
def test_an_activity_of_dbos_killed_before_its_checkpoint_gets_the_same_answer(below: Above) -> None:
    folder = below.settings()
    said = {"ask": "yes", "charge": "charge 1 of dbos-after-charge"}
    names = [f"dbos-after-{activity}" for activity in said]
    stays = [folder / f"stay-dbos-after-{activity}.{activity}" for activity in said]
    for stay in stays:
        stay.touch()
    with worker(folder, *names) as first:
        for activity in said:
            answered(folder, f"dbos-after-{activity}.{activity}", 1)
        kill(first)
    for stay in stays:
        stay.unlink()
    with worker(folder, *names) as second:
        for name in names:
            assert result(folder, name, second) == ["yes", f"charge 1 of {name}"]
            assert (below.asked(name), below.effects(name)) == (1, 1)
    for activity, text in said.items():
        assert answers(folder, f"dbos-after-{activity}.{activity}") == [text, f"{text} (replayed)"]


@pytest.mark.slow
@pytest.mark.requirement("ENG-04")
def test_dbos_alone_doubles_the_effect(below: Above) -> None:
    folder, name = below.settings(governed=False), "dbos-alone"
    stay = folder / f"stay-{name}.charge"
    stay.touch()
    with worker(folder, name) as running:
        answered(folder, f"{name}.charge", 1)
        kill(running)
    stay.unlink()
    with worker(folder, name) as running:
        assert result(folder, name, running) == ["yes", f"charge 2 of {name}"]
    assert below.effects(name) == 2
