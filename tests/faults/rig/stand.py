"""A whole rig: an effect server, an agent, and one or two gateways over a file or a database."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Unpack, cast

from tests.contracts.cluster import Cluster, private_cluster
from tests.faults.rig.agent import Ask
from tests.faults.rig.child import TOP, Agent, Effects, agent_in, effects_in
from tests.faults.rig.gate import LEASE_SECONDS, Gate, Secrets, new_secrets

if TYPE_CHECKING:
    from collections.abc import Generator
    from concurrent.futures import Future

    from tests.faults.rig.agent import Told, Wanted

#: one gateway on a file, one on a database, two on one database
Kind = Literal["sqlite", "postgres", "pair"]
KINDS: Final[tuple[Kind, ...]] = ("sqlite", "postgres", "pair")
#: a call with one gateway is over, or said to be in doubt, within this time whatever happens
SETTLE_SECONDS_MAX: Final = 120.0
_ASK_AGAIN_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """What runs. `journal` is where the checker finds it."""

    kind: Kind
    folder: Path
    secrets: Secrets
    effects: Effects
    agent: Agent
    gates: tuple[Gate, ...]
    journal: str
    cluster: Cluster | None

    @property
    def survivor(self) -> Gate:
        """Who answers when the first gateway has been killed: the other one, or the same, started again."""
        return self.gates[-1]

    def ask(self, gate: Gate, what: str, name: str, *, url: str | None = None, **more: Unpack[Wanted]) -> Future[Told]:
        """Let the agent that `name` begins with (`billing/7`) make a call at a gateway."""
        who = name.split("/", 1)[0]
        token = self.secrets.tokens[who]
        return self.agent.ask(Ask(url=url or gate.url, token=token, who=who, what=what, name=name, **more))

    def settle(self, gate: Gate, what: str, name: str, **more: Unpack[Wanted]) -> Told:
        """Ask again until there is an answer, or the call is said to be in doubt."""
        until, pause = time.monotonic() + SETTLE_SECONDS_MAX, threading.Event()
        while True:
            told = self.ask(gate, what, name, **more).result(SETTLE_SECONDS_MAX)
            if told.status == "acknowledged" or "in_doubt" in told.text:
                return told
            assert time.monotonic() < until, told
            pause.wait(_ASK_AGAIN_SECONDS)

    def open_run(self, gate: Gate, who: str, run: str) -> int:
        """Open a run, or its next attempt; returns the attempt's number."""
        command = gate.open_run(self.secrets.tokens[who], run)
        return cast("int", command["attempt"])

    def check(self) -> dict[str, object]:
        """Let the checker judge; returns its counts and what it found broken."""
        command = [sys.executable, "-m", "tests.faults.rig.checker", "--ledger", self.effects.ledger,
                   "--answers", self.agent.log, "--journal", self.journal]  # fmt: skip
        done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False, timeout=60)
        assert done.stdout, done.stderr
        return cast("dict[str, object]", json.loads(done.stdout))


@contextmanager
def rig_in(
    folder: Path, kind: Kind, *, cluster: Cluster | None = None, lease_seconds: float = LEASE_SECONDS
) -> Generator[Rig]:
    """Run a rig in `folder` until the block ends; `cluster` is where its database goes."""
    with ExitStack() as stack:
        folder.mkdir(exist_ok=True)
        effects, agent = stack.enter_context(effects_in(folder)), stack.enter_context(agent_in(folder))
        secrets = new_secrets(folder / "secrets")
        if kind == "sqlite":
            state, journal = "sqlite:///oncegate.db", str(folder / "gate-0" / "oncegate.db")
        else:
            own = cluster or stack.enter_context(_cluster())
            state = journal = own.create(f"rig_{time.monotonic_ns()}")
            cluster = own
        gates = tuple(
            Gate(folder / f"gate-{number}", secrets, state=state, upstream=effects.url, lease_seconds=lease_seconds)
            for number in range(2 if kind == "pair" else 1)
        )
        for gate in gates:
            stack.callback(gate.stop)
            gate.spawn()
        for gate in gates:
            gate.wait_until_ready()
        yield Rig(
            kind=kind, folder=folder, secrets=secrets, effects=effects, agent=agent, gates=gates, journal=journal,
            cluster=cluster,
        )  # fmt: skip


@contextmanager
def _cluster() -> Generator[Cluster]:
    # not below a folder of root's: another account may have to run it
    with tempfile.TemporaryDirectory(prefix="oncegate-cluster-") as folder, private_cluster(Path(folder)) as running:
        yield running
