"""`/metrics`, the dashboard and the alert rules: they speak of the same series."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, cast

import httpx
import pytest
from ruamel.yaml import YAML

from gateway.metrics import FAMILIES, Metrics, Sample
from tests.mcp.stand import TOP

if TYPE_CHECKING:
    from tests.approvals.stand import Office

# the first test of a session starts the gateway, with its language model, on a machine that may be busy

NAME = re.compile(r"\boncegate_[a-z0-9_]+\b")
LABELS = re.compile(r"\bby \(([^)]*)\)")


def series() -> set[str]:
    found: set[str] = set()
    for family in FAMILIES:
        ends = ("_bucket", "_sum", "_count") if family.kind == "histogram" else ("",)
        found |= {family.name + end for end in ends}
    return found


def asked() -> list[str]:
    dashboard = json.loads((TOP / "deploy" / "grafana" / "oncegate.json").read_text(encoding="utf-8"))
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    rules = cast("dict[str, list[dict[str, list[dict[str, object]]]]]", YAML(typ="safe").load(  # pyright: ignore[reportUnknownMemberType] - the library's own types are open
        (TOP / "deploy" / "grafana" / "alerts.yaml").read_text(encoding="utf-8")
    ))  # fmt: skip
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    assert all({"alert", "expr", "for", "labels", "annotations"} <= rule.keys() for rule in alerts)
    return expressions + [str(rule["expr"]) for rule in alerts]


@pytest.mark.requirement("CON-08")
def test_dashboard_and_alerts_ask_for_series_that_exist_and_every_series_is_shown() -> None:
    expressions = asked()
    used = {name for text in expressions for name in NAME.findall(text)}
    assert used - series() == set()
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in used}
    assert {family.name for family in FAMILIES} - shown - used == set()
    labels = {family.name: {*family.labels, "le"} for family in FAMILIES}
    for text in expressions:
        named = [re.sub(r"_(bucket|sum|count)$", "", name) for name in NAME.findall(text)]
        for group in LABELS.findall(text):
            assert {one.strip() for one in group.split(",")} <= {label for name in named for label in labels[name]}


@pytest.mark.requirement("CON-07")
def test_values_are_escaped_and_histograms_add_up() -> None:
    metrics = Metrics(["model/m"])
    metrics.add("oncegate_refusals_total", 2, 'a"b\\c\nd')
    for seconds in (0.0001, 0.004, 99.0):
        metrics.observe("oncegate_added_seconds", seconds, "model")
    metrics.commit_point("before_intent_commit", 1.0)
    metrics.commit_point("before_outcome_commit", 1.5)
    metrics.commit_point("after_intent_commit", 2.0)
    metrics.commit_point("after_outcome_commit", 2.5)
    text = metrics.text([Sample("oncegate_breaker_state", 2, ("model/m",))])
    assert 'oncegate_refusals_total{code="a\\"b\\\\c\\nd"} 2\n' in text
    assert 'oncegate_added_seconds_bucket{kind="model",le="+Inf"} 3\n' in text
    assert 'oncegate_added_seconds_bucket{kind="model",le="0.005"} 2\n' in text
    assert 'oncegate_added_seconds_count{kind="model"} 3\n' in text
    assert "oncegate_journal_commit_seconds_count 1\n" in text
    assert "oncegate_journal_commit_seconds_sum 1\n" in text
    assert 'oncegate_breaker_state{upstream="model/m"} 2\n' in text
    assert metrics.quantile("oncegate_added_seconds", 0.5) == 0.005
    assert metrics.quantile("oncegate_upstream_seconds", 0.5) is None
    assert metrics.upstream_of("model/m") == "model/m"
    assert metrics.upstream_of("model/of-a-caller") == "other"


@pytest.mark.requirement("CON-07")
def test_a_running_gateway_gives_every_family_to_who_may_read_them(desk: Office) -> None:
    url = f"http://127.0.0.1:{desk.admin}/metrics"
    assert httpx.get(url, timeout=60).status_code == 401
    assert httpx.get(url, headers={"authorization": f"Bearer {desk.keys['clerk']}"}, timeout=60).status_code == 403
    answer = httpx.get(url, headers={"authorization": f"Bearer {desk.keys['watcher']}"}, timeout=60)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    for family in FAMILIES:
        assert f"# TYPE {family.name} {family.kind}\n" in answer.text
    values = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    assert float(values["oncegate_journal_commit_seconds_count"]) > 0
    assert float(values["oncegate_journal_bytes"]) > 0
    assert values["oncegate_policy_valid"] == "1"
