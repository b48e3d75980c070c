"""Decides a call together with what it uses besides: hosted tools, connectors, hosts its provider would fetch from.

All of them must be allowed, and what their lines demand adds up; grants are those of the call's own lines.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from policy.decision import Decision, Effect

_STRICTER: Final[tuple[Effect | None, ...]] = (None, "allow", "approval", "deny")


def together(decision: Decision, besides: Iterable[Decision], default_profile: str) -> Decision:
    """Return `decision` with the demands of those `besides`, or the first of them that denies.

    A line besides that names no profile demands none; a call whose own lines name none keeps the default one. What
    shadow mode suspends besides is suspended of the call, and the strictest word of a candidate is its word.
    """
    for other in besides:
        if other.effect == "deny":
            return other
        own, more = decision.obligations, other.obligations
        profiles = own.profiles
        if more.profiles:
            profiles = _each((*(own.profiles or (default_profile,)), *more.profiles))
        demanded = replace(
            own, profiles=profiles, approvals=_each((*own.approvals, *more.approvals)),
            # limits of two lines are two, also where their numbers are the same
            limits=tuple({(one.line, one.calls, one.seconds): one for one in (*own.limits, *more.limits)}.values()),
            labels=_each((*own.labels, *more.labels)),
        )  # fmt: skip
        if demanded != own:
            decision = replace(decision, obligations=demanded)
        if other.effect == "approval":
            decision = replace(decision, effect="approval")
        decision = _noted(decision, other)
    return decision


def _noted(decision: Decision, other: Decision) -> Decision:
    """Return `decision` with what another set, or another mode, would make of `other`."""
    if _STRICTER.index(other.would) > _STRICTER.index(decision.would):
        # a call that would be denied gets no originals, whichever line denies it
        restores = () if other.would == "deny" else decision.obligations.restores
        decision = replace(
            decision, would=other.would, line=other.line, flow_line=other.flow_line, reason=other.reason,
            obligations=replace(decision.obligations, restores=restores),
        )  # fmt: skip
    second = other.candidate
    if second is not None and decision.candidate is not None and (
        _STRICTER.index(second.effect) > _STRICTER.index(decision.candidate.effect)
    ):  # fmt: skip
        decision = replace(decision, candidate=second)
    return decision


def _each(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
