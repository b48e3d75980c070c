"""Whose a step is, as the journal writes it: the user a call is for and who acts for them, as one text and back."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from policy.decision import Principal


def owner_user(principal: Principal) -> str:
    """Return user and actor chain as one identity, `-` without them; it separates what owners may replay.

    Issuers choose the names (`auth0|5f7c`), so what separates them here is written otherwise within them.
    """
    if principal.user is None and not principal.actors:
        return "-"
    user = "-" if principal.user is None else _apart(principal.user)
    return "|".join((user, *map(_apart, principal.actors)))


def user_and_actors(text: str) -> tuple[str | None, tuple[str, ...]]:
    """Return the user, `None` without one, and the actor chain that `owner_user` has made `text` of."""
    user, *actors = text.split("|")
    return None if user == "-" else unquote(user), tuple(map(unquote, actors))


def _apart(name: str) -> str:
    """Return a name without what separates names of owners (`|`, `/`), and never the `-` of nobody."""
    return "%2D" if name == "-" else name.replace("%", "%25").replace("|", "%7C").replace("/", "%2F")
