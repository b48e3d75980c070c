"""Managed runs of who is blocked: neither begun nor gone on with, on any instance, until it is lifted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.runs.agent_server import Asked, Said
from tests.runs.stand import eventually
from tests.runs.test_managed import Stage, stage

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.requirement("BLK-04")
def test_a_blocked_agents_managed_run_is_not_gone_on_with_until_it_is_lifted(tmp_path: Path) -> None:
    def work(on: Stage, asked: Asked) -> Said:
        if asked.attempt > 1:
            return Said(body=b'"done"')
        assert on.gateways[0].oncegate("block", "agent:acme/worker", "--reason", "wild").returncode == 0
        return Said(status=503)  # it would be asked again at once

    with stage(tmp_path, work, retry="{initial: 20ms, attempts: 4}") as on:
        run = on.open({})

        def waits() -> bool:
            shown = on.boss.get(f"/runs/{run}").json()
            return shown["reason"] == "blocked by an operator" and shown["state"] == "ready"

        assert eventually(waits, 30.0)
        assert [asked.attempt for asked in on.worker.asked] == [1]
        assert on.gateways[0].oncegate("unblock", "agent:acme/worker", "--reason", "tame").returncode == 0
        assert on.ended(run, 30.0)["result"] == "done"
        assert len(on.worker.asked) == 2
