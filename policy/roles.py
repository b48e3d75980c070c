"""Who has which roles: `g` lines of one trust domain, closed over hierarchies, without a depth limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from policy.lines import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from policy.lines import Grant


class Roles:
    """Roles and groups of every member named in `g` lines, per trust domain."""

    def __init__(self, grants: Iterable[Grant]) -> None:
        self._direct: dict[tuple[str, str], set[str]] = {}
        for grant in grants:
            self._direct.setdefault((grant.domain, grant.member), set()).add(grant.role)
        members = list(self._direct)
        self._closed: Mapping[tuple[str, str], frozenset[str]] = {
            (domain, member): frozenset(self._reach(domain, member)) for domain, member in members
        }

    def of(self, domain: str, members: Iterable[str]) -> frozenset[str]:
        """Return `members` with every role and group they have in `domain`.

        Nothing is kept per unknown name: callers choose names, memory must not grow with them.
        """
        found: set[str] = set()
        for member in members:
            found.add(member)
            for place in (domain, "*"):
                found |= self._closed.get((place, member), frozenset())
        return frozenset(found)

    def path(self, domain: str, member: str, role: str) -> tuple[str, ...]:
        """Return one way from `member` to `role`, empty when there is none."""
        ways: list[tuple[str, ...]] = [(member,)]
        seen = {member}
        for way in ways:
            if way[-1] == role:
                return way
            for place in (domain, "*"):
                for following in sorted(self._direct.get((place, way[-1]), set()) - seen):
                    seen.add(following)
                    ways.append((*way, following))
        return ()

    def _reach(self, domain: str, member: str) -> set[str]:
        found: set[str] = set()
        ahead = [member]
        while ahead:
            one = ahead.pop()
            for place in (domain, "*"):
                fresh = self._direct.get((place, one), set()) - found
                found |= fresh
                ahead.extend(fresh)
        return found


def cycles(grants: Iterable[Grant]) -> list[Problem]:
    """Return a problem for each line that closes a circle of roles."""
    grants = list(grants)
    roles = Roles(grants)
    return [
        Problem(grant.ref.file, grant.ref.line, f"`{grant.role}` leads back to `{grant.member}`: a circle of roles")
        for grant in grants
        if roles.path(grant.domain, grant.role, grant.member)
    ]
