"""Two gateways on one database: callers of both share an effect, and one paused past its lease harms nobody."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tests.faults.rig.gate import LEASE_SECONDS
from tests.faults.rig.points import CLASSES
from tests.faults.rig.stand import rig_in

if TYPE_CHECKING:
    from pathlib import Path

    from tests.contracts.cluster import Cluster

CALLERS, KEYS = 200, 50
_SECONDS_MAX = 180.0


@pytest.mark.requirement("FAULT-13")
def test_many_callers_of_few_keys_at_two_gateways_share_one_effect_a_key_and_its_answer(
    tmp_path: Path, cluster: Cluster
) -> None:
    # no lease that a busy machine could miss: a gateway that has lost its own refuses, rightly
    with rig_in(tmp_path / "pair", "pair", cluster=cluster, lease_seconds=60.0) as rig:
        asking = [
            rig.ask(
                rig.gates[number % 2], "pay", f"billing/{number % KEYS}", key=f"key-{number % KEYS}",
                seconds_max=_SECONDS_MAX,
            )
            for number in range(CALLERS)
        ]  # fmt: skip
        told = [one.result(_SECONDS_MAX) for one in asking]
        found = rig.check()
        effects = [len(rig.effects.happened(f"billing/{number}")) for number in range(KEYS)]
    assert [one for one in told if one.status != "acknowledged"] == []
    for number in range(KEYS):
        assert len({one.receipt for one in told[number::KEYS]}) == 1
    assert effects == [1] * KEYS
    assert found["broken"] == []


@pytest.mark.requirement("FAULT-14")
def test_a_gateway_paused_past_its_lease_in_mid_call_repeats_nothing_when_it_goes_on(
    tmp_path: Path, cluster: Cluster
) -> None:
    with rig_in(tmp_path / "pair", "pair", cluster=cluster) as rig:
        first, second = rig.gates
        for what in ("pay", "put", "look"):
            name, key = f"billing/{what}", f"key-{what}"
            rig.effects.hold("answer")
            asking = rig.ask(first, what, name, key=key)
            rig.effects.wait_until_held()
            first.pause()
            rig.effects.go_on()
            threading.Event().wait(LEASE_SECONDS)
            meanwhile = rig.settle(second, what, name, key=key)
            assert meanwhile.status == ("refused" if CLASSES[what] == "once" else "acknowledged"), meanwhile
            first.resume()
            late = asking.result(60)
            after = rig.settle(second, what, name, key=key)
            if late.status == "acknowledged":
                assert after.receipt == late.receipt
            if meanwhile.status == "acknowledged":
                assert after.receipt == meanwhile.receipt
            assert len([one for one in rig.effects.happened(name) if not one["repeat"]]) == (2 if what == "look" else 1)
        found = rig.check()
    assert found["broken"] == []
