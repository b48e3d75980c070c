"""Tools for authors: tables of cases, JUnit, lint, diff, and explanations of what a run may do."""

from __future__ import annotations

import json
from itertools import product
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy.cases import run_cases
from policy.decision import Question
from policy.difference import differences, spoken_of, summary
from policy.lint import Catalogue, findings_of, sample
from policy.source import PolicyInvalid
from tests.cli.stand import oncegate
from tests.policy.sets import folder_of, set_of

if TYPE_CHECKING:
    from pathlib import Path

LINES = "p, role:clerk, acme, mcp/pay/tool/charge, call, small, allow, -\ng, agent:billing, role:clerk, acme\n"
CONDITIONS = 'small: "args.amount < 10"\n'
TABLE = """\
- name: charges
  as: agent:acme/billing
  resource: mcp/pay/tool/charge
  table:
    - {args: {amount: 5}, expect: allow}
    - {name: too much, args: {amount: 50}, expect: deny}
    - {args: {amount: "5"}, expect: deny, rule: default}
"""


@pytest.mark.requirement("POLICY-22")
def test_a_table_is_a_case_for_each_row_with_what_all_share(tmp_path: Path) -> None:
    report = run_cases(folder_of(tmp_path, LINES, CONDITIONS, a_test__yaml=TABLE), "both")
    assert report.ok
    assert [(one.case.name, one.case.line) for one in report.results] == [
        ("charges", 5), ("too much", 6), ("charges", 7),
    ]  # fmt: skip
    assert report.uncovered == ()


@pytest.mark.requirement("POLICY-22")
@pytest.mark.parametrize(
    "text",
    [
        "- {as: agent:acme/b, table: []}",
        "- {as: agent:acme/b, table: {}}",
        "- {as: agent:acme/b, table: [5]}",
        "- {as: agent:acme/b, resource: model/m, table: [{as: agent:acme/c, expect: deny}]}",
        "- {as: agent:acme/b, resource: model/m, table: [{table: []}]}",
    ],
)
def test_a_table_that_cannot_be_meant_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(PolicyInvalid, match="`table`"):
        run_cases(folder_of(tmp_path, LINES, CONDITIONS, a_test__yaml=text + "\n"))


@pytest.mark.requirement("POLICY-22")
def test_a_case_says_what_the_run_did_before(tmp_path: Path) -> None:
    lines = "p, agent:a, acme, mcp/m/tool/send, call, clean, allow, label=sent\n"
    cases = """\
- as: agent:acme/a
  resource: mcp/m/tool/send
  table:
    - {run: {}, expect: allow, obligations: label=sent}
    - {run: {labels: [untrusted]}, expect: deny}
    - {run: {calls: [mcp/web/tool/read]}, expect: deny}
    - {run: {calls: [{resource: mcp/web/tool/read, finished: false}]}, expect: deny}
    - {run: {calls: [{resource: mcp/m/tool/send, times: 3}]}, expect: deny}
    - {expect: deny}
"""
    clean = "clean: \"never_after('untrusted') && never_after('mcp/web/**') && count('mcp/m/*/send') < 3\"\n"
    assert run_cases(folder_of(tmp_path, lines, clean, a_test__yaml=cases), "both").ok


@pytest.mark.requirement("POLICY-22", "POLICY-25")
def test_junit_names_what_is_not_as_expected_and_no_cases_are_an_error(tmp_path: Path) -> None:
    folder = folder_of(
        tmp_path / "policies", LINES, CONDITIONS, a_test__yaml=TABLE.replace("expect: allow", "expect: deny")
    )
    file = tmp_path / "report.xml"
    assert oncegate(tmp_path, "policy", "test", "--junit", str(file)).returncode == 1
    suite = ET.parse(file).getroot()  # noqa: S314 - our own
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "0")
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert "expected deny, not allow" in str(failure.get("message"))
    (folder / "a_test.yaml").unlink()
    assert oncegate(tmp_path, "policy", "test", "--junit", str(file)).returncode == 1
    assert ET.parse(file).getroot().get("errors") == "1"  # noqa: S314 - our own


