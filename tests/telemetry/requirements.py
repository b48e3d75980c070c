"""Requirements of this area: id, text, source."""

from __future__ import annotations

from tests.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "TEL-10",
        "No audit record is lost by a sink that is away, hangs, cuts, or rejects; duplicates carry the same id.",
        "DESIGN section 11, issue 9",
    ),
    Requirement(
        "TEL-11", "What waits for a sink is known by number and age; a cursor outlives the process.", "issue 9"
    ),
    Requirement("TEL-13", "A run is one connected trace; audit records carry the trace of their call.", "issue 9"),
    Requirement("TEL-14", "A collector gets the same series as `/metrics`.", "issue 9"),
    Requirement(
        "TEL-16", "Content asked for stands in spans as the GenAI conventions form it, bounded in length.", "issue 9"
    ),
    Requirement("TEL-17", "Content is in spans only where asked for and only redacted; else they say so.", "issue 9"),
    Requirement("TEL-18", "What exports costs calls neither interpreter nor core; it may die, they go on.", "issue 9"),
    Requirement("TEL-12", "What an ended instance has left is brought by another.", "DESIGN section 11"),
)
