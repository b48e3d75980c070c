"""Requirements of this area: id, text, source."""

from __future__ import annotations

from tests.requirement import Requirement

_APPROVALS = "issue 4 point 6"

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("APR-01", "A client of MCP 2026-07-28 waits by itself; the approved call is made once.", _APPROVALS),
    Requirement("APR-02", "An older client is told to ask again, and asking again joins the wait.", _APPROVALS),
    Requirement("APR-03", "A denial needs a reason and is final.", _APPROVALS),
    Requirement("APR-04", "Approvals are seen and decided by their group alone, never by a requester.", _APPROVALS),
    Requirement("APR-05", "Four eyes are two people, wherever they decide.", _APPROVALS),
    Requirement("APR-06", "An approved call is decided once more, by today's policy.", _APPROVALS),
)
