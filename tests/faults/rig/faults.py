"""What chaos does to a rig: one random fault at a time, and the repair of it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from tests.faults.rig.gate import LEASE_SECONDS

if TYPE_CHECKING:
    from random import Random

    from tests.faults.rig.gate import Gate
    from tests.faults.rig.stand import Rig

_COMMITS: Final = ("before_intent_commit", "after_intent_commit", "before_outcome_commit", "after_outcome_commit")
_QUIET_SECONDS_MAX: Final = 0.6
#: a pause is longer than the lease by this
_BEYOND_SECONDS: Final = 0.7


class Faults:
    """Strikes a rig again and again, and counts."""

    def __init__(self, rig: Rig, dice: Random) -> None:
        self._rig = rig
        self._dice = dice
        self._clock = threading.Event()
        self.kills = 0
        self.pauses = 0
        self.restarts = 0

    def strike(self) -> None:
        """Do one thing, and repair it: afterwards every gateway serves."""
        self._clock.wait(self._dice.uniform(0.05, _QUIET_SECONDS_MAX))
        gate = self._dice.choice(self._rig.gates)
        chance = self._dice.random()
        if self._rig.kind == "pair" and chance < 0.06:
            self._kill(*self._rig.gates)
        elif self._rig.kind != "sqlite" and chance < 0.12:
            self._restart_database()
        elif self._rig.kind != "sqlite" and chance < 0.18:
            self._pause(gate)
        elif chance < 0.6:
            gate.arm(self._dice.choice(_COMMITS))
            gate.wait_until_dead()
            self._bury(gate)
        else:
            self._kill(gate)

    def _kill(self, *gates: Gate) -> None:
        for gate in gates:
            gate.shoot()
        for gate in gates:
            gate.wait_until_dead()
        self._bury(*gates)

    def _bury(self, *gates: Gate) -> None:
        self.kills += len(gates)
        for gate in gates:
            gate.spawn()
        for gate in gates:
            gate.wait_until_ready()

    def _pause(self, gate: Gate) -> None:
        self.pauses += 1
        gate.pause()
        self._clock.wait(LEASE_SECONDS + _BEYOND_SECONDS)
        gate.resume()

    def _restart_database(self) -> None:
        cluster = self._rig.cluster
        assert cluster is not None
        self.restarts += 1
        if self._dice.random() < 0.5:
            cluster.crash()
        else:
            cluster.stop()
        cluster.start()
        for gate in self._rig.gates:
            gate.wait_until_ready()
