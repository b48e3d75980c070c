"""What stock Casbin does wrong, and this product must not (`facts/policy.md` A3)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from policy.source import SHIPPED_MODEL
from tests.policy.sets import ask, principal, problems_of, set_of

if TYPE_CHECKING:
    from pathlib import Path

ALLOW = "p, agent:billing, acme, model/m, call, -, allow, -\n"
DENY = "p, role:any, *, model/m, call, -, deny, -\n"


def model_with(old: str, new: str) -> str:
    assert old in SHIPPED_MODEL
    return SHIPPED_MODEL.replace(old, new)


@pytest.mark.requirement("TRAP-04")
@pytest.mark.parametrize("condition", ["True) or (True", "1 == 1", "r.sub == 'x'", "r.ctx.question"])
def test_a_condition_column_is_a_name_and_never_code(tmp_path: Path, condition: str) -> None:
    assert problems_of(tmp_path, f"p, agent:billing, acme, model/m, call, {condition}, allow, -\n")


@pytest.mark.requirement("TRAP-04", "TRAP-01", "TRAP-07", "TRAP-09", "POLICY-20")
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (model_with("condition(p.cond, r.ctx, p.eft)", "eval(p.cond)"), "`eval` must not stand"),
        (model_with("segments(r.obj, p.obj)", "globMatch(r.obj, p.obj)"), "`globMatch` must not stand"),
        (model_with("some(where (p.eft == allow)) && !some", "!some"), "allows what no line matches"),
        (model_with("e2 = some(where (p.eft == allow)) && ", "e2 = "), "stock Casbin reads only `e`"),
        (model_with("p = sub, dom, obj, act, cond, eft, obl", "p = sub, obj, act"), "the columns of the shipped model"),
        (model_with("[matchers]", "[matcher]"), "model.conf:1: "),
        ("", "model.conf:1: "),
    ],
)
def test_an_unsafe_model_is_refused(tmp_path: Path, model: str, message: str) -> None:
    (problem,) = problems_of(tmp_path, ALLOW, model__conf=model)
    assert message in problem


@pytest.mark.requirement("POLICY-20")
def test_a_changed_model_is_honoured_by_stock_casbin(tmp_path: Path) -> None:
    lines = ALLOW.replace(", -\n", ", redact=strict\n") + DENY
    assert set_of(tmp_path, lines).decide(ask()).effect == "deny"
    changed = set_of(tmp_path, lines, model__conf=model_with(" && !some(where (p.eft == deny))", ""))
    assert changed.changed_model is not None
    decision = changed.decide(ask())
    assert (decision.effect, decision.rule, decision.obligations.profiles) == ("allow", "policy.csv:1", ("strict",))
    assert changed.decide(ask("model/other")).effect == "deny"
    spaced = set_of(tmp_path, lines, model__conf="# ours\n" + SHIPPED_MODEL.replace(" = ", "="))
    assert spaced.changed_model is None


@pytest.mark.requirement("POLICY-20")
def test_a_changed_model_may_ask_for_roles_with_g(tmp_path: Path) -> None:
    lines = "p, role:clerk, acme, model/m, call, -, allow, -\ng, agent:billing, role:clerk, acme\n"
    model = model_with("member(r.sub, p.sub, r.dom, r.ctx)", "g(r.sub, p.sub, r.dom)")
    changed = set_of(tmp_path, lines, model__conf=model)
    assert changed.decide(ask()).effect == "allow"
    assert changed.decide(ask(who=principal("intern"))).effect == "deny"


@pytest.mark.requirement("TRAP-05", "POLICY-10")
def test_an_exception_inside_a_changed_model_is_a_deny(tmp_path: Path) -> None:
    model = model_with("r.dom == p.dom)", "r.dom < r.ctx)")
    decision = set_of(tmp_path, ALLOW, model__conf=model).decide(ask())
    assert decision.effect == "deny"
    assert decision.error is not None


@pytest.mark.requirement("TRAP-10")
def test_a_deny_on_a_distant_ancestor_holds(tmp_path: Path) -> None:
    chain = "".join(f"g, role:r{number}, role:r{number + 1}, acme\n" for number in range(40))
    lines = f"{ALLOW}g, agent:billing, role:r0, acme\n{chain}p, role:r40, acme, model/m, call, -, deny, -\n"
    policies = set_of(tmp_path, lines)
    assert policies.decide(ask()).effect == "deny"
    assert policies.reference().decide(ask()).effect == "deny"


@pytest.mark.requirement("TRAP-10")
@pytest.mark.parametrize("name", ["clerk", "role:clerk", "billing"])
def test_a_subject_named_as_a_role_or_a_user_is_not_that(tmp_path: Path, name: str) -> None:
    policies = set_of(tmp_path, "p, role:clerk, acme, model/m, call, -, allow, -\n" + ALLOW.replace("agent", "user"))
    assert policies.decide(ask(who=principal(name))).effect == "deny"


@pytest.mark.requirement("TRAP-13")
def test_no_decision_logs_a_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    policies = set_of(tmp_path, ALLOW)
    for one in (policies, policies.reference()):
        one.decide(ask())
        one.decide(ask(who=principal("stranger")))
    assert caplog.records == []
