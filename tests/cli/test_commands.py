"""The commands as real processes against a real gateway's socket."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from gateway.admin.address import socket_path
from gateway.admin.api import build_admin
from gateway.admin.peer import bind
from tests.cli.ledger import Ledger
from tests.cli.stand import HOST, Stand, command, loopback, oncegate, parts_of, serving, surroundings

if TYPE_CHECKING:
    from pathlib import Path

LONG_ID = "call_01JD8WQ3Z9M7K2V5T4R6Y8N0PX"


@pytest.mark.requirement("CLI-12")
def test_calls_are_shown_as_a_table_for_people_and_as_one_array_for_programs(stand: Stand) -> None:
    stand.ledger.add_call(LONG_ID, state="doubt", run="run_1", key="order-7")
    table = oncegate(stand.folder, "calls", "list")
    assert table.returncode == 0
    assert LONG_ID in table.stdout
    assert "in_doubt" in table.stdout
    assert "\x1b" not in table.stdout
    listed = oncegate(stand.folder, "calls", "list", "--state", "in_doubt", "--limit", "5", "--json")
    (call,) = json.loads(listed.stdout)
    assert (call["id"], call["key"], call["run"], call["state"]) == (LONG_ID, "order-7", "run_1", "in_doubt")
    assert oncegate(stand.folder, "calls", "list", "--state", "done", "--json").stdout == "[]\n"
    assert "no calls" in oncegate(stand.folder, "calls", "list", "--state", "done").stdout


@pytest.mark.requirement("CLI-12")
def test_what_agents_and_models_wrote_cannot_steer_the_terminal(stand: Stand) -> None:
    stand.ledger.add_call("call_1", resource="mcp/x/tool/\x1b]0;owned\x07\u202e[red]", reason="\x1b[2J\nforged line")
    listed = oncegate(stand.folder, "calls", "list").stdout
    shown = oncegate(stand.folder, "calls", "show", "call_1").stdout
    for text in (listed, shown):
        assert not set(text) & {"\x1b", "\x07", "\u202e"}
        assert "[red]" in text
    assert "\nforged line" not in shown


@pytest.mark.requirement("CLI-12")
def test_a_run_is_shown_with_its_timeline(stand: Stand) -> None:
    empty = oncegate(stand.folder, "runs", "list")
    assert (empty.returncode, empty.stdout) == (0, "no runs\n")
    stand.ledger.add_run("run_1")
    stand.ledger.add_call("call_1", run="run_1", step=1, replays=2)
    (run,) = json.loads(oncegate(stand.folder, "runs", "list", "--json").stdout)
    assert {"id": "run_1", "agent": "billing", "state": "running", "attempt": 1, "result": None}.items() <= run.items()
    assert "agent:acme/billing" in oncegate(stand.folder, "runs", "list", "--state", "running").stdout
    shown = oncegate(stand.folder, "runs", "show", "run_1").stdout
    assert "mcp/payments/tool/charge_card" in shown
    unknown = oncegate(stand.folder, "runs", "show", "run_9")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr == "error: there is no run `run_9`\n"


@pytest.mark.requirement("CLI-13")
def test_a_call_in_doubt_is_settled_once_with_the_outcome_of_a_file(stand: Stand) -> None:
    stand.ledger.add_call("call_1", state="doubt")
    shown = oncegate(stand.folder, "calls", "show", "call_1")
    assert "oncegate calls resolve call_1 happened --outcome FILE" in shown.stdout
    outcome = stand.folder / "outcome.json"
    outcome.write_text('{"content": [{"type": "text", "text": "charged 12.50"}], "amount": 12.50}')
    words = ("calls", "resolve", "call_1", "happened", "--outcome", str(outcome), "--reason", "seen at the bank")
    done = oncegate(stand.folder, *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert stand.ledger.calls["call_1"].state == "done"
    assert b'"amount":12.50' in stand.ledger.outcomes["call_1"].body
    assert stand.ledger.audit[0]["reason"] == "seen at the bank"
    again = oncegate(stand.folder, *words)
    assert again.returncode == 1
    assert "not in doubt" in again.stderr


@pytest.mark.requirement("CLI-13")
@pytest.mark.parametrize(
    "words",
    [
        ("happened",),
        ("execute", "--outcome", "outcome.json"),
        ("fail",),
        ("perhaps",),
        ("happened", "--outcome", "absent.json"),
        ("happened", "--outcome", "broken.json"),
    ],
)
def test_a_decision_that_is_not_complete_is_a_usage_error(stand: Stand, words: tuple[str, ...]) -> None:
    stand.ledger.add_call("call_1", state="doubt")
    (stand.folder / "outcome.json").write_text("{}")
    (stand.folder / "broken.json").write_text('{"a": 1, "a": 2}')
    assert oncegate(stand.folder, "calls", "resolve", "call_1", *words).returncode == 2
    assert stand.ledger.calls["call_1"].state == "doubt"


@pytest.mark.requirement("CLI-14")
def test_exit_codes_tell_a_no_from_a_mistake_and_from_an_absent_gateway(tmp_path: Path) -> None:
    absent = oncegate(tmp_path, "runs", "list")
    assert (absent.returncode, absent.stdout) == (2, "")
    assert "oncegate.yaml" in absent.stderr
    Stand(tmp_path).write_config()
    away = oncegate(tmp_path, "runs", "list")
    assert away.returncode == 3
    assert "is `oncegate serve` running?" in away.stderr
    bind(socket_path(tmp_path / "oncegate.db")).close()
    assert oncegate(tmp_path, "runs", "list").returncode == 3
    assert oncegate(tmp_path, "runs", "list", "--limit", "0").returncode == 2
    assert oncegate(tmp_path, "rnus").returncode == 2
    assert oncegate(tmp_path, "--help").returncode == 0


@pytest.mark.requirement("CLI-14")
def test_a_gateway_elsewhere_is_asked_as_whoever_the_token_is(tmp_path: Path) -> None:
    ledger = Ledger()
    ledger.add_call("call_1", state="doubt")
    listening = loopback()
    port = listening.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    (tmp_path / "token").write_text("viewer-token\n")
    app = build_admin(parts_of(ledger, host=f"127.0.0.1:{port}"), listener="tcp")
    with serving(app, listening):
        by_file = oncegate(tmp_path, "calls", "list", "--json", "--url", url, "--token", "file:token")
        assert json.loads(by_file.stdout)[0]["id"] == "call_1"
        denied = oncegate(tmp_path, "calls", "resolve", "call_1", "execute", "--url", url, "--token", "file:token")
        assert (denied.returncode, ledger.calls["call_1"].state) == (1, "doubt")
        wrong = oncegate(tmp_path, "calls", "list", "--url", url, "--token", "env:TOKEN", TOKEN="wrong-secret")
        assert wrong.returncode == 2
        assert "wrong-secret" not in wrong.stderr
        as_is = oncegate(tmp_path, "calls", "list", "--url", url, "--token", "viewer-token")
        assert (as_is.returncode, "viewer-token" in as_is.stderr) == (2, False)
        assert oncegate(tmp_path, "calls", "list", "--url", url).returncode == 2
        assert oncegate(tmp_path, "calls", "list", "--token", "file:token").returncode == 2
    assert oncegate(tmp_path, "calls", "list", "--url", url, "--token", "file:token").returncode == 3
    assert HOST not in by_file.stdout


@pytest.mark.requirement("CLI-14")
def test_a_reader_that_has_seen_enough_ends_a_listing_quietly(stand: Stand) -> None:
    for number in range(400):
        stand.ledger.add_call(f"call_{number}", reason="x" * 400)
    with subprocess.Popen(
        command("calls", "list", "--limit", "1000", "--json"),
        cwd=stand.folder,
        env=surroundings(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as listing:
        assert listing.stdout is not None
        assert listing.stderr is not None
        listing.stdout.read(10)
        listing.stdout.close()
        assert listing.stderr.read() == b""
