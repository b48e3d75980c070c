"""`oncegate top`, and what `oncegate doctor` says of the audit and its exporters."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gateway.cli import checks, network_checks
from gateway.config import load
from tests.telemetry.collector import Collector

if TYPE_CHECKING:
    from pathlib import Path

    from tests.approvals.stand import Office

# the first test of a session starts the gateway, with its language model, on a machine that may be busy


@pytest.mark.requirement("CON-11")
def test_top_draws_how_a_gateway_stands(desk: Office) -> None:
    drawn = desk.oncegate("top", "--count", "2", "--every", "0.5")
    assert drawn.returncode == 0, drawn.stderr
    for word in ("calls", "denied", "in doubt", "approvals", "spent", "audit waiting", "RESOURCE"):
        assert word in drawn.stdout
    found = json.loads(desk.oncegate("top", "--json").stdout)
    assert found["overview"]["policies_valid"] is True
    token = desk.folder / "watcher.token"
    token.write_text(desk.keys["watcher"], encoding="utf-8")
    remote = desk.oncegate("top", "--count", "1", "--url", f"http://127.0.0.1:{desk.admin}", "--token", f"file:{token}")
    assert remote.returncode == 0, remote.stderr


@pytest.mark.requirement("CON-11")
def test_doctor_looks_at_exporters_checkpoints_and_the_audits_key(tmp_path: Path) -> None:
    with Collector() as sink:
        config = tmp_path / "oncegate.yaml"
        model = "models: {m: {provider: openai_compatible, url: 'http://127.0.0.1:9/v1'}}"
        config.write_text(f"version: 1\n{model}\ntelemetry: {{otlp: '{sink.url}'}}\n", encoding="utf-8")
        found = {one.subject: one for one in network_checks.exporters(load(config))}
        assert {found[f"exporter of {what}"].health for what in ("traces", "the audit", "metrics")} == {"ok"}
    with Collector("200", "405") as sink:
        config.write_text(f"version: 1\n{model}\ntelemetry: {{otlp: '{sink.url}'}}\n", encoding="utf-8")
        found = {one.subject: one for one in network_checks.exporters(load(config))}
        assert found["exporter of the audit"].health == "warning"
        assert "405" in found["exporter of the audit"].finding
    assert {one.subject: one.health for one in checks.audit(load(config))} == {"checkpoints": "ok"}
    key = tmp_path / "oncegate.db.audit-key"
    key.write_text("secret", encoding="utf-8")
    key.chmod(0o644)
    assert {one.subject: one.health for one in checks.audit(load(config))}["key of the audit"] == "failure"
