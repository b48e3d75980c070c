"""A policy folder is verified whole, and everything wrong is said with its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from policy.source import PolicyInvalid, load
from tests.policy.sets import ask, folder_of, problems_of, set_of

if TYPE_CHECKING:
    from pathlib import Path

GOOD = "p, agent:a, acme, model/m, call, -, allow, -\n"

BAD_LINES = {
    "q, agent:a, acme, model/m, call, -, allow, -": "unknown line type `q`",
    "P, agent:a, acme, model/m, call, -, allow, -": "unknown line type `P`",
    "p, agent:a, acme, model/m, call, -, DENY, -": "unknown effect `DENY`",
    "p, agent:a, acme, model/m, call, -, denied, -": "did you mean `deny`?",
    "p, agent:a, acme, model/m, cal, -, allow, -": "did you mean `call`?",
    "p, agent:a, acme, model/m, call, -, allow": "expected 8 columns for `p`, not 7",
    "p, agent:a, acme, model/m, call, -, allow, - # later": "a comment must stand on a line of its own",
    'p, agent:a, acme, "model/m,x", call, -, allow, -': "quotes have no meaning here",
    "p, billing, acme, model/m, call, -, allow, -": "subject `billing`: expected `agent:`",
    "p, agent:*, acme, model/m, call, -, allow, -": "subject `agent:*`",
    "p, agent:a, acme, model//m, call, -, allow, -": "an empty part",
    "p, agent:a, acme, mcp/**/x, call, -, allow, -": "must be the whole last part",
    "p, agent:a, acme, mcp/../x, call, -, allow, -": "an empty part, `.` or `..`",
    "p, agent:a, acme, model/a b, call, -, allow, -": "write it `a%20b`",
    "p, agent:a, acme, model/m, call, smal, allow, -": "unknown condition `smal`; did you mean `small`?",
    "p, agent:a, acme, model/m, call, -, deny, redact=x": "a deny carries no obligations",
    "p, agent:a, acme, model/m, call, -, allow, limit=5/1y": "expected a number of calls and a period",
    "p, agent:a, acme, run/b, create, -, allow, limit=5/1h": "to begin a run is none",
    "p, agent:a, acme, model/m, call, -, allow, label=X y": "expected a name of a-z 0-9 . _ -",
    "p, agent:a, acme, model/m, call, -, allow, redacted=x": "unknown obligation `redacted`",
    "p, agent:a, acme, model/m, call, -, allow, redact": "expected `name=value`",
    "p, agent:a, acme, model/m, call, -, allow, redact=a b": "expected the name of a profile",
    "p, agent:a, acme, model/m, call, -, allow, redact=standart": "did you mean `standard`?",
    "p, agent:a, acme, model/m, call, -, allow, approval=a b": "expected a group",
    "p, agent:a, acme, model/m, call, -, allow, restore=person@/x": "expected entities in capitals",
    "p, agent:a, acme, model/m, call, -, allow, restore=PERSON": "expected `ENTITY+…@/pointer`",
    "p, agent:a, acme, model/m, call, -, allow, restore=*@tool": "expected a JSON pointer",
    "p, agent:a, acne, model/m, call, -, allow, -": "unknown trust domain `acne`; did you mean `acme`?",
    "p2, acme, vendors, modle, call, allow, -": "did you mean `model`?",
    "p2, acme, vendor, model, call, allow, -": "unknown trust domain `vendor`",
    "p2, acme, vendors, model, call, permit, -": "unknown effect `permit`",
    "g, agent:a, clerk, acme": "expected a role (`role:name`)",
    "g, agent:a, role:any, acme": "expected a role (`role:name`)",
    "g, agent:a, role:clerk": "expected 4 columns for `g`, not 3",
    "g, role:x, role:x, acme": "a circle of roles",
}


@pytest.mark.requirement("POLICY-11", "TRAP-06")
@pytest.mark.parametrize(("line", "message"), BAD_LINES.items())
def test_a_line_that_cannot_be_meant_is_an_error_with_its_place(tmp_path: Path, line: str, message: str) -> None:
    folder = folder_of(tmp_path, f"# first\n{GOOD}{line}\n", 'small: "args.x < 5"\n')
    with pytest.raises(PolicyInvalid) as caught:
        load(folder, profiles={"standard"}, domains={"acme", "vendors"})
    (problem,) = caught.value.problems
    assert str(problem).startswith("policy.csv:3: ")
    assert message in problem.message
    assert "\n" not in problem.message


@pytest.mark.requirement("POLICY-11")
def test_all_problems_of_all_files_are_said_at_once(tmp_path: Path) -> None:
    found = problems_of(
        tmp_path,
        "nonsense\np, agent:a, acme, model/m, call, missing, allow, -\ng, role:a, role:b, acme\ng, role:b, role:a, *\n",
        'one: "args.x <"\ntwo: [1]\n',
        other__csv="p, x, y\n# id: same\n" + GOOD + "# id: same\n" + GOOD,
    )
    assert [one.split(": ")[0] for one in found] == [
        "conditions.yaml:1", "conditions.yaml:2", "other.csv:1", "other.csv:5",
        "policy.csv:1", "policy.csv:2", "policy.csv:3", "policy.csv:4",
    ]  # fmt: skip
    assert "id `same` stands at other.csv:3 already" in found[3]


@pytest.mark.requirement("POLICY-11")
@pytest.mark.parametrize("conditions", ["a: b: c\n", '- "x"\n', 'a: "1 == 1"\na: "2 == 2"\n', "a: 5\n"])
def test_conditions_that_cannot_be_read_are_an_error(tmp_path: Path, conditions: str) -> None:
    assert problems_of(tmp_path, GOOD, conditions)[0].startswith("conditions.yaml:")


@pytest.mark.requirement("POLICY-11")
def test_an_absent_an_empty_and_an_unreadable_folder_are_refused(tmp_path: Path) -> None:
    for folder in (tmp_path / "absent", folder_of(tmp_path / "empty", "# nothing\n")):
        with pytest.raises(PolicyInvalid):
            load(folder)
    (tmp_path / "empty" / "policy.csv").write_bytes(b"p, agent:\xff\n")
    with pytest.raises(PolicyInvalid, match="expected UTF-8"):
        load(tmp_path / "empty")
    with (tmp_path / "empty" / "policy.csv").open("w") as file:
        file.write(GOOD + "#" * 5_000_000)
    with pytest.raises(PolicyInvalid, match="larger than"):
        load(tmp_path / "empty")


@pytest.mark.requirement("POLICY-11")
def test_hidden_copies_of_mounted_volumes_are_left_out(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, f"# id: once\n{GOOD}")
    folder_of(folder / "..data", f"# id: once\n{GOOD}")
    assert len(load(folder).snapshot.rules) == 1


@pytest.mark.requirement("BUD-09")
def test_a_limit_knows_its_line_and_equal_limits_of_two_lines_are_two(tmp_path: Path) -> None:
    lines = "".join(
        f"# id: {name}\np, {subject}, acme, model/m, call, -, allow, limit=5/1h;limit=50/1d\n"
        for name, subject in (("one", "agent:billing"), ("two", "role:any"))
    )
    limits = set_of(tmp_path, lines).decide(ask()).obligations.limits
    assert [(one.calls, one.seconds, one.line) for one in limits] == [
        (5, 3600, "one"), (50, 86400, "one"), (5, 3600, "two"), (50, 86400, "two"),
    ]  # fmt: skip


@pytest.mark.requirement("POLICY-11")
def test_an_obligation_may_hold_a_comma(tmp_path: Path) -> None:
    policies = set_of(tmp_path, "p, agent:billing, acme, model/m, call, -, allow, approval=leads,four-eyes\n")
    assert policies.decide(ask()).obligations.approvals == ("leads,four-eyes",)
