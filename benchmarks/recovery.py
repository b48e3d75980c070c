"""How long a call takes to be settled after its gateway was killed: `python -m benchmarks.recovery [kills]`.

A gateway is killed with SIGKILL while a call is under way; an agent then asks on and on, at the gateway that was
started again (SQLite, PostgreSQL) or at the other one (two gateways on one database). `start` is from its start
until it serves, `all` from the kill to the answer, `beyond` what is left of that after the start and, on a
database, the dead one's lease are over: the marks are 1 s. Seconds; medians, and the longest.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from tests.contracts.cluster import private_cluster
from tests.faults.rig.gate import LEASE_SECONDS
from tests.faults.rig.points import die_at
from tests.faults.rig.stand import KINDS, rig_in

if TYPE_CHECKING:
    from tests.faults.rig.stand import Rig

KILLS = 5
POINT = "between_send_and_outcome"
TOOLS = {"once": "pay", "keyed": "put", "safe": "look"}


class Recovery(NamedTuple):
    """Seconds."""

    start: float
    all: float
    beyond: float


def recovery(rig: Rig, tool: str, number: int) -> Recovery:
    """Kill the first gateway in a call of `tool`, and settle the call. Raises `AssertionError` when it is not."""
    key = f"{tool}-{number}"
    death = die_at(rig, rig.gates[0], POINT, tool, f"billing/{key}", key=key)
    began = time.monotonic()
    rig.gates[0].start()
    served = time.monotonic()
    told = rig.settle(rig.survivor, tool, death.name, key=key)
    ended = time.monotonic()
    wanted = "refused" if tool == TOOLS["once"] else "acknowledged"
    if told.status != wanted:
        raise AssertionError(f"`{tool}` was {told.status}, not {wanted}")
    lease_over = death.killed + LEASE_SECONDS
    over = {"sqlite": served, "postgres": max(served, lease_over), "pair": lease_over}[rig.kind]
    return Recovery(served - began, ended - death.killed, max(0.0, ended - over))


def main(kills: int) -> None:
    print(f"lease {LEASE_SECONDS:g} s on a database; seconds, median (longest) of {kills} kills")
    print(f"{'store':10}{'tool':8}{'start':>14}{'all':>14}{'beyond':>14}")
    with tempfile.TemporaryDirectory(prefix="oncegate-recovery-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # another account may run the database in it
        (folder / "cluster").mkdir()
        with private_cluster(folder / "cluster") as cluster:
            for kind in KINDS:
                with rig_in(folder / kind, kind, cluster=cluster) as rig:
                    for effect, tool in TOOLS.items():
                        found = [recovery(rig, tool, number) for number in range(kills)]
                        shown = (f"{median(figures):.2f} ({max(figures):.2f})" for figures in zip(*found, strict=True))
                        print(f"{kind:10}{effect:8}" + "".join(f"{figure:>14}" for figure in shown), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else KILLS)
