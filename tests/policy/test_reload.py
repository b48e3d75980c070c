"""The set in force: swapped while running, kept when the new one is broken."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from gateway.policies import Policies
from policy.source import PolicyInvalid
from tests.policy.sets import ask, folder_of

if TYPE_CHECKING:
    from pathlib import Path

ALLOW = "p, role:clerk, acme, model/m, call, -, allow, -\ng, agent:billing, role:clerk, acme\n"
DENY = ALLOW + "p, role:clerk, acme, model/m, call, -, deny, -\n"
WAIT_SECONDS = 60.0


def policies_of(folder: Path) -> Policies:
    return Policies(folder, profiles={"standard"}, domains={"acme"})


@pytest.mark.requirement("POLICY-21")
def test_a_broken_set_refuses_to_start(tmp_path: Path) -> None:
    with pytest.raises(PolicyInvalid, match=r"policy\.csv:1"):
        policies_of(folder_of(tmp_path, "p, nonsense\n"))


@pytest.mark.requirement("POLICY-21")
def test_a_change_is_noticed_and_a_broken_one_leaves_the_last_good_set(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def changed(policies: Policies, lines: str) -> None:
        policies.changed.clear()
        folder_of(tmp_path, lines)
        await asyncio.wait_for(policies.changed.wait(), WAIT_SECONDS)

    async def story() -> None:
        policies = policies_of(folder_of(tmp_path, ALLOW))
        first = policies.current
        policies.watch()
        try:
            # the watcher is there once it has seen a first change
            while policies.reloads == 0:
                folder_of(tmp_path, ALLOW)
                await asyncio.wait({asyncio.create_task(policies.changed.wait())}, timeout=0.2)
            await changed(policies, "p, nonsense\n")
            assert policies.current.decide(ask()).effect == "allow"
            assert policies.current.digest == first.digest
            assert policies.last_error is not None
            assert policies.last_error.startswith("policy.csv:1: ")
            assert policies.reloads_failed >= 1
            assert "the last good set stays" in caplog.text
            await changed(policies, DENY)
            assert policies.current.decide(ask()).effect == "deny"
            assert policies.last_error is None
        finally:
            await policies.aclose()

    asyncio.run(story())


@pytest.mark.requirement("TRAP-11", "POLICY-21")
def test_decisions_during_reloads_are_those_of_a_whole_set(tmp_path: Path) -> None:
    deny = "p, role:clerk, acme, model/m, call, -, deny, -\n"
    policies = policies_of(folder_of(tmp_path, DENY))
    wrong: list[str] = []
    done = threading.Event()

    def decide() -> None:
        while not done.is_set():
            effect = policies.current.decide(ask()).effect
            if effect != "deny":
                wrong.append(effect)

    threads = [threading.Thread(target=decide) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(40):
        folder_of(tmp_path, f"# {number}\n{ALLOW}{deny}")
        assert policies.reload()
    done.set()
    for thread in threads:
        thread.join(WAIT_SECONDS)
    assert wrong == []
