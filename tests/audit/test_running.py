"""The audit of a gateway that serves: what its records say, what they never say, and that it all verifies."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import pytest

from tests.gateway.model_upstream import ModelUpstream
from tests.gateway.running import RunningGateway, new_folder

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

PLANTED = "planted-4711-content"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningGateway]:
    upstream = ModelUpstream()
    url = f"http://127.0.0.1:{upstream.port}/v1"
    running = RunningGateway(new_folder(tmp_path_factory.mktemp("audit") / "g"), url, inspects=False)
    running.start()
    asked = {"model": "allowed", "messages": [{"role": "user", "content": PLANTED}]}
    assert running.chat(asked, headers={"idempotency-key": "k1"}).status_code == 200
    assert running.chat(asked, headers={"idempotency-key": "k1"}).headers["oncegate-replayed"] == "true"
    assert running.chat(asked | {"model": "forbidden"}).status_code == 403
    running.stop()
    yield running
    upstream.close()


def records(gateway: RunningGateway, *options: str) -> list[dict[str, object]]:
    done = gateway.oncegate("audit", "export", *options)
    assert done.returncode == 0, done.stderr
    return [cast("dict[str, object]", json.loads(line)["record"]) for line in done.stdout.splitlines()]


@pytest.mark.requirement("AUD-08")
def test_a_record_says_who_what_by_which_line_and_what_it_took(gateway: RunningGateway) -> None:
    decided, ended, replayed, refused = (one for one in records(gateway) if "decision" in one)
    for one in (decided, ended, replayed, refused):
        assert (one["principal"], one["method"], one["action"]) == ("agent:acme/billing", "api_key", "call")
        assert str(one["credential"]).startswith("key:")
        assert str(one["policy"]).startswith("sha256:")
        assert {"audit", "correlation", "effect", "domain", "rule", "decision"} <= one.keys()
    assert (decided["resource"], decided["rule"], decided["profiles"]) == ("model/allowed", "rules.csv:1", ["off"])
    assert (ended["ending"], replayed["ending"], refused["code"]) == ("executed", "replayed", "denied")
    assert ended["audit"] == decided["audit"]
    assert len(str(decided["arguments"])) == len(str(ended["result"])) == 32
    usage = cast("dict[str, int]", ended["usage"])
    assert usage["input_tokens"] > 0
    assert cast("int", ended["cost_nanodollars"]) > 0
    assert cast("int", ended["microseconds"]) >= cast("int", ended["upstream_microseconds"]) > 0
    assert replayed["upstream_microseconds"] == 0


@pytest.mark.requirement("AUD-08")
def test_nothing_raw_stands_in_the_audit_or_its_checkpoints(gateway: RunningGateway) -> None:
    said = gateway.oncegate("audit", "export").stdout
    said += (gateway.folder / "oncegate-checkpoints.jsonl").read_text(encoding="utf-8")
    assert PLANTED not in said
    assert gateway.keys["billing"] not in said


@pytest.mark.requirement("AUD-02", "AUD-06")
def test_the_store_and_its_export_verify_with_the_checkpoints_kept_outside(gateway: RunningGateway) -> None:
    outside = str(gateway.folder / "oncegate-checkpoints.jsonl")
    public = str(gateway.folder / "oncegate.db.audit-key.pub")
    done = gateway.oncegate("audit", "verify", "--checkpoint", outside, "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["ok"]) == (0, True), done.stderr
    assert found["signed"] == found["outside"] >= 2
    export = gateway.folder / "export.jsonl"
    export.write_text(gateway.oncegate("audit", "export").stdout, encoding="utf-8")
    again = gateway.oncegate("audit", "verify", "--export", str(export), "--checkpoint", outside, "--key", public)
    assert (again.returncode, again.stderr) == (0, "")
    lines = export.read_text(encoding="utf-8").splitlines()
    export.write_text("\n".join(lines[:-3]) + "\n", encoding="utf-8")
    cut = gateway.oncegate("audit", "verify", "--export", str(export), "--checkpoint", outside, "--key", public)
    assert cut.returncode == 1
    assert "missing, checkpoint" in cut.stderr


@pytest.mark.requirement("AUD-06")
def test_filters_of_an_export_pick_by_agent_resource_and_time(gateway: RunningGateway) -> None:
    picked = records(gateway, "--resource", "model/forbidden", "--agent", "acme/billing", "--since", "2020-01-01")
    assert [one["event"] for one in picked] == ["refusal"]
    assert records(gateway, "--until", "2020-01-01T00:00:00Z") == []
    assert gateway.oncegate("audit", "export", "--since", "yesterday").returncode == 2


@pytest.mark.requirement("AUD-06")
def test_an_export_can_be_of_one_run_alone(gateway: RunningGateway) -> None:
    gateway.start()
    opened = gateway.open_run({}).json()
    ask: dict[str, object] = {"model": "allowed", "messages": [{"role": "user", "content": "in a run"}]}
    assert gateway.chat(ask, headers={"authorization": f"Bearer {opened['token']}"}).status_code == 200
    gateway.stop()
    picked = records(gateway, "--run", str(opened["id"]))
    assert {"decision", "outcome"} <= {one["event"] for one in picked}
    assert {one["run"] for one in picked} == {opened["id"]}
    assert records(gateway, "--run", "run_of_nobody") == []


@pytest.mark.requirement("AUD-02")
def test_the_signing_key_is_nobody_elses_to_read(gateway: RunningGateway) -> None:
    assert _mode(gateway.folder / "oncegate.db.audit-key") == 0o600


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777
