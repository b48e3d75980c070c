"""`oncegate runs cancel|retry|fork|show` against a real admin API on a real socket."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from tests.cli.stand import Stand, oncegate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    """A gateway whose socket answers."""
    made = Stand(tmp_path)
    made.write_config()
    with made.serving():
        yield made


@pytest.mark.requirement("RUN-20")
def test_runs_are_cancelled_and_opened_again_with_who_and_why_in_the_audit(stand: Stand) -> None:
    stand.ledger.add_run("run_a")
    assert (
        oncegate(stand.folder, "runs", "cancel", "run_a", "--reason", "too slow").stdout == "run run_a is cancelled\n"
    )
    again = oncegate(stand.folder, "runs", "cancel", "run_a")
    assert (again.returncode, again.stderr) == (1, "error: run `run_a` is cancelled\n")
    retried = oncegate(stand.folder, "runs", "retry", "run_a", "--json")
    assert json.loads(retried.stdout)["state"] == "ready"
    deeds = [(record["deed"], record.get("reason"), record["run"]) for record in stand.ledger.audit]
    assert deeds == [("cancel_run", "too slow", "run_a"), ("retry_run", None, "run_a")]
    assert stand.ledger.runs["run_a"].reason == "opened again"


@pytest.mark.requirement("RUN-20")
def test_a_fork_says_its_id_and_how_it_is_started(stand: Stand) -> None:
    stand.ledger.add_run("run_a")
    stand.ledger.runs["run_a"] = replace(stand.ledger.runs["run_a"], calls=3)
    words = ("runs", "fork", "run_a", "--at", "2", "--model", "demo-model=other-model", "--repeat-effects")
    done = oncegate(stand.folder, *words)
    assert (done.returncode, done.stdout) == (0, "run_a_fork\n"), done.stderr
    assert "oncegate run --run run_a_fork -- CMD" in done.stderr
    fork = stand.ledger.runs["run_a_fork"]
    assert (fork.fork_step, fork.details) == (
        2,
        {"models": {"demo-model": "other-model"}, "repeat_effects": True},
    )
    for wrong, code in (
        (("--at", "9"), 2), (("--at", "1", "--model", "demo-model"), 2),
        (("--at", "1", "--model", "demo-model=unheard-of"), 2), ((), 2),
    ):  # fmt: skip
        assert oncegate(stand.folder, "runs", "fork", "run_a", *wrong).returncode == code


@pytest.mark.requirement("RUN-20")
def test_a_timeline_says_how_each_step_came_about_what_it_cost_and_where_it_differs(stand: Stand) -> None:
    stand.ledger.add_run("run_a")
    usage = {"usage": {"input_tokens": 120, "output_tokens": 30}, "cost_usd": 0.0123}
    stand.ledger.add_call(
        "call_1", run="run_a", step=1, resource="model/one", replays=2, meta=usage, rule="clerk-model"
    )
    stand.ledger.add_call("call_2", run="run_a", step=2, state="held", outcome_time=None, milliseconds=None)
    stand.ledger.add_call("call_3", run="run_a", step=3, run_attempt=2, diverges="call_1 $.messages[1].content")
    shown = oncegate(stand.folder, "runs", "show", "run_a").stdout
    assert "executed, replayed 2x" in shown
    assert "120 + 30" in shown
    assert "$0.0123" in shown
    assert "clerk-model" in shown
    assert "held" in shown
    assert "step 3 differs from step 1 at $.messages[1].content" in shown
    timeline = cast(
        "list[dict[str, object]]",
        json.loads(oncegate(stand.folder, "runs", "show", "run_a", "--json").stdout)["timeline"],
    )
    assert [(one["how"], one["decided_by"]) for one in timeline] == [
        ("executed", "clerk-model"), ("held", ""), ("executed", ""),
    ]  # fmt: skip
    assert timeline[2]["differs"] == {"call": "call_1", "step": 1, "path": "$.messages[1].content"}
