"""The obligations column: `redact=<profile>;restore=<entities>@<where>;approval=<group>`."""

from __future__ import annotations

import re
from typing import Final

from policy.decision import Obligations, Restore

NONE: Final = Obligations()
_NOT_SERVED: Final = frozenset({"limit", "label"})
_KNOWN: Final = ("approval", "redact", "restore")
_GROUP: Final = re.compile(r"[A-Za-z0-9._/-]{1,128}")
_PROFILE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ENTITY: Final = re.compile(r"[A-Z][A-Z0-9_]*")


class ObligationUnusable(Exception):  # noqa: N818 - says what is known of the text
    """The column cannot be read; an obligation nobody understands is a deny."""


def parse_obligations(text: str) -> Obligations:
    """Return the obligations written as `text` (`-` for none). Raises `ObligationUnusable`."""
    if text == "-":
        return Obligations()
    profiles: list[str] = []
    approvals: list[str] = []
    restores: list[Restore] = []
    for part in text.split(";"):
        name, equals, value = part.strip().partition("=")
        if not equals or not value:
            raise ObligationUnusable(f"`{part.strip()}`: expected `name=value`")
        if name == "redact":
            profiles.append(_profile(value))
        elif name == "approval":
            approvals.append(_approval(value))
        elif name == "restore":
            restores.append(_restore(value))
        elif name in _NOT_SERVED:
            raise ObligationUnusable(f"`{name}` is not served yet")
        else:
            raise ObligationUnusable(f"unknown obligation `{name}`; expected one of {', '.join(_KNOWN)}")
    return Obligations(profiles=tuple(profiles), approvals=tuple(approvals), restores=tuple(restores))


def merge(first: Obligations, second: Obligations) -> Obligations:
    """Return both: demands add up, grants are the union."""
    if first == NONE:
        return second
    if second == NONE:
        return first
    return Obligations(
        profiles=tuple(dict.fromkeys(first.profiles + second.profiles)),
        approvals=tuple(dict.fromkeys(first.approvals + second.approvals)),
        restores=tuple(dict.fromkeys(first.restores + second.restores)),
    )


def _profile(value: str) -> str:
    if not _PROFILE.fullmatch(value):
        raise ObligationUnusable(f"`redact={value}`: expected the name of a profile")
    return value


def _approval(value: str) -> str:
    group = value.removesuffix(",four-eyes")
    if not _GROUP.fullmatch(group):
        raise ObligationUnusable(f"`approval={value}`: expected a group")
    return value


def _restore(value: str) -> Restore:
    entities, at, where = value.partition("@")
    if not at:
        raise ObligationUnusable(f"`restore={value}`: expected `ENTITY+…@/pointer`, `@agent` or `@approver`")
    names = frozenset[str]() if entities == "*" else frozenset(entities.split("+"))
    for name in names:
        if not _ENTITY.fullmatch(name):
            raise ObligationUnusable(f"`restore={value}`: expected entities in capitals or `*`")
    if where == "agent":
        return Restore(entities=names, target="agent")
    if where == "approver":
        return Restore(entities=names, target="approver")
    if where.startswith("/") or where == "":
        return Restore(entities=names, target="tool", pointer=where)
    raise ObligationUnusable(f"`restore={value}`: expected a JSON pointer, `agent` or `approver` after `@`")
