"""Who has which roles: `g` lines of one trust domain, closed over hierarchies, without a depth limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from policy.lines import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from policy.lines import Grant

_NOTHING: Final[frozenset[str]] = frozenset()


class Roles:
    """Roles and groups of every member named in `g` lines, per trust domain; a line of domain `*` is in every one."""

    def __init__(self, grants: Iterable[Grant]) -> None:
        self._direct: dict[tuple[str, str], set[str]] = {}
        for grant in grants:
            self._direct.setdefault((grant.domain, grant.member), set()).add(grant.role)

    def of(self, domain: str, members: Iterable[str]) -> frozenset[str]:
        """Return `members` with every role and group they have in `domain`.

        Nothing is kept per unknown name: callers choose names, memory must not grow with them.
        """
        found = set(members)
        ahead = list(found)
        for one in ahead:
            for place in (domain, "*"):
                roles = self._direct.get((place, one))
                if roles is not None:
                    ahead += roles - found
                    found |= roles
        return frozenset(found)

    def path(self, domain: str, member: str, role: str) -> tuple[str, ...]:
        """Return one way from `member` to `role`, empty when there is none."""
        ways: list[tuple[str, ...]] = [(member,)]
        seen = {member}
        for way in ways:
            if way[-1] == role:
                return way
            for place in (domain, "*"):
                for following in sorted(self._direct.get((place, way[-1]), _NOTHING) - seen):
                    seen.add(following)
                    ways.append((*way, following))
        return ()


def cycles(grants: Iterable[Grant]) -> list[Problem]:
    """Return a problem for each line that closes a circle of roles."""
    grants = list(grants)
    roles = Roles(grants)
    # a circle may close through lines of one domain and lines of all
    domains = {grant.domain for grant in grants}
    return [
        Problem(grant.ref.file, grant.ref.line, f"`{grant.role}` leads back to `{grant.member}`: a circle of roles")
        for grant in grants
        if any(roles.path(domain, grant.role, grant.member) for domain in domains)
    ]
