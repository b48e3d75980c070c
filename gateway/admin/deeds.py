"""The audit's view of what operators do: names and decisions, and the operator's own words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.admin.parts import Deed

_MICROSECONDS = 1_000_000


def deed_record(deed: Deed) -> dict[str, object]:
    """Return `deed` as an audit record: strings and whole numbers only, time in microseconds."""
    principal = deed.principal
    decision = deed.decision
    return {
        "type": "operator",
        "time": round(deed.time * _MICROSECONDS),
        "subject": principal.name,
        "user": principal.user or "-",
        "method": principal.method,
        "credential": principal.credential,
        "resource": deed.resource,
        "action": deed.action,
        "object": deed.object,
        "deed": deed.deed,
        "reason": deed.reason,
        "effect": "allow" if decision is None else decision.effect,
        "rule": "owner" if decision is None else decision.rule,
        "policy": "-" if decision is None else decision.digest,
    }
