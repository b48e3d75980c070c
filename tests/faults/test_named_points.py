"""Gateways killed at every named point, over each store, for each class: judged by a checker that knows only files."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.rig.gate import LEASE_SECONDS
from tests.faults.rig.points import CLASSES, POINTS, Death, die_at
from tests.faults.rig.stand import KINDS, Kind, Rig, rig_in
from tests.pace import paced

if TYPE_CHECKING:
    from pathlib import Path

    from tests.contracts.cluster import Cluster
    from tests.faults.rig.agent import Told


#: the marks of issue 4 are start + 1 s on a file, lease + 1 s on a database; a busy machine gets the double lease more
_RECOVERY_SECONDS_MAX = 1.0 + 2 * LEASE_SECONDS
_TOOLS = ("pay", "put", "look")


def classes_at(point: str) -> tuple[str, ...]:
    """Tools everywhere; the model where its stream matters."""
    return (*_TOOLS, "model", "model_once") if point == "in_mid_stream" else _TOOLS


def dies(rig: Rig, point: str, what: str) -> tuple[Death, Told]:
    """Let the first gateway die at `point` of a call, and start it again; returns that, and another's answer before."""
    key = f"{point}-{what}"
    before = rig.settle(rig.gates[0], what, f"shipping/{key}", key=key)
    assert before.status == "acknowledged", before
    death = die_at(rig, rig.gates[0], point, what, f"billing/{key}", key=key)
    assert death.told.status == "broken", death.told
    rig.gates[0].start()
    return death, before


def recovered(rig: Rig, death: Death, before: Told) -> float:
    """Judge what the call comes to; returns how long that took in seconds, as an agent that asks on and on finds.

    Counted from when a gateway serves and the lease of the dead one is over: on a file there is no lease to wait for.
    """
    point, what, key = death.point, death.what, f"{death.point}-{death.what}"
    over = death.killed + (0.0 if rig.kind == "sqlite" else LEASE_SECONDS)
    left = max(0.0, over - time.monotonic())
    with paced() as pace:
        told = rig.settle(rig.survivor, what, death.name, key=key, stream=point == "in_mid_stream")
    seconds = pace.seconds - left
    in_doubt = POINTS[point] == "doubt" and CLASSES[what] == "once"
    assert told.status == ("refused" if in_doubt else "acknowledged"), (point, what, told)
    happened = [effect for effect in rig.effects.happened(death.name) if not effect["repeat"]]
    if POINTS[point] == "done" or CLASSES[what] == "keyed":
        assert len(happened) == 1
    elif in_doubt:
        assert len(happened) == (0 if point == "after_intent_commit" else 1)
    assert rig.settle(rig.survivor, what, f"shipping/{key}", key=key).receipt == before.receipt
    return seconds


@pytest.mark.requirement("FAULT-01", "FAULT-02", "FAULT-03", "FAULT-10", "FAULT-11")
@pytest.mark.parametrize(
    # two gateways on one database meet what one meets, and more
    "kind",
    [pytest.param(kind, marks=pytest.mark.slow) if kind != "pair" else kind for kind in KINDS],
)
def test_a_gateway_killed_at_every_named_point_keeps_its_promises_for_each_class(
    tmp_path: Path, cluster: Cluster, kind: Kind
) -> None:
    took: dict[str, float] = {}
    with rig_in(tmp_path / kind, kind, cluster=cluster) as rig:
        for point in POINTS:
            # all of a point's deaths first: their leases run out together
            for death, before in [dies(rig, point, what) for what in classes_at(point)]:
                took[f"{point} {death.what}"] = recovered(rig, death, before)
        found = rig.check()
    assert found["broken"] == []
    assert found["in_doubt"] == 5
    longest = max(took, key=took.__getitem__)
    print(f"recovery over {kind}: at most {took[longest]:.2f} s ({longest})")  # noqa: T201 - the figure asked for
    assert took[longest] < _RECOVERY_SECONDS_MAX
