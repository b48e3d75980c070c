"""The audit's view of what operators do: names and decisions, and the operator's own words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.trail import decision_record, new_audit_id, principal_record

if TYPE_CHECKING:
    from gateway.admin.parts import Deed

#: What an admin resource's objects are called in audit records.
_OBJECTS = {"admin/calls": "call", "admin/runs": "run", "admin/tools": "definition", "admin/blocks": "subject"}


def deed_record(deed: Deed) -> dict[str, object]:
    """Return `deed` as an audit record, in the form of the other records."""
    record: dict[str, object] = {
        "event": "operator",
        "audit": new_audit_id(),
        **principal_record(deed.principal),
        "resource": deed.resource,
        "action": deed.action,
        "deed": deed.deed,
    }
    if deed.object != "-":
        kind = "approval" if deed.resource.startswith("admin/approvals/") else _OBJECTS.get(deed.resource, "object")
        record[kind] = deed.object
    if deed.reason:
        record["reason"] = deed.reason
    if deed.decision is None:
        # the owner of the process needs no line
        return record | {"decision": "allow", "rule": "owner"}
    return record | decision_record(deed.decision)
