"""`oncegate doctor`: each line is what was found and what to do."""

from __future__ import annotations

import base64
import json
import shutil
from typing import TYPE_CHECKING

import pytest

from gateway.cli import checks, engine_checks
from gateway.config import load
from tests.cli.stand import ROOT, Stand, loopback, oncegate

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, *lines: str) -> Path:
    path = folder / "oncegate.yaml"
    path.write_text("\n".join(["version: 1", "development: true", *lines]) + "\n")
    return path


def write_key(folder: Path, mode: int = 0o600) -> None:
    path = folder / "oncegate.key"
    path.write_text(base64.b64encode(bytes(32)).decode())
    path.chmod(mode)


@pytest.mark.requirement("CLI-23")
def test_what_has_failed_is_named_with_what_to_do_and_exits_1(tmp_path: Path) -> None:
    Stand(tmp_path).write_config()
    found = oncegate(tmp_path, "doctor", "--json")
    assert found.returncode == 1
    failed = {check["subject"]: check for check in json.loads(found.stdout) if check["health"] == "failure"}
    assert {"secret_key file:oncegate.key", "credential of model demo-model", "model demo-model"} <= set(failed)
    assert all(check["advice"] for check in failed.values())
    people = oncegate(tmp_path, "doctor")
    assert people.returncode == 1
    assert "FAIL  secret_key file:oncegate.key" in people.stdout
    assert "→ `oncegate init` writes one" in people.stdout


@pytest.mark.requirement("CLI-23")
def test_a_broken_configuration_is_shown_with_every_problem(tmp_path: Path) -> None:
    write(tmp_path, "modles: {}", "listen: 7")
    found = oncegate(tmp_path, "doctor")
    assert found.returncode == 1
    assert "oncegate.yaml:3" in found.stdout
    assert "oncegate.yaml:4" in found.stdout


@pytest.mark.requirement("CLI-23")
def test_upstreams_are_connected_to_and_programs_looked_for(tmp_path: Path) -> None:
    with loopback() as listening:
        listening.listen()
        port = listening.getsockname()[1]
        path = write(
            tmp_path,
            "models:",
            f'  here: {{provider: openai, url: "http://127.0.0.1:{port}/v1"}}',
            "mcp_servers:",
            '  away: {url: "http://127.0.0.1:1/mcp"}',
            "  program: {command: [sh]}",
            "  absent: {command: [no-such-program-here]}",
        )
        found = {check.subject: check.health for check in checks.upstreams(load(path))}
    assert found == {
        "model here": "ok",
        "server away": "failure",
        "server program": "ok",
        "server absent": "failure",
    }


@pytest.mark.requirement("CLI-23")
def test_a_key_that_others_can_read_or_that_is_none_has_failed(tmp_path: Path) -> None:
    path = write(tmp_path, 'models: {m: {provider: openai, url: "http://127.0.0.1:1/v1"}}')
    write_key(tmp_path)
    assert [check.health for check in checks.keys(load(path))] == ["ok"]
    write_key(tmp_path, 0o644)
    assert [check.health for check in checks.keys(load(path))] == ["failure"]
    (tmp_path / "oncegate.key").write_text("short")
    assert [check.health for check in checks.keys(load(path))] == ["failure"]


@pytest.mark.requirement("CLI-23")
def test_a_clock_that_went_back_and_a_state_that_cannot_be_written_have_failed(tmp_path: Path) -> None:
    model = 'models: {m: {provider: openai, url: "http://127.0.0.1:1/v1"}}'
    config = load(write(tmp_path, model))
    written = (tmp_path / "oncegate.yaml").stat().st_mtime
    assert checks.clock(config, written + 1).health == "ok"
    assert checks.clock(config, written - 3600).health == "failure"
    assert checks.store(config).health == "ok"
    assert checks.disk(config).subject == "disk"
    elsewhere = load(write(tmp_path, model, "state: sqlite:///absent/oncegate.db"))
    assert checks.store(elsewhere).health == "failure"
    assert checks.disk(elsewhere).health == "failure"
    assert checks.file_system(tmp_path)


@pytest.mark.requirement("CLI-23")
def test_policies_and_profiles_are_read_and_each_problem_shown(tmp_path: Path) -> None:
    config = load(write(tmp_path, 'models: {m: {provider: openai, url: "http://127.0.0.1:1/v1"}}'))

    def found() -> list[tuple[str, str]]:
        return [(check.subject, check.health) for check in engine_checks.policies(config)]

    assert found() == [("profiles", "failure"), ("policies", "failure")]
    (tmp_path / "policies").mkdir()
    shutil.copy(ROOT / "policies" / "redaction.yaml", tmp_path / "policies")
    lines = tmp_path / "policies" / "own.csv"
    lines.write_text("p, role:any, *, model/m, call, -, allow, redact=standard\n")
    assert ("policies", "ok") in found()
    lines.write_text("p, role:any, *, model/m, call, -, perhaps, -\np, any, *, model/m, call, -, allow, -\n")
    problems = [check.finding for check in engine_checks.policies(config) if check.health == "failure"]
    assert len(problems) == 2
    assert "own.csv:1" in problems[0]


@pytest.mark.requirement("CLI-23")
def test_a_language_model_that_is_absent_names_the_command_that_brings_it(tmp_path: Path) -> None:
    model = 'models: {m: {provider: openai, url: "http://127.0.0.1:1/v1"}}'
    found = engine_checks.language_model(load(write(tmp_path, model, "redaction: {model: nowhere}")))
    assert found.health == "failure"
    assert "oncegate model install" in found.advice
