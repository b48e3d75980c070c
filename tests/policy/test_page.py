"""Each row of the truth table in docs/policy.md, and each shipped set, is what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from policy.cases import run_cases
from policy.lint import findings_of
from policy.source import load
from tests.policy.sets import folder_of

TOP = Path(__file__).parents[2]
PAGE = (TOP / "docs" / "policy.md").read_text(encoding="utf-8")
CONDITIONS = PAGE.partition("```yaml\n")[2].partition("```")[0]
SETS = sorted(path for path in (TOP / "policies" / "sets").iterdir() if path.is_dir())


def rows() -> list[tuple[str, str, str]]:
    """Return lines, question and decision of each row."""
    table = PAGE.partition("| lines | asked | decided |\n|---|---|---|\n")[2].partition("\n\n")[0]
    return [(one, two, three) for one, two, three in (row.strip("| ").split(" | ") for row in table.splitlines())]


@pytest.mark.requirement("POLICY-35")
@pytest.mark.parametrize(("lines", "asked", "decided"), rows())
def test_a_row_of_the_truth_table_is_so(tmp_path: Path, lines: str, asked: str, decided: str) -> None:
    policy = "".join(f"{line}\n" for line in re.findall(r"`([^`]+)`", lines))
    if not re.search(r"^p,", policy):
        raise AssertionError(lines)
    effect, *demands = decided.replace("`", "").split()
    defaults = {"as": "agent:acme/a", "resource": "mcp/s/tool/t", "time": "2026-01-01T12:00:00Z"}
    reader: Any = YAML(typ="safe", pure=True)
    question: dict[str, object] = reader.load(asked.strip("`"))
    resource_domain = {} if "resource_domain" in question or "as" in question else {"resource_domain": "acme"}
    case = defaults | resource_domain | question | {"expect": effect}
    if demands:
        case["obligations"] = demands[0]
    (tmp_path / "set").mkdir()
    folder = folder_of(tmp_path / "set", policy, CONDITIONS)
    with (folder / "row_test.yaml").open("w", encoding="utf-8") as file:
        reader.dump([case], file)
    report = run_cases(folder, "both")
    assert report.ok, report.failed[0].failures


@pytest.mark.requirement("POLICY-35")
def test_the_page_has_a_row_for_each_effect_and_each_engine_agrees() -> None:
    assert len(rows()) >= 60
    assert {decided.split()[0] for _, _, decided in rows()} == {"allow", "deny", "approval"}


@pytest.mark.requirement("POLICY-36")
@pytest.mark.parametrize("folder", SETS, ids=[path.name for path in SETS])
def test_a_shipped_set_passes_its_cases_in_both_engines_with_each_line_covered_and_lints_clean(folder: Path) -> None:
    report = run_cases(folder, "both")
    assert report.ok, [one.failures for one in report.failed]
    assert report.uncovered == ()
    assert findings_of(load(folder)) == []


@pytest.mark.requirement("POLICY-36")
def test_there_are_sets_for_three_situations_and_the_starter_set_is_none_of_them() -> None:
    assert [path.name for path in SETS] == ["assistant", "partners", "payments"]
    assert not any("sets/" in rule.ref.file for rule in load(TOP / "policies").snapshot.rules)


@pytest.mark.requirement("POLICY-11")
def test_files_of_folders_below_belong_to_the_set(tmp_path: Path) -> None:
    folder_of(tmp_path, "p, agent:a, acme, model/m, call, small, allow, -\n", 'large: "args.n > 5"\n')
    folder_of(tmp_path / "more", "p, agent:b, acme, model/m, call, large, allow, -\n", 'small: "args.n < 5"\n')
    found = load(tmp_path).snapshot
    assert [rule.ref.file for rule in found.rules] == ["more/policy.csv", "policy.csv"]
    assert set(found.conditions) == {"small", "large"}
