"""What chaos asks for: calls with keys, and runs without, each asked again until it is settled."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

import httpx

from tests.faults.rig.gate import AGENTS

if TYPE_CHECKING:
    from random import Random

    from tests.faults.rig.agent import Told
    from tests.faults.rig.stand import Rig

_KEYED: Final = ("pay", "put", "look", "model", "model_once")
_IN_RUNS: Final = ("pay", "put", "look", "model")
_RUN_STEPS: Final = 3
#: a call that breaks less than this time after all is healed is asked again
_HEAL_SECONDS_MAX: Final = 120.0
_ASK_SECONDS_MAX: Final = 90.0
_ASK_AGAIN_SECONDS: Final = 0.05


class Caller:
    """One of several that call until `over` is set, and then settle what they have begun."""

    def __init__(self, rig: Rig, dice: Random, number: int) -> None:
        self._rig = rig
        self._dice = dice
        self._number = number
        self._count = 0
        self.over = threading.Event()
        self._until: float | None = None

    def call_until_over(self) -> None:
        """Make one call or run after the other."""
        while not self.over.is_set():
            if self._dice.random() < 0.3:
                self._run()
            else:
                self._call()

    def _name(self) -> str:
        self._count += 1
        return f"{self._dice.choice(AGENTS)}/{self._number}-{self._count}"

    def _call(self) -> None:
        what, name, stream = self._dice.choice(_KEYED), self._name(), self._dice.random() < 0.5
        while not self._settled(told := self._ask(what, name, key=name.partition("/")[2], stream=stream)):
            self._again(told)

    def _run(self) -> None:
        """Make the calls of a run; whatever breaks, it is begun anew as the run's next attempt."""
        first = self._name()
        who, _, run = first.partition("/")
        steps = [(self._dice.choice(_IN_RUNS), f"{first}-{step}") for step in range(_RUN_STEPS)]
        while True:
            attempt = self._open(who, run)
            told = self._attempt(steps, run, attempt)
            if self._settled(told):
                return
            self._again(told)

    def _attempt(self, steps: list[tuple[str, str]], run: str, attempt: int) -> Told:
        """Make the calls until one is not answered; returns what became of the last."""
        *earlier, last = steps
        for what, name in earlier:
            told = self._ask(what, name, run=run, attempt=attempt)
            if told.status != "acknowledged":
                return told
        return self._ask(last[0], last[1], run=run, attempt=attempt)

    def _ask(
        self, what: str, name: str, *, key: str | None = None, run: str | None = None, attempt: int | None = None,
        stream: bool = False,
    ) -> Told:  # fmt: skip
        gate = self._dice.choice(self._rig.gates)
        asking = self._rig.ask(gate, what, name, key=key, run=run, attempt=attempt, stream=stream)
        return asking.result(_ASK_SECONDS_MAX)

    def _open(self, who: str, run: str) -> int:
        while True:
            gate = self._dice.choice(self._rig.gates)
            try:
                return self._rig.open_run(gate, who, run)
            except httpx.HTTPError as error:
                self._again(error)

    def _settled(self, told: Told) -> bool:
        return told.status == "acknowledged" or "in_doubt" in told.text

    def _again(self, why: object) -> None:
        if self.over.is_set():
            self._until = self._until or time.monotonic() + _HEAL_SECONDS_MAX
            assert time.monotonic() < self._until, why
        threading.Event().wait(_ASK_AGAIN_SECONDS)
