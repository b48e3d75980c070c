"""Restate above the gateway: its worker, and its server, are killed in mid-activity, the effect happens once."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.engines.above import Above, answered, answers, kill, process, started
from tests.engines.restate_server import RestateServer
from tests.mcp.conformance import node
from tests.ports import free_port
from tests.runs.stand import eventually

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Generator
    from pathlib import Path

pytestmark = [
    pytest.mark.skipif(node() is None, reason="there is no Node.js of 22 or newer; `make setup` brings one"),
]


@dataclass
class Engine:
    """The server and its one worker."""

    folder: Path
    server: RestateServer
    port: int
    worker: subprocess.Popen[bytes]

    def kill_worker(self) -> None:
        """End the worker as a crash does."""
        kill(self.worker)

    def start_worker(self) -> None:
        """Start it again where it was."""
        self.worker = _worker(self.folder, self.port)


def _worker(folder: Path, port: int) -> subprocess.Popen[bytes]:
    return process(folder, "tests.engines.restate_worker", str(folder), str(port))


@contextmanager
def restate(folder: Path) -> Generator[Engine]:
    """Run both."""
    server, port = RestateServer(folder), free_port()
    engine = Engine(folder, server, port, _worker(folder, port))
    try:
        server.start()
        server.register(port)
        yield engine
    finally:
        engine.kill_worker()
        server.kill()


@pytest.mark.requirement("ENG-01")
def test_an_activity_of_restate_killed_in_its_call_gets_that_calls_answer(below: Above) -> None:
    name, until = "restate-in-flight", threading.Event()
    below.hold(name)
    below.hold_model(name, until)
    with restate(below.settings()) as engine:
        engine.server.submit(name)
        eventually(lambda: below.asked(name))
        engine.kill_worker()
        engine.start_worker()
        started(engine.folder, f"{name}.ask", 2)
        until.set()
        eventually(lambda: below.effects(name))
        engine.kill_worker()
        engine.start_worker()
        started(engine.folder, f"{name}.charge", 2)
        below.release(name)
        assert engine.server.result(name) == ["yes", f"charge 1 of {name}"]
    assert (below.asked(name), below.effects(name)) == (1, 1)


@pytest.mark.slow
@pytest.mark.requirement("ENG-02", "ENG-05")
def test_an_activity_of_restate_killed_before_its_checkpoint_gets_the_same_answer(below: Above) -> None:
    name = "restate-answered"
    with restate(below.settings()) as engine:
        stays = {activity: engine.folder / f"stay-{name}.{activity}" for activity in ("ask", "charge")}
        for stay in stays.values():
            stay.touch()
        engine.server.submit(name)
        for activity, stay in stays.items():
            answered(engine.folder, f"{name}.{activity}", 1)
            engine.kill_worker()
            stay.unlink()
            engine.start_worker()
        assert engine.server.result(name) == ["yes", f"charge 1 of {name}"]
        assert answers(engine.folder, f"{name}.ask") == ["yes", "yes (replayed)"]
        assert answers(engine.folder, f"{name}.charge") == [f"charge 1 of {name}", f"charge 1 of {name} (replayed)"]
    assert (below.asked(name), below.effects(name)) == (1, 1)
    assert len(below.timeline(name)) == 2


@pytest.mark.requirement("ENG-03")
def test_restate_whose_server_is_killed_with_its_worker_executes_no_effect_again(below: Above) -> None:
    name = "restate-server"
    with restate(below.settings()) as engine:
        stay = engine.folder / f"stay-{name}.charge"
        stay.touch()
        engine.server.submit(name)
        answered(engine.folder, f"{name}.charge", 1)
        engine.server.kill()
        engine.kill_worker()
        stay.unlink()
        engine.start_worker()
        engine.server.start()
        assert engine.server.result(name) == ["yes", f"charge 1 of {name}"]
        assert answers(engine.folder, f"{name}.charge")[1] == f"charge 1 of {name} (replayed)"
    assert (below.asked(name), below.effects(name)) == (1, 1)


@pytest.mark.requirement("ENG-04")
def test_restate_alone_doubles_the_effect(below: Above) -> None:
    name = "restate-alone"
    with restate(below.settings(governed=False)) as engine:
        stay = engine.folder / f"stay-{name}.charge"
        stay.touch()
        engine.server.submit(name)
        answered(engine.folder, f"{name}.charge", 1)
        engine.kill_worker()
        stay.unlink()
        engine.start_worker()
        assert engine.server.result(name) == ["yes", f"charge 2 of {name}"]
    assert below.effects(name) == 2
