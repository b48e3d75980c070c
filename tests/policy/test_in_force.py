"""Shadow mode, the candidate beside the live set, and what a reload demands of a set."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

import pytest

from gateway.policies import Policies
from gateway.trail import decision_record, policy_header
from policy.decision import Obligations
from policy.source import PolicyInvalid
from tests.policy.sets import ask, folder_of

if TYPE_CHECKING:
    from pathlib import Path

    from policy.in_force import Mode

ALLOW = "p, agent:billing, acme, model/m, call, -, allow, restore=*@agent\n"
DENY = "p, role:any, acme, model/m, call, -, deny, -\n"
ADMIN = "p, agent:billing, acme, admin/runs, read, -, allow, -\n"
APPROVAL = "p, agent:billing, acme, model/m, call, -, allow, approval=leads;redact=strict;limit=5/1h\n"
WAIT_SECONDS = 60.0


def policies_of(folder: Path, *, mode: Mode = "enforce", candidate: Path | None = None) -> Policies:
    return Policies(folder, profiles={"standard", "strict"}, domains={"acme"}, mode=mode, candidate=candidate)


@pytest.mark.requirement("SHADOW-01")
def test_in_shadow_mode_denies_and_approvals_are_suspended_and_said(tmp_path: Path) -> None:
    policies = policies_of(folder_of(tmp_path, ALLOW + DENY + ADMIN), mode="shadow")
    decision = policies.current.decide(ask())
    assert (decision.effect, decision.would, decision.rule) == ("allow", "deny", "policy.csv:2")
    # strictest redaction, nothing restored
    assert decision.obligations.profiles == ("standard", "strict")
    assert decision.obligations.restores == ()
    assert policy_header(decision) == b"shadow; would=deny; rule=policy.csv:2"
    record = decision_record(decision)
    assert (record["mode"], record["would"], record["decision"]) == ("shadow", "deny", "allow")
    # who may steer the gateway is never suspended
    assert policies.current.decide(ask("admin/calls", action="read")).effect == "deny"
    assert policies.current.decide(ask("admin/runs", action="read")).effect == "allow"
    # a listing is that of what may be called
    assert policies.current.decide(ask("model/other", certain_only=True)).effect == "allow"


@pytest.mark.requirement("SHADOW-01")
def test_an_approval_is_suspended_and_what_it_demands_besides_stays(tmp_path: Path) -> None:
    decision = policies_of(folder_of(tmp_path, APPROVAL), mode="shadow").current.decide(ask())
    assert (decision.effect, decision.would) == ("allow", "approval")
    assert decision.obligations.approvals == ()
    assert decision.obligations.profiles == ("strict",)
    assert len(decision.obligations.limits) == 1


@pytest.mark.requirement("SHADOW-01")
def test_limits_and_labels_of_the_lines_that_let_a_call_stay_on_one_that_would_be_denied(tmp_path: Path) -> None:
    lines = (
        "p2, acme, vendors, model, call, allow, limit=9/1d\n"
        "p, agent:billing, acme, model/m, call, -, allow, limit=5/1h;label=seen\n"
        "p, agent:billing, acme, model/m, call, small, allow, label=small\n"
        "p, agent:billing, acme, model/other, call, -, allow, label=other\n"
    )
    folder = folder_of(tmp_path, lines + DENY, 'small: "args.n < 10"\n')
    current = Policies(
        folder, profiles={"standard", "strict"}, domains={"acme", "vendors"}, mode="shadow"
    ).current  # fmt: skip
    found = current.decide(ask(arguments={"n": 50}, domain="vendors"))
    assert (found.effect, found.would, found.obligations.labels) == ("allow", "deny", ("seen",))
    assert [one.calls for one in found.obligations.limits] == [9, 5]
    assert current.decide(ask(arguments={"n": 5})).obligations.labels == ("seen", "small")
    # what no line lets has nothing but the redaction
    assert current.decide(ask("model/unknown")).obligations == Obligations(profiles=("standard", "strict"))


@pytest.mark.requirement("SHADOW-02")
def test_a_candidate_is_asked_beside_and_decides_nothing(tmp_path: Path) -> None:
    live, candidate = folder_of(tmp_path / "live", ALLOW), folder_of(tmp_path / "next", ALLOW + DENY)
    policies = policies_of(live, candidate=candidate)
    decision = policies.current.decide(ask())
    assert decision.effect == "allow"
    assert decision.candidate is not None
    assert (decision.candidate.effect, decision.candidate.rule) == ("deny", "policy.csv:2")
    assert decision.candidate.digest != decision.digest
    record = decision_record(decision)
    assert (record["policy"], record["candidate_policy"]) == (decision.digest, decision.candidate.digest)
    assert record["candidate_decision"] == "deny"


@pytest.mark.requirement("SHADOW-02", "POLICY-21")
def test_a_changed_candidate_is_noticed_and_a_broken_one_leaves_all_as_it_is(tmp_path: Path) -> None:
    async def story() -> None:
        live, candidate = folder_of(tmp_path / "live", ALLOW), folder_of(tmp_path / "next", ALLOW)
        policies = policies_of(live, candidate=candidate)
        policies.watch()
        try:
            for lines, expected in ((ALLOW + DENY, "deny"), ("p, nonsense\n", "deny"), (ALLOW, "allow")):
                broken = lines.startswith("p, nonsense")
                async with asyncio.timeout(WAIT_SECONDS):
                    while True:
                        folder_of(candidate, lines)
                        found = policies.current.decide(ask()).candidate
                        assert found is not None
                        if found.effect == expected and broken == (policies.candidate_error is not None):
                            break
                        await asyncio.wait([asyncio.create_task(policies.changed.wait())], timeout=0.1)
            assert policies.last_error is None
            assert policies.current.decide(ask()).effect == "allow"
        finally:
            await policies.aclose()

    asyncio.run(story())


CASE = "- {as: agent:acme/billing, resource: model/m, expect: allow}\n"


@pytest.mark.requirement("POLICY-31")
def test_a_set_that_fails_its_own_cases_is_not_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    policies = policies_of(folder_of(tmp_path, ALLOW, a_test__yaml=CASE))
    before = policies.current
    folder_of(tmp_path, ALLOW + DENY)
    assert not policies.reload()
    assert policies.current is before
    assert policies.reloads_failed == 1
    assert "a_test.yaml:1: its own case" in str(policies.last_error)
    assert "the last good set stays" in caplog.text
    with pytest.raises(PolicyInvalid, match="its own case"):
        policies_of(tmp_path)
    folder_of(tmp_path, ALLOW, a_test__yaml="- nonsense\n")
    assert not policies.reload()


@pytest.mark.requirement("POLICY-31")
def test_what_is_hardly_meant_is_said_when_a_set_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    policies_of(folder_of(tmp_path, ALLOW + DENY))
    assert "policy.csv:1: never allows anything: `policy.csv:2` denies all of it (shadowed)" in caplog.text


@pytest.mark.requirement("TRAP-11", "POLICY-21")
def test_a_decision_under_way_keeps_the_set_it_began_with(tmp_path: Path) -> None:
    policies = policies_of(folder_of(tmp_path, ALLOW + "# 0\n"), mode="enforce")
    wrong: list[str] = []
    done = threading.Event()
    known = {policies.current.digest: "allow"}

    def decide() -> None:
        while not done.is_set():
            current = policies.current
            decision = current.decide(ask())
            if decision.digest != current.digest or decision.effect != known[decision.digest]:
                wrong.append(decision.digest)

    threads = [threading.Thread(target=decide) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(30):
        lines = (ALLOW if number % 2 else ALLOW + DENY) + f"# {number}\n"
        folder = folder_of(tmp_path / str(number), lines)
        effect = "allow" if number % 2 else "deny"
        known[policies_of(folder).current.digest] = effect
        folder_of(tmp_path, lines)
        for other in tmp_path.iterdir():
            if other.is_dir():
                for file in other.iterdir():
                    file.unlink()
                other.rmdir()
        assert policies.reload()
    done.set()
    for thread in threads:
        thread.join(WAIT_SECONDS)
    assert wrong == []
