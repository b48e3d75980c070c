"""What a call uses besides is decided with it: every demand counts, whichever line says it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.besides import together
from policy.decision import Decision, Effect, Limit, LineRef, Obligations, Restore, Second

ONE, OTHER = Limit(calls=3, seconds=60, line="a"), Limit(calls=3, seconds=60, line="b")


def decided(effect: Effect = "allow", **demands: object) -> Decision:
    return Decision(effect=effect, reason="", digest="d", obligations=Obligations(**demands))  # pyright: ignore[reportArgumentType] - of a table


@pytest.mark.requirement("LINK-03")
def test_demands_add_up_and_grants_stay_the_calls_own() -> None:
    grant = Restore(entities=frozenset({"PERSON"}), target="agent", pointer="")
    own = decided(profiles=("off",), limits=(ONE,), labels=("seen",), restores=(grant,))
    more = decided(profiles=("strict",), limits=(ONE, OTHER), labels=("web",), approvals=("leads",),
                   restores=(Restore(entities=frozenset(), target="agent", pointer=""),))  # fmt: skip
    joined = together(own, [more], "standard").obligations
    assert [one.line for one in joined.limits] == ["a", "b"]
    assert joined == Obligations(
        profiles=("off", "strict"), limits=(ONE, OTHER), labels=("seen", "web"), approvals=("leads",), restores=(grant,)
    )


@pytest.mark.requirement("LINK-03")
def test_a_line_that_names_no_profile_demands_none_and_never_weakens_the_default_one() -> None:
    assert together(decided(profiles=("off",)), [decided()], "standard").obligations.profiles == ("off",)
    assert together(decided(), [decided()], "standard").obligations.profiles == ()
    assert together(decided(), [decided(profiles=("off",))], "standard").obligations.profiles == ("standard", "off")


@pytest.mark.requirement("LINK-03")
@pytest.mark.parametrize(
    ("effects", "together_is"),
    [(("allow", "allow"), "allow"), (("allow", "approval"), "approval"), (("approval", "allow"), "approval"),
     (("allow", "approval", "deny"), "deny"), (("approval", "deny"), "deny")],
)  # fmt: skip
def test_deny_is_stronger_than_approval_and_approval_than_allow(effects: tuple[Effect, ...], together_is: str) -> None:
    first, *rest = (decided(one) for one in effects)
    assert together(first, rest, "standard").effect == together_is


@pytest.mark.requirement("SHADOW-01")
def test_what_shadow_mode_suspends_besides_is_said_of_the_call_and_gives_no_originals() -> None:
    grant = Restore(entities=frozenset({"PERSON"}), target="agent", pointer="")
    line = LineRef(file="a.csv", line=7, text="p, …", id="a:7")
    own = replace(decided(restores=(grant,)), mode="shadow")
    denied = replace(decided(profiles=("strict",)), mode="shadow", would="deny", line=line, reason="suspended")
    joined = together(own, [denied], "standard")
    assert (joined.effect, joined.would, joined.rule, joined.reason) == ("allow", "deny", "a:7", "suspended")
    assert joined.obligations == Obligations(profiles=("standard", "strict"))
    asked = replace(decided(), mode="shadow", would="approval")
    assert together(own, [asked], "standard").obligations.restores == (grant,)
    assert together(joined, [asked], "standard").would == "deny"


@pytest.mark.requirement("SHADOW-02")
def test_a_candidate_that_denies_what_is_used_besides_denies_the_call() -> None:
    said = {effect: Second(effect=effect, rule=effect, digest="c") for effect in ("allow", "deny")}
    own, other = replace(decided(), candidate=said["allow"]), replace(decided(), candidate=said["deny"])
    assert together(own, [other], "standard").candidate == said["deny"]
    assert together(other, [own], "standard").candidate == said["deny"]
