"""What wants a person in how a gateway says it stands, and what that person does: `top` and `doctor` say the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: A collector that is there has everything within a second or two.
EXPORT_SECONDS_MAX: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """One thing that is not as it should be, and what to do. `waits`: it waits for a decision, nothing is broken."""

    finding: str
    advice: str
    waits: bool = False


def attention(overview: Mapping[str, object], upstreams: Iterable[Mapping[str, object]]) -> list[Want]:
    """Return what wants a person, by `/api/v1/overview` and `/api/v1/upstreams`."""
    found: list[Want] = []
    if not overview["policies_valid"]:
        finding = "the policy files are not valid: it goes on with the last good set"
        found.append(Want(finding=finding, advice="`oncegate check` names file and line"))
    age, records = cast("float", overview["outbox_age_seconds"]), overview["outbox_records"]
    if age > EXPORT_SECONDS_MAX:
        finding = f"{records} audit record(s) wait for the collector, the first for {age:.0f} s; none is lost"
        found.append(
            Want(finding=finding, advice="see that `telemetry.otlp` answers and takes logs: `oncegate doctor`")
        )
    for one in upstreams:
        if one["breaker"] == "open":
            finding = f"the breaker of `{one['upstream']}` is open: {one['consecutive_failures']} failures in a row"
            found.append(
                Want(finding=finding, advice="see that it answers: `oncegate doctor`; it is tried again by itself")
            )
    for name, what, advice in _DECISIONS:
        if overview[name]:
            found.append(Want(finding=f"{overview[name]} {what}", advice=advice, waits=True))
    return found


_DECISIONS: Final = (
    ("in_doubt", "call(s) in doubt", "`oncegate calls list --state in_doubt`, then `oncegate calls resolve`"),
    ("held", "call(s) held", "`oncegate calls list --state held`, then `oncegate calls resolve`"),
    ("approvals", "approval(s) wait for a person", "`oncegate approvals list`, then `approve` or `deny`"),
)
