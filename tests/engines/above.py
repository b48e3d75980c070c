"""What both engines stand on: one gateway process, a model, a counting MCP server, and each worker as a process."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from tests.gateway.model_upstream import ModelUpstream, Script, completion
from tests.runs.stand import TOP, Agent, Gateway, eventually, gateways, key_of

if TYPE_CHECKING:
    import threading
    from collections.abc import Generator
    from pathlib import Path

#: How long an engine may take to notice and go on.
SECONDS_MAX = 60.0
Row = dict[str, object]


@dataclass
class Above:
    """The parts, and what can be counted of them."""

    folder: Path
    gateway: Gateway
    model: ModelUpstream
    tool: str
    key: str

    def settings(self, *, governed: bool = True) -> Path:
        """Return a new folder for one engine whose calls go through the gateway, or straight to what is called."""
        folder = self.folder / f"engine{len(list(self.folder.glob('engine*')))}"
        folder.mkdir()
        model, tool = f"http://127.0.0.1:{self.model.port}/v1", self.tool
        if governed:
            model, tool = f"{self.gateway.url}/v1", f"{self.gateway.url}/mcp/pay"
        said = json.dumps({"model": model, "tool": tool, "key": self.key})
        (folder / "settings.json").write_text(said, encoding="utf-8")
        return folder

    def effects(self, workflow: str) -> int:
        """Return how often the tool charged for it."""
        return _lines(self.folder / "effects").count(workflow)

    def asked(self, workflow: str) -> int:
        """Return how often the model itself was asked for it."""
        return sum(workflow in json.dumps(request) for request in list(self.model.received))

    def hold(self, workflow: str) -> None:
        """Let the tool wait with its answer, after its effect, until `release`."""
        (self.folder / f"hold-{workflow}").touch()

    def release(self, workflow: str) -> None:
        """End that."""
        (self.folder / f"hold-{workflow}").unlink()

    def hold_model(self, workflow: str, until: threading.Event) -> None:
        """Let the model wait with its answers to that workflow."""

        def script(request: Row) -> Script:
            return Script(body=completion("yes"), hold=until if workflow in json.dumps(request) else None)

        self.model.script = script

    @property
    def agent(self) -> Agent:
        """The agent that the workers are."""
        return Agent(self.gateway.url, self.key)

    def timeline(self, workflow: str) -> list[Row]:
        """Return the steps of the workflow's run."""
        return cast("list[Row]", cast("Row", self.gateway.json("runs", "show", workflow))["timeline"])


def started(folder: Path, activity: str, times: int) -> None:
    """Wait until an engine began it that often."""
    eventually(lambda: _lines(folder / "started").count(activity) >= times, SECONDS_MAX)


def answers(folder: Path, activity: str) -> list[str]:
    """Return what an engine's activity was answered, each time."""
    told = [line.partition(": ") for line in _lines(folder / "answered")]
    return [text for name, _, text in told if name == activity]


def answered(folder: Path, activity: str, times: int) -> list[str]:
    """Wait until it was answered that often; returns what."""
    eventually(lambda: len(answers(folder, activity)) >= times, SECONDS_MAX)
    return answers(folder, activity)


def process(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    """Start a worker in a process group of its own."""
    with (folder / "worker.log").open("ab") as log:
        return subprocess.Popen([sys.executable, "-m", *words], cwd=TOP, stdout=log, stderr=log, start_new_session=True)


def kill(worker: subprocess.Popen[bytes]) -> None:
    """End it as a crash does."""
    worker.kill()
    worker.wait(60)


@contextlib.contextmanager
def above(folder: Path) -> Generator[Above]:
    """Run the gateway, the model and the tool."""
    model = ModelUpstream()
    model.script = lambda _: Script(body=completion("yes"))
    command = [sys.executable, "-m", "tests.engines.counting_tool", folder]
    tool = subprocess.Popen(command, cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert tool.stdout is not None
        url = f"http://127.0.0.1:{int(tool.stdout.readline())}/mcp"
        with gateways(folder, model=f"http://127.0.0.1:{model.port}/v1", tool=url) as (gateway,):
            key = key_of([gateway], "worker")
            gateway.start()
            yield Above(folder, gateway, model, url, key)
    finally:
        kill(tool)
        for pipe in (tool.stdin, tool.stdout):
            if pipe is not None:
                pipe.close()
        model.close()


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []
