"""What policy lines mean."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from policy.decision import Restore
from policy.snapshot import REMEMBERED_MAX
from tests.policy.sets import ask, principal, set_of

if TYPE_CHECKING:
    from pathlib import Path

    from policy.decision import Question

ALLOW = "p, agent:billing, acme, model/m, call, -, allow, -\n"
SMALL = 'small: "args.amount < 1000"\n'


@pytest.mark.requirement("POLICY-01")
@pytest.mark.parametrize(
    "question",
    [
        ask("model/other"),
        ask("model/m/hosted/web"),
        ask(action="read"),
        ask(who=principal("intern")),
        ask(who=principal(domain="other"), domain="other"),
    ],
)
def test_what_no_line_allows_is_denied(tmp_path: Path, question: Question) -> None:
    policies = set_of(tmp_path, ALLOW)
    assert policies.decide(ask()).effect == "allow"
    decision = policies.decide(question)
    assert (decision.effect, decision.rule, decision.line) == ("deny", "default", None)


@pytest.mark.requirement("POLICY-02")
def test_deny_stands_above_approval_and_approval_above_allow(tmp_path: Path) -> None:
    approval = "p, agent:billing, acme, model/*, call, -, allow, approval=leads\n"
    deny = "p, role:any, *, model/m, call, -, deny, -\n"
    assert set_of(tmp_path, ALLOW + approval).decide(ask()).effect == "approval"
    assert set_of(tmp_path, ALLOW + approval).decide(ask()).rule == "policy.csv:2"
    assert set_of(tmp_path, ALLOW + approval + deny).decide(ask()).effect == "deny"
    assert set_of(tmp_path, deny + approval + ALLOW).decide(ask()).rule == "policy.csv:1"


@pytest.mark.requirement("POLICY-03", "TRAP-05")
@pytest.mark.parametrize("arguments", [{}, {"amount": "5"}, {"amount": True}, {"amount": None}, None, [5], "5"])
def test_a_condition_that_errs_helps_no_allow_line_and_every_deny_line(tmp_path: Path, arguments: object) -> None:
    allow = "p, agent:billing, acme, model/m, call, small, allow, -\n"
    deny = "p, agent:billing, acme, model/m, call, small, deny, -\n"
    assert set_of(tmp_path, allow, SMALL).decide(ask(arguments=arguments)).rule == "default"
    denied = set_of(tmp_path, ALLOW + deny, SMALL).decide(ask(arguments=arguments))
    assert (denied.effect, denied.rule) == ("deny", "policy.csv:2")
    assert denied.error is not None
    # the other lines still decide
    assert set_of(tmp_path, allow + ALLOW, SMALL).decide(ask(arguments=arguments)).effect == "allow"


@pytest.mark.requirement("POLICY-04")
def test_calls_between_domains_need_a_flow_line_first(tmp_path: Path) -> None:
    across = ask(domain="vendors")
    assert set_of(tmp_path, ALLOW).decide(ask()).effect == "allow"
    assert "no flow line" in set_of(tmp_path, ALLOW).decide(across).reason
    flow = "p2, acme, vendors, model, call, allow, redact=strict\n"
    decided = set_of(tmp_path, ALLOW + flow).decide(across)
    assert decided.effect == "allow"
    assert decided.obligations.profiles == ("strict",)
    assert decided.flow_line is not None
    assert set_of(tmp_path, ALLOW + flow + "p2, *, vendors, *, *, deny, -\n").decide(across).rule == "policy.csv:3"
    assert set_of(tmp_path, ALLOW + "p2, vendors, acme, *, *, allow, -\n").decide(across).effect == "deny"
    assert set_of(tmp_path, ALLOW + "p2, acme, vendors, mcp, *, allow, -\n").decide(across).effect == "deny"
    # the flow gate opens nothing by itself
    assert set_of(tmp_path, flow + ALLOW).decide(replace(across, resource="model/x")).rule == "default"


@pytest.mark.requirement("POLICY-05")
def test_agent_user_and_every_actor_must_be_allowed(tmp_path: Path) -> None:
    lines = ALLOW + "p, user:ann, acme, model/m, call, -, allow, approval=leads\n"
    policies = set_of(tmp_path, lines + "p, agent:helper, acme, model/m, call, -, allow, -\n")
    assert policies.decide(ask(who=principal(user="ann"))).effect == "approval"
    assert policies.decide(ask(who=principal(user="bob"))).effect == "deny"
    assert policies.decide(ask(who=principal(user="ann", actors=("helper",)))).effect == "approval"
    assert policies.decide(ask(who=principal(actors=("helper", "stranger")))).effect == "deny"
    # the agent's roles are not the user's, nor the other way round
    clerks = set_of(tmp_path, "p, role:clerk, acme, model/m, call, -, allow, -\n")
    assert clerks.decide(ask(who=principal(roles=("clerk",), user="ann"))).effect == "deny"
    assert clerks.decide(ask(who=principal(user="ann", user_roles=("clerk",)))).effect == "deny"
    assert clerks.decide(ask(who=principal(roles=("clerk",), user="ann", user_roles=("clerk",)))).effect == "allow"


@pytest.mark.requirement("POLICY-06")
def test_demands_add_up_and_grants_are_the_union(tmp_path: Path) -> None:
    lines = (
        "p, agent:billing, acme, model/m, call, -, allow, redact=standard;restore=*@agent\n"
        "p, agent:billing, acme, model/*, call, -, allow, redact=strict;approval=leads,four-eyes\n"
        "p, agent:billing, acme, model/**, call, -, allow, approval=legal;restore=PERSON+IBAN@/to/name\n"
    )
    found = set_of(tmp_path, lines).decide(ask()).obligations
    assert found.profiles == ("standard", "strict")
    assert found.approvals == ("leads,four-eyes", "legal")
    assert set(found.restores) == {
        Restore(entities=frozenset(), target="agent"),
        Restore(entities=frozenset({"PERSON", "IBAN"}), target="tool", pointer="/to/name"),
    }


@pytest.mark.requirement("POLICY-07")
def test_roles_belong_to_the_callers_own_domain(tmp_path: Path) -> None:
    lines = "p, role:clerk, acme, model/m, call, -, allow, -\ng, agent:billing, role:clerk, acme\n"
    policies = set_of(tmp_path, lines + "p2, other, acme, *, *, allow, -\ng, group:desk, role:clerk, acme\n")
    assert policies.decide(ask()).effect == "allow"
    assert policies.decide(ask(who=principal(domain="other"))).effect == "deny"
    assert policies.decide(ask(who=principal("x", roles=("clerk",)))).effect == "allow"
    assert policies.decide(ask(who=principal("x", groups=("desk",)))).effect == "allow"
    assert policies.decide(ask(who=principal("x", groups=("clerk",)))).effect == "deny"


@pytest.mark.requirement("POLICY-07")
def test_a_role_given_everywhere_leads_on_through_the_lines_of_one_domain(tmp_path: Path) -> None:
    lines = "g, agent:billing, role:a, *\ng, role:a, role:b, acme\ng, role:b, role:c, *\n"
    deny = "p, role:c, acme, model/m, call, -, deny, -\n"
    assert set_of(tmp_path, ALLOW + lines + deny).decide(ask()).effect == "deny"


@pytest.mark.requirement("POLICY-08")
def test_a_claim_gives_no_role_over_the_gateway(tmp_path: Path) -> None:
    policies = set_of(tmp_path, "p, role:admin, *, admin/**, *, -, allow, -\ng, agent:op, role:admin, acme\n")
    question = ask("admin/calls", action="change")
    assert policies.decide(replace(question, principal=principal("op"))).effect == "allow"
    claimed = principal("x", roles=("admin",), groups=("admin",))
    assert policies.decide(replace(question, principal=claimed)).effect == "deny"
    appointed = replace(principal("x"), appointed=frozenset({"admin"}))  # by the configuration, for a login
    assert policies.decide(replace(question, principal=appointed)).effect == "allow"
    assert policies.reference().decide(replace(question, principal=appointed)).effect == "allow"


@pytest.mark.requirement("POLICY-09")
def test_an_item_is_listed_unless_calling_it_is_certainly_denied(tmp_path: Path) -> None:
    lines = (
        "p, agent:billing, acme, mcp/s/tool/a, call, small, allow, -\n"
        "p, agent:billing, acme, mcp/s/tool/b, call, -, allow, -\np, role:any, *, mcp/s/tool/b, call, small, deny, -\n"
        "p, agent:billing, acme, mcp/s/tool/c, call, -, allow, -\np, role:any, *, mcp/s/tool/c, call, -, deny, -\n"
        "p, agent:billing, acme, mcp/s/tool/d, call, -, allow, approval=leads\n"
    )
    policies = set_of(tmp_path, lines, SMALL)
    listed = {
        name for name in "abcde" if policies.decide(ask(f"mcp/s/tool/{name}", certain_only=True)).effect != "deny"
    }
    assert listed == {"a", "b", "d"}


@pytest.mark.requirement("POLICY-10", "TRAP-07")
def test_a_question_that_cannot_be_decided_is_denied(tmp_path: Path) -> None:
    policies = set_of(tmp_path, "p, role:any, *, **, *, small, allow, -\n", SMALL)
    deep: object = 5
    for _ in range(100_000):
        deep = [deep]
    assert policies.decide(ask(arguments={"amount": deep})).effect == "deny"
    assert policies.decide(ask("", {"amount": 5}, action="")).effect in {"allow", "deny"}
    empty = set_of(tmp_path, ALLOW).decide(ask("", who=principal("", ""), domain="", action=""))
    assert empty.effect == "deny"
    assert set_of(tmp_path, ALLOW).reference().decide(ask("", who=principal("", ""), domain="")).effect == "deny"


@pytest.mark.requirement("TRAP-08", "POLICY-12")
def test_every_decision_names_its_line_and_an_id_outlives_moves(tmp_path: Path) -> None:
    named = set_of(tmp_path, f"# id: the-model\n{ALLOW}").decide(ask())
    assert named.rule == "the-model"
    moved = set_of(tmp_path, f"\n\n# said above\n# id: the-model\n{ALLOW}").decide(ask())
    assert (moved.rule, moved.line.line if moved.line else 0) == ("the-model", 5)
    assert set_of(tmp_path, ALLOW).decide(ask()).rule == "policy.csv:1"


@pytest.mark.requirement("POLICY-26")
def test_memory_does_not_grow_with_the_names_callers_choose(tmp_path: Path) -> None:
    snapshot = set_of(tmp_path, ALLOW).snapshot
    for number in range(REMEMBERED_MAX + 50):
        snapshot.decide(ask(f"model/{number}", who=principal(f"a{number}")))
    assert len(snapshot._subjects) <= REMEMBERED_MAX  # pyright: ignore[reportPrivateUsage] - the bound itself