CATALOGUE = Catalogue(
    models=frozenset({"gpt"}), servers=frozenset({"pay"}),
    tools={"pay": {
        "charge": {"type": "object", "properties": {"amount": {"type": "string"}, "card": {"type": "string"}}},
    }},
)  # fmt: skip
ALLOW = "p, agent:a, acme, mcp/pay/tool/charge, call, -, allow, -\n"
FINDINGS = {
    "duplicate": ALLOW + ALLOW,
    "shadowed": ALLOW + "p, role:any, *, mcp/pay/**, *, -, deny, -\n",
    "undefined-role": "p, role:clerk, acme, mcp/pay/tool/charge, call, -, allow, -\n",
    "unreachable-role": ALLOW + "g, agent:a, role:nobody, acme\n",
    "too-wide": "p, agent:a, acme, mcp/**, *, -, allow, -\n",
    "unreachable": ALLOW + "p2, acme, vendors, model, call, allow, -\n",
    "unused-condition": ALLOW,
    "undefined-label": "p, agent:a, acme, mcp/pay/tool/charge, call, labelled, allow, -\n",
    "unused-label": "p, agent:a, acme, mcp/pay/tool/charge, call, -, allow, label=x\n",
    "unknown-model": ALLOW + "p, agent:a, acme, model/gtp, call, -, allow, -\n",
    "unknown-server": ALLOW + "p, agent:a, acme, mcp/pya/tool/charge, call, -, allow, -\n",
    "unknown-tool": ALLOW + "p, agent:a, acme, mcp/pay/tool/chrage, call, -, allow, -\n",
    "condition-type": "p, agent:a, acme, mcp/pay/tool/charge, call, small, allow, -\n",
}


@pytest.mark.requirement("POLICY-32")
@pytest.mark.parametrize(("rule", "lines"), FINDINGS.items())
def test_what_is_hardly_meant_is_found_with_its_line(tmp_path: Path, rule: str, lines: str) -> None:
    conditions = f"{CONDITIONS}labelled: \"never_after('mine')\"\n"
    found = findings_of(set_of(tmp_path, lines, conditions), CATALOGUE)
    (finding, *_) = [one for one in found if one.rule == rule]
    assert finding.line == (0 if rule == "unused-condition" else lines.count("\n") if rule != "shadowed" else 1)
    assert "\n" not in str(finding)


@pytest.mark.requirement("POLICY-32")
def test_what_is_meant_is_not_found(tmp_path: Path) -> None:
    lines = (
        "p, role:clerk, acme, mcp/pay/tool/ch*, call, -, allow, label=paid\n"
        "p, role:clerk, acme, model/gpt, call, clean, allow, -\n"
        "p, role:any, *, mcp/pay/tool/delete_*, call, -, deny, -\n"
        "p2, acme, vendors, model, *, allow, redact=standard\ng, agent:a, role:clerk, acme\n"
    )
    policies = set_of(tmp_path, lines, "clean: \"never_after('paid')\"\n")
    catalogue = Catalogue(
        models=frozenset({"gpt"}), servers=frozenset({"pay"}), tools={"pay": {"charge": {}, "delete_x": {}}}
    )
    assert findings_of(policies, catalogue) == []
    assert sample({"type": ["null", "string"], "enum": ["a"]}) == "a"


@pytest.mark.requirement("POLICY-33")
def test_a_difference_says_who_gains_and_loses_what_and_not_what_lines_are_called(tmp_path: Path) -> None:
    old = set_of(tmp_path / "old", LINES + "p, role:clerk, acme, model/m, call, -, allow, -\n", CONDITIONS).snapshot
    moved = "# id: new-name\np, role:clerk, acme, model/m, call, -, allow, -\n" + LINES
    assert differences(old, set_of(tmp_path / "moved", moved, CONDITIONS).snapshot).changes == ()
    new = set_of(
        tmp_path / "new", LINES + "p, role:any, acme, mcp/pay/tool/*, call, -, deny, -\n"
        "p, agent:billing, acme, mcp/x/tool/y, call, -, allow, approval=leads\n", CONDITIONS,
    ).snapshot  # fmt: skip
    found = differences(old, new).changes
    told = {
        (one.principal, one.resource, one.gains, one.loses) for one in found if one.principal == "agent:acme/billing"
    }
    assert told == {
        ("agent:acme/billing", "mcp/pay/tool/charge", False, True),
        ("agent:acme/billing", "model/m", False, True),
        ("agent:acme/billing", "mcp/x/tool/y", True, False),
    }
    assert {one.after for one in found if one.gains} == {"allow (approval=leads)"}


