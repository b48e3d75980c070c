"""Each pitfall of stock Casbin (`facts/policy.md` A3), wrong there and right here: the number is the pitfall's."""

from __future__ import annotations

import csv
import importlib.metadata
import io
from typing import TYPE_CHECKING, Any

import casbin  # pyright: ignore[reportMissingTypeStubs] - casbin ships none
import pytest
from casbin import util  # pyright: ignore[reportMissingTypeStubs] - as above
from casbin.core_enforcer import EnforceContext  # pyright: ignore[reportMissingTypeStubs] - as above
from casbin.rbac.default_role_manager import RoleManager  # pyright: ignore[reportMissingTypeStubs] - as above

from policy.resources import compile_pattern
from policy.source import SHIPPED_MODEL
from tests.policy.sets import ask, principal, problems_of, set_of

if TYPE_CHECKING:
    from pathlib import Path

stock: Any = util
BOTH = "some(where (p.eft == allow)) && !some(where (p.eft == deny))"
ROLES = 'g(r.sub, p.sub) && (r.obj == p.obj || p.obj == "*")'
ALLOW = "p, agent:billing, acme, model/m, call, -, allow, -\n"


def enforcer(
    lines: str = "", *, effect: str = BOTH, matcher: str = ROLES, more: str = "", roles: Any = None, columns: str = ""
) -> Any:
    """Return stock Casbin with these lines, written as its own file adapter would read them."""
    model: Any = casbin.Model()
    model.load_model_from_text(
        "[request_definition]\nr = sub, obj\nr2 = sub\n"
        f"[policy_definition]\np = {columns or 'sub, obj, eft'}\np2 = sub, eft\n[role_definition]\ng = _, _\n"
        f"[policy_effect]\ne = {effect}\n{more}[matchers]\nm = {matcher}\nm2 = r2.sub == p2.sub\n"
    )
    found: Any = casbin.Enforcer(model)
    if roles is not None:
        found.set_role_manager(roles)
    for row in csv.reader(io.StringIO(lines), skipinitialspace=True):
        (found.add_named_grouping_policy if row[0] == "g" else found.add_named_policy)(row[0], row[1:])
    return found


@pytest.mark.requirement("TRAP-01")
@pytest.mark.parametrize(("name", "pattern"), [("get_secret", "get_*x"), ("abd", "a*cd"), ("admin", "a*z")])
def test_1_a_glob_never_skips_the_character_after_a_star(name: str, pattern: str) -> None:
    assert stock.glob_match(name, pattern)
    assert not compile_pattern(pattern).matches(name)


@pytest.mark.requirement("TRAP-01")
def test_1_a_glob_takes_linear_time(tmp_path: Path) -> None:
    assert compile_pattern("*a" * 500 + "*b").matches("a" * 2000) is False
    assert "globMatch" in problems_of(tmp_path, ALLOW, model__conf=_model("segments", "globMatch"))[0]


@pytest.mark.requirement("TRAP-02")
@pytest.mark.parametrize(("name", "pattern"), [("read_file_and_delete", "read"), ("read\n", "^read$")])
def test_2_no_regular_expression_matches_a_part_of_a_name(name: str, pattern: str) -> None:
    assert stock.regex_match(name, pattern)
    assert not compile_pattern("read").matches(name)


@pytest.mark.requirement("TRAP-03")
@pytest.mark.parametrize(
    ("function", "name", "pattern"),
    [
        ("key_match", "/data/x/secret", "/data/*/public"),
        ("key_match", "/dataset", "/data*/x"),
        ("key_match", "/data/../etc/passwd", "/data/*"),
        ("key_match2", "/aXb", "/a.b"),
        ("key_match2", "/a.b\n", "/a.b"),
    ],
)
def test_3_what_stands_after_a_star_counts_and_dots_are_dots(function: str, name: str, pattern: str) -> None:
    assert getattr(stock, function)(name, pattern)
    assert not compile_pattern(pattern.removeprefix("/")).matches(name.removeprefix("/"))


@pytest.mark.requirement("TRAP-04")
def test_4_policy_text_is_never_evaluated(tmp_path: Path) -> None:
    open_to_all = enforcer(
        "p, nobody, nothing, True) or (True, allow\n", columns="sub, obj, cond, eft",
        matcher="r.sub == p.sub && r.obj == p.obj && eval(p.cond)",
    )  # fmt: skip
    assert open_to_all.enforce("mallory", "vault")
    assert problems_of(tmp_path, "p, agent:x, acme, model/m, call, True) or (True, allow, -\n")


@pytest.mark.requirement("TRAP-05", "POLICY-10")
def test_5_an_error_is_no_exception_and_touches_no_other_line(tmp_path: Path) -> None:
    broken = enforcer("p, a, m, allow\n", matcher="r.sub == p.sub && r.obj.owner == p.obj")
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever its evaluator raises
        broken.enforce("a", "m")
    lines = "p, agent:billing, acme, model/m, call, small, allow, -\n"
    decided = set_of(tmp_path, lines + ALLOW, 'small: "args.a.b < 5"\n').decide(ask(arguments={"a": 1}))
    assert (decided.effect, decided.rule) == ("allow", "policy.csv:2")


