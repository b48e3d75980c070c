"""The obligations column: `redact=`, `restore=<entities>@<where>`, `approval=`, `limit=<n>/<period>`, `label=`."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from policy.decision import Limit, Obligations, Restore
from policy.history import LABEL

NONE: Final = Obligations()
_KNOWN: Final = ("approval", "label", "limit", "redact", "restore")
_GROUP: Final = re.compile(r"[A-Za-z0-9._/-]{1,128}")
_PROFILE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LIMIT: Final = re.compile(r"([0-9]{1,9})/([1-9][0-9]{0,5})([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LIMIT_SECONDS_MAX: Final = 366 * 86400
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
    limits: list[Limit] = []
    labels: list[str] = []
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
        elif name == "limit":
            limits.append(_limit(value))
        elif name == "label":
            labels.append(_label(value))
        else:
            raise ObligationUnusable(f"unknown obligation `{name}`; expected one of {', '.join(_KNOWN)}")
    return Obligations(
        profiles=tuple(profiles), approvals=tuple(approvals), restores=tuple(restores), limits=tuple(limits),
        labels=tuple(labels),
    )  # fmt: skip


def of_line(obligations: Obligations, line: str, *, of_user: bool = False) -> Obligations:
    """Return them as those of a line: what it limits is counted under its id."""
    if not obligations.limits:
        return obligations
    return replace(obligations, limits=tuple(replace(one, line=line, of_user=of_user) for one in obligations.limits))


def text_of(obligations: Obligations) -> str:
    """Return them as a line's column writes them, in a fixed order; empty for none."""
    restores = [
        f"restore={'+'.join(sorted(one.entities)) or '*'}@{one.pointer if one.target == 'tool' else one.target}"
        for one in obligations.restores
    ]
    parts = [*(f"redact={one}" for one in obligations.profiles), *(f"approval={one}" for one in obligations.approvals)]
    parts += restores + [f"limit={one.calls}/{one.seconds}s" for one in obligations.limits]
    return ";".join(sorted(parts + [f"label={one}" for one in obligations.labels]))


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
        # the same limit on two lines is two: each counts the calls of its own line
        limits=tuple({(one, one.line): one for one in first.limits + second.limits}.values()),
        labels=tuple(dict.fromkeys(first.labels + second.labels)),
    )


def _profile(value: str) -> str:
    if not _PROFILE.fullmatch(value):
        raise ObligationUnusable(f"`redact={value}`: expected the name of a profile")
    return value


def _label(value: str) -> str:
    if not LABEL.fullmatch(value):
        raise ObligationUnusable(f"`label={value}`: expected a name of a-z 0-9 . _ -")
    return value


def _approval(value: str) -> str:
    group = value.removesuffix(",four-eyes")
    if not _GROUP.fullmatch(group):
        raise ObligationUnusable(f"`approval={value}`: expected a group")
    return value


def _limit(value: str) -> Limit:
    match = _LIMIT.fullmatch(value)
    seconds = 0 if match is None else int(match.group(2)) * _SECONDS[match.group(3)]
    if match is None or seconds > _LIMIT_SECONDS_MAX:
        raise ObligationUnusable(f"`limit={value}`: expected a number of calls and a period, such as `100/1h`")
    return Limit(calls=int(match.group(1)), seconds=seconds)


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