@pytest.mark.requirement("POLICY-33")
def test_lines_about_users_are_compared_and_what_was_not_compared_is_said(tmp_path: Path) -> None:
    lines = "p, user:ann, acme, model/m, call, -, allow, -\np, role:any, acme, model/n, call, -, allow, -\n"
    old = set_of(tmp_path / "old", lines).snapshot
    new = set_of(tmp_path / "new", lines.replace("model/m", "model/k").replace("model/n", "model/l")).snapshot
    told = {(one.principal, one.resource, one.gains) for one in differences(old, new).changes if one.domain == "acme"}
    assert {("user:acme/ann", "model/k", True), ("user:acme/ann", "model/m", False)} <= told
    whole = differences(old, new)
    part = differences(old, new, questions_max=whole.asked // 2)
    assert (part.asked + part.left, part.left > 0) == (whole.asked, True)
    assert set(part.changes) < set(whole.changes)
    assert part.last == max(one.resource for one in part.changes)


_SUBJECTS = st.sampled_from(["agent:a", "agent:b", "role:r", "role:any", "group:g", "user:u"])
_LINE = st.builds(
    "p, {}, {}, {}, {}, {}, {}, -".format, _SUBJECTS, st.sampled_from(["acme", "other", "*"]),
    st.sampled_from(["model/m", "model/*", "mcp/s/**", "mcp/s/tool/t", "**"]), st.sampled_from(["call", "read", "*"]),
    st.sampled_from(["-", "small"]), st.sampled_from(["allow", "deny"]),
)  # fmt: skip
_GRANT = st.builds("g, {}, {}, {}".format, st.sampled_from(["agent:a", "agent:b", "group:g"]), st.just("role:r"),
                   st.sampled_from(["acme", "other"]))  # fmt: skip
_FLOW = st.builds("p2, {}, {}, {}, *, {}, -".format, st.sampled_from(["acme", "other"]),
                  st.sampled_from(["acme", "other"]), st.sampled_from(["model", "*"]),
                  st.sampled_from(["allow", "deny"]))  # fmt: skip
_SETS = st.lists(_LINE | _GRANT | _FLOW, min_size=0, max_size=5, unique=True)


@pytest.mark.requirement("POLICY-33")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shared=_SETS, before=_SETS, after=_SETS)
def test_asking_only_where_something_can_have_changed_misses_nothing(
    tmp_path: Path, shared: list[str], before: list[str], after: list[str]
) -> None:
    always = "p, agent:z, acme, model/z, call, small, allow, -"
    old, new = (
        set_of(tmp_path, "\n".join(dict.fromkeys([always, *shared, *more])) + "\n", "small: args.n < 10\n").snapshot
        for more in (before, after)
    )
    found = {(one.principal, one.resource, one.domain, one.action) for one in differences(old, new).changes}
    spoken = spoken_of(old, new)
    for (name, who), resource, action in product(spoken.principals, spoken.resources, spoken.actions):
        for domain in {who.domain, *spoken.domains}:
            question = Question(principal=who, resource=resource, resource_domain=domain, action=action, time=0.0)
            only = "user:" if name.startswith("user:") else ""
            differs = summary(old, question, only) != summary(new, question, only)
            assert differs == ((name, resource, domain, action) in found)


@pytest.mark.requirement("POLICY-32", "POLICY-33", "POLICY-25")
def test_lint_diff_and_explain_on_the_command_line(tmp_path: Path) -> None:
    folder_of(tmp_path / "policies", LINES, CONDITIONS)
    folder_of(tmp_path / "next", LINES.replace("small", "-"))
    assert oncegate(tmp_path, "policy", "lint").returncode == 0
    changed = oncegate(tmp_path, "policy", "diff", "policies", "next", "--json")
    assert changed.returncode == 1
    assert {one["new"] for one in json.loads(changed.stdout)} == {"allow"}
    assert oncegate(tmp_path, "policy", "diff", "policies", "nowhere").returncode == 2
    lines = "p, agent:a, acme, model/m, call, clean, allow, -\n"
    folder_of(tmp_path / "run", lines, "clean: \"never_after('x') && hour('UTC') < 6\"\n")
    who = (
        "policy",
        "explain",
        "run",
        "--as",
        "agent:acme/a",
        "--resource",
        "model/m",
        "--time",
        "2026-01-01T05:00:00Z",
    )
    assert oncegate(tmp_path, *who, "--run", "{}").returncode == 0
    assert oncegate(tmp_path, *who, "--run", '{"labels": ["x"]}').returncode == 1
    assert oncegate(tmp_path, *who, "--run", '{"label": ["x"]}').returncode == 2
