"""Patterns of agent names in the configuration: `*` stands for any characters, also none."""

from __future__ import annotations


def matches(pattern: str, name: str) -> bool:
    """Return whether `name` matches `pattern`, in time linear in their lengths' product at worst."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == name
    if not name.startswith(first):
        return False
    place = len(first)
    for part in rest[:-1]:
        found = name.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return len(name) - place >= len(rest[-1]) and name.endswith(rest[-1])
