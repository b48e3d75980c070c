"""Whose a step is: issuers choose names, and no two callers are one because of how names are put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable.step import Owner
from gateway.identity.names import usable_name
from gateway.outward import scope_in
from gateway.owners import owner_user, user_and_actors
from policy.decision import Principal

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.requirement("IDN-30")
NAMES = st.text(st.sampled_from("ab|/-%2DC7F@. "), min_size=1, max_size=6).filter(usable_name)


@dataclass(frozen=True, slots=True)
class Keys:
    fingerprint: bytes = b"f" * 32
    placeholder: bytes = b"p" * 32


def principal(agent: str, user: str | None, actors: Sequence[str] = ()) -> Principal:
    return Principal(agent=agent, domain="acme", method="jwt", user=user, actors=tuple(actors))


@given(st.none() | NAMES, st.lists(NAMES, max_size=3))
def test_user_and_actors_are_told_apart_again(user: str | None, actors: list[str]) -> None:
    assert user_and_actors(owner_user(principal("a", user, actors))) == (user, tuple(actors))


def test_a_user_whose_name_looks_like_a_chain_is_nobody_elses() -> None:
    # Auth0 calls its users so
    one, other = (owner_user(principal("a", f"auth0|{name}")) for name in ("ann", "bob"))
    via = owner_user(principal("a", "auth0", ("ann",)))
    assert len({one, other, via, owner_user(principal("a", "-")), owner_user(principal("a", None))}) == 5
    assert owner_user(principal("a", "ann@acme.example")) == "ann@acme.example"


def test_two_users_share_no_placeholders() -> None:
    def scope(agent: str, user: str, *actors: str) -> str:
        return scope_in(Owner("acme", agent, owner_user(principal(agent, user, actors))), Keys(), None, None).id

    assert scope("a", "auth0|ann") != scope("a", "auth0|bob")
    assert scope("a", "auth0|ann") != scope("a", "auth0")
    assert scope("a/b", "c") != scope("a", "b/c")
    # whoever acts for ann, it is ann's
    assert scope("a", "ann", "broker") == scope("a", "ann")
