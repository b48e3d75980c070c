"""The processes the rig steers: the effect server and the agent, each told what to do over a line."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import httpx

from tests.faults.rig.agent import Ask, Told

if TYPE_CHECKING:
    from collections.abc import Generator

TOP: Final = Path(__file__).parents[3]
_SECONDS_MAX: Final = 60.0


class Effects:
    """A running effect server."""

    def __init__(self, port: int, ledger: Path) -> None:
        self.port = port
        self.ledger = ledger

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def hold(self, where: Literal["answer", "stream"]) -> None:
        """Let the next answer be held, all of it or after its first part."""
        self._post("arm", {"where": where})

    def wait_until_held(self) -> None:
        """Wait until an effect has happened whose answer is held."""
        self._post("held", {})

    def go_on(self) -> None:
        """Let the held answer go."""
        self._post("go_on", {})

    def happened(self, name: str) -> list[dict[str, object]]:
        """Return the ledger's lines of a name; repetitions that an upstream key made harmless among them."""
        if not self.ledger.exists():
            return []
        entries = [json.loads(line) for line in self.ledger.read_text(encoding="utf-8").splitlines()]
        return [entry for entry in entries if entry["name"] == name]

    def _post(self, what: str, body: object) -> None:
        httpx.post(f"{self.url}/control/{what}", json=body, timeout=_SECONDS_MAX, trust_env=False).raise_for_status()


@contextmanager
def effects_in(folder: Path) -> Generator[Effects]:
    """Run the effect server with its ledger in `folder`."""
    ledger = folder / "ledger.jsonl"
    command = [sys.executable, "-m", "tests.faults.rig.effects", "--ledger", str(ledger)]
    with (folder / "effects.log").open("ab") as log:
        child = subprocess.Popen(
            command, cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )  # fmt: skip
    with child:
        try:
            assert child.stdout is not None
            yield Effects(int(child.stdout.readline()), ledger)
        finally:
            child.kill()


class Agent:
    """A running agent; `ask` starts a call, its future is what became of it."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._numbers = itertools.count()
        self._waiting: dict[int, Future[Told]] = {}
        self._lock = threading.Lock()
        self.log = log
        self._hearing = threading.Thread(target=self._hear, daemon=True)
        self._hearing.start()

    def ask(self, ask: Ask) -> Future[Told]:
        """Send a request; it gets a number of its own."""
        future: Future[Told] = Future()
        number = next(self._numbers)
        with self._lock:
            self._waiting[number] = future
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(asdict(replace(ask, number=number))) + "\n")
            self._process.stdin.flush()
        return future

    def _hear(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = Told(**json.loads(line))
            self._waiting.pop(told.number).set_result(told)


@contextmanager
def agent_in(folder: Path) -> Generator[Agent]:
    """Run the agent with its log of acknowledged answers in `folder`."""
    answers = folder / "answers.jsonl"
    with (folder / "agent.log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.rig.agent", str(answers)],
            cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    with child:
        try:
            yield Agent(child, answers)
        finally:
            child.kill()
