"""Cases, explanations, and the commands that show them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gateway.shipped import policies_folder
from policy.cases import run_cases
from policy.explain import explain
from policy.source import PolicyInvalid
from tests.cli.stand import oncegate
from tests.policy.sets import ask, folder_of, principal, set_of

if TYPE_CHECKING:
    from pathlib import Path

LINES = "p, role:clerk, acme, model/m, call, small, allow, -\ng, agent:billing, role:clerk, acme\n"
SMALL = 'small: "args.n < 10"\n'
CASE = "- {as: agent:acme/billing, resource: model/m, args: {n: 5}, expect: allow"
SHIPPED = policies_folder()


@pytest.mark.requirement("POLICY-24")
def test_the_shipped_set_passes_its_cases_in_both_engines_with_each_line_covered() -> None:
    report = run_cases(SHIPPED, "both", profiles={"standard", "strict", "off"}, domains={"demo"})
    assert report.ok
    assert report.uncovered == ()


@pytest.mark.requirement("POLICY-22")
def test_cases_fail_by_effect_line_and_obligations(tmp_path: Path) -> None:
    more = "\n- {as: agent:billing, domain: acme, roles: [x], resource: model/m, args: {n: 50}, expect: allow}"
    cases = f'{CASE}, rule: other, obligations: "redact=x"}}{more}\n{CASE}}}\n'
    report = run_cases(folder_of(tmp_path, LINES, SMALL, a_test__yaml=cases))
    assert [len(one.failures) for one in report.results] == [2, 1, 0]
    assert [one.case.line for one in report.results] == [1, 2, 3]
    assert not report.ok


@pytest.mark.requirement("POLICY-22")
def test_no_cases_are_a_failure_and_lines_nothing_matches_are_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, LINES + "p, agent:b, acme, model/x, call, -, allow, -\n", SMALL)
    report = run_cases(folder)
    assert not report.ok
    assert len(report.uncovered) == report.lines == 3
    (folder / "a_test.yaml").write_text(CASE + "}\n")
    report = run_cases(folder)
    assert report.ok
    assert [ref.line for ref in report.uncovered] == [3]


@pytest.mark.requirement("POLICY-22")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- {as: agent:acme/b, resource: model/m}", "`expect` is missing"),
        ("- {as: agent:acme/b, resource: model/m, expect: alow}", "did you mean `allow`?"),
        ("- {as: agent:acme/b, resource: model/m, expect: allow, acton: call}", "unknown field `acton`"),
        ("- {as: agent:b, resource: model/m, expect: allow}", "expected a trust domain"),
        ("- {as: b, resource: model/m, expect: allow}", "expected `agent:<domain>/<name>`"),
        ("- {as: agent:acme/b, resource: model//m, expect: allow}", "an empty part"),
        ("- {as: agent:acme/b, resource: model/a b, expect: allow}", "write it `model/a%20b`"),
        ("- {as: agent:acme/b, resource: model/m, action: cal, expect: allow}", "unknown action `cal`"),
        ("- {as: agent:acme/b, resource: model/m, time: noon, expect: allow}", "expected a time"),
        ("- {as: agent:acme/b, resource: model/m, roles: x, expect: allow}", "expected a list of names"),
        ("- {as: agent:acme/b, resource: model/m, run: 5, expect: allow}", "`run`: expected a map"),
        ("- {as: agent:acme/b, resource: model/m, expect: allow, obligations: x=1}", "unknown obligation"),
        ("- 5", "expected a map"),
        ("a: b", "expected a list"),
        ("- {a: 1, a: 2}", "not usable YAML"),
    ],
)
def test_a_case_that_cannot_be_read_is_an_error_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    folder = folder_of(tmp_path, LINES, SMALL, a_test__yaml=text + "\n")
    with pytest.raises(PolicyInvalid) as caught:
        run_cases(folder)
    assert str(caught.value).startswith("a_test.yaml:1: ")
    assert message in str(caught.value)


@pytest.mark.requirement("POLICY-23")
def test_an_explanation_names_the_first_term_that_failed_and_the_way_to_a_role(tmp_path: Path) -> None:
    lines = (
        LINES
        + "p, agent:billing, acme, model/other, call, -, allow, -\np, agent:intern, acme, model/m, call, -, allow, -\n"
        "p, agent:billing, acme, model/m, read, -, allow, -\np, agent:billing, other, model/m, call, -, allow, -\n"
        "p, agent:intern, other, model/x, read, -, allow, -\np2, acme, vendors, mcp, call, allow, -\n"
    )
    policies = set_of(tmp_path, lines, SMALL)
    (subject,) = explain(policies, ask(arguments={"n": 50})).subjects
    assert [one.failed for one in subject.candidates] == ["condition", "resource", "subject", "action", "domain"]
    assert subject.candidates[0].wanted == "small: args.n < 10"
    assert subject.candidates[0].path == ("agent:billing", "role:clerk")
    found = explain(policies, ask(arguments={"n": 5}))
    assert found.matched == {"policy.csv:1"}
    across = explain(policies, ask(domain="vendors", who=principal(user="ann", actors=("x",))))
    assert [one.failed for one in across.flows] == ["resource"]
    assert [one.name for one in across.subjects] == ["agent:billing", "user:ann", "agent:x"]


@pytest.mark.requirement("POLICY-25")
def test_the_commands_end_with_zero_one_and_two(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "policies", LINES, SMALL, a_test__yaml=CASE + "}\n")
    assert "1 of 1 cases" in oncegate(tmp_path, "policy", "test", "--engine", "both").stdout
    (folder / "a_test.yaml").write_text(CASE.replace("allow", "deny") + "}\n")
    failed = oncegate(tmp_path, "policy", "test", "--json")
    assert failed.returncode == 1
    assert json.loads(failed.stdout)["cases"][0]["decision"] == "allow"
    who = ("policy", "explain", "--as", "agent:acme/billing", "--resource", "model/m")
    shown = oncegate(tmp_path, *who, "--args", '{"n": 50}')
    assert shown.returncode == 1
    assert "args.n < 10" in shown.stdout
    allowed = oncegate(tmp_path, *who, "--args", '{"n": 5}', "--json")
    assert (allowed.returncode, json.loads(allowed.stdout)["rule"]) == (0, "policy.csv:1")
    assert oncegate(tmp_path, *who, "--args", "{").returncode == 2
    assert oncegate(tmp_path, *who[:-1], "model//m").returncode == 2
    (folder / "policy.csv").write_text("p, nonsense\n")
    broken = oncegate(tmp_path, "policy", "test")
    assert broken.returncode == 2
    assert "policy.csv:1: expected 8 columns" in broken.stderr
