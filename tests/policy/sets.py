"""Small policy folders and questions for the tests of this area."""

from __future__ import annotations

from typing import TYPE_CHECKING

from policy.decision import Principal, Question
from policy.source import PolicyInvalid, PolicySet, load

if TYPE_CHECKING:
    from pathlib import Path


def folder_of(folder: Path, lines: str, conditions: str = "", **files: str) -> Path:
    """Write a policy folder; `files` are further ones, `__` in a name standing for its dot."""
    folder.mkdir(exist_ok=True)
    (folder / "policy.csv").write_text(lines)
    if conditions:
        (folder / "conditions.yaml").write_text(conditions)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def set_of(folder: Path, lines: str, conditions: str = "", **files: str) -> PolicySet:
    return load(folder_of(folder, lines, conditions, **files))


def problems_of(folder: Path, lines: str, conditions: str = "", **files: str) -> list[str]:
    """Return what `load` finds wrong, as a person reads it."""
    try:
        set_of(folder, lines, conditions, **files)
    except PolicyInvalid as invalid:
        return str(invalid).splitlines()
    return []


def principal(
    agent: str = "billing",
    domain: str = "acme",
    *,
    roles: tuple[str, ...] = (),
    groups: tuple[str, ...] = (),
    user: str | None = None,
    user_roles: tuple[str, ...] = (),
    actors: tuple[str, ...] = (),
) -> Principal:
    return Principal(
        agent=agent, domain=domain, method="api_key", roles=frozenset(roles), groups=frozenset(groups),
        user=user, user_roles=frozenset(user_roles), actors=actors,
    )  # fmt: skip


def ask(
    resource: str = "model/m",
    arguments: object = None,
    *,
    who: Principal | None = None,
    domain: str = "acme",
    action: str = "call",
    certain_only: bool = False,
) -> Question:
    return Question(
        principal=who or principal(), resource=resource, resource_domain=domain, action=action, arguments=arguments,
        time=1_800_000_000.0, certain_only=certain_only,
    )  # fmt: skip