@pytest.mark.requirement("TRAP-06")
@pytest.mark.parametrize("deny", ["DENY", "Deny", "deny # not this one"])
def test_6_a_misspelt_deny_is_an_error_and_not_dead(tmp_path: Path, deny: str) -> None:
    assert enforcer(f"p, a, m, allow\np, a, m, {deny}\n").enforce("a", "m")
    assert problems_of(tmp_path, ALLOW + ALLOW.replace("allow", deny))


@pytest.mark.requirement("TRAP-07")
def test_7_nothing_is_allowed_by_nothing(tmp_path: Path) -> None:
    assert enforcer("p, b, x, deny\n", effect="!some(where (p.eft == deny))").enforce("anybody", "anything")
    assert enforcer(effect="some(where (p.eft == allow))", matcher="r.sub == p.sub && r.obj == p.obj").enforce("", "")
    disabled = enforcer("p, b, x, deny\n")
    disabled.enable_enforce(False)  # noqa: FBT003 - its own signature
    assert disabled.enforce("anybody", "anything")
    policies = set_of(tmp_path, ALLOW)
    assert policies.decide(ask("", who=principal("", ""), domain="", action="")).effect == "deny"
    assert policies.decide(ask(who=principal("anybody"))).effect == "deny"


@pytest.mark.requirement("TRAP-08")
def test_8_an_allow_names_its_line(tmp_path: Path) -> None:
    assert enforcer("p, a, m, allow\n").enforce_ex("a", "m") == (True, [])
    assert set_of(tmp_path, ALLOW).decide(ask()).rule == "policy.csv:1"


@pytest.mark.requirement("TRAP-09")
def test_9_a_second_effect_is_honoured_or_refused(tmp_path: Path) -> None:
    wanted = enforcer("p2, a, allow\np2, a, deny\n", effect="some(where (p.eft == allow))", more=f"e2 = {BOTH}\n")
    assert wanted.enforce(EnforceContext("r2", "p2", "e2", "m2"), "a")
    assert "stock Casbin reads only `e`" in problems_of(tmp_path, ALLOW, model__conf=_model("\ne = some(where (p.eft == allow)) && !some(where (p.eft == deny))", "\ne = some(where (p.eft == allow))"))[0]  # fmt: skip # noqa: E501


@pytest.mark.requirement("TRAP-10")
def test_10_roles_reach_any_depth_and_unknown_names_leave_nothing(tmp_path: Path) -> None:
    chain = "".join(f"g, r{number}, r{number + 1}\n" for number in range(12))
    assert enforcer(f"p, a, m, allow\np, r12, m, deny\ng, a, r0\n{chain}").enforce("a", "m")
    ours = "".join(f"g, role:r{number}, role:r{number + 1}, acme\n" for number in range(12))
    lines = f"{ALLOW}p, role:r12, acme, model/m, call, -, deny, -\ng, agent:billing, role:r0, acme\n{ours}"
    assert set_of(tmp_path, lines).decide(ask()).effect == "deny"
    # whoever is named as a role is that role
    assert enforcer("p, admin, m, allow\ng, root, admin\n").enforce("admin", "m")
    admins = set_of(tmp_path, "p, role:admin, acme, model/m, call, -, allow, -\ng, agent:root, role:admin, acme\n")
    assert admins.decide(ask(who=principal("admin"))).effect == "deny"


class Watching(RoleManager):
    """A role manager that lets somebody ask in the middle of a reload, as another thread does."""

    def __init__(self) -> None:
        super().__init__(10)
        self.asked: list[bool] = []
        self.ask: Any = None

    def clear(self) -> None:
        super().clear()
        if self.ask is not None:
            self.asked.append(self.ask("a", "m"))


@pytest.mark.requirement("TRAP-11")
def test_11_a_reload_has_no_moment_without_roles() -> None:
    roles = Watching()
    reloaded = enforcer("p, a, m, allow\np, bad, m, deny\ng, a, bad\n", roles=roles)
    reloaded.build_role_links()
    assert not reloaded.enforce("a", "m")
    roles.ask = reloaded.enforce
    reloaded.build_role_links()
    assert True in roles.asked  # the deny through a role is not seen while its links are made anew
    # ours is one assignment: `test_decisions_during_reloads_are_those_of_a_whole_set`


@pytest.mark.requirement("TRAP-12")
def test_12_the_order_of_lines_is_no_priority(tmp_path: Path) -> None:
    deny = "p, role:any, *, model/m, call, -, deny, -\n"
    assert {set_of(tmp_path, lines).decide(ask()).effect for lines in (ALLOW + deny, deny + ALLOW)} == {"deny"}
    # stock Casbin's priorities decide by the first line that fits
    first: Any = enforcer("p, a, m, allow\np, a, m, deny\n", effect="priority(p.eft) || deny")
    assert first.enforce("a", "m")


@pytest.mark.requirement("TRAP-13")
def test_13_its_evaluator_is_pinned_where_it_lets_itself_have_one_that_can_be_escaped() -> None:
    def lowest(package: str) -> str:
        wanted = [one for one in importlib.metadata.requires(package) or () if one.startswith("simpleeval")]
        return wanted[0].partition(">=")[2]

    assert lowest("casbin") < "1.0.5"  # CVE-2026-32640 is repaired there
    assert lowest("oncegate") == "1.0.8"


def _model(old: str, new: str) -> str:
    assert old in SHIPPED_MODEL
    return SHIPPED_MODEL.replace(old, new)
