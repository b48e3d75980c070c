"""Requirements of this area: id, text, source."""

from __future__ import annotations

from tests.requirement import Requirement

_AUDIT = "DESIGN section 11"

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "AUD-01", "Each way of tampering is detected and the record named; what needs an outside checkpoint is.", _AUDIT
    ),
    Requirement("AUD-02", "A chain has a signed checkpoint before anybody is served, and one after its end.", _AUDIT),
    Requirement("AUD-03", "No record is changed or deleted; a prefix goes only under a signed statement.", _AUDIT),
    Requirement("AUD-04", "What is pruned was old and with every sink; the rest of the chain still verifies.", _AUDIT),
    Requirement("AUD-05", "A person's name stands apart from the chain and is forgotten with the chain whole.", _AUDIT),
    Requirement("AUD-06", "An export verifies as the store does; filters pick by time, agent, run, resource.", _AUDIT),
    Requirement(
        "AUD-07", "A call whose record cannot be written is refused; with `best_effort` it is counted.", _AUDIT
    ),
    Requirement(
        "AUD-08",
        "Records say who, for whom, what, by which line, what was found, tokens, cost, duration, and nothing raw.",
        "issue 9",
    ),
)
