"""What budgets, limits and the loop guard must do."""

from __future__ import annotations

from tests.requirement import Requirement

REQUIREMENTS = (
    Requirement(
        "BUD-01",
        "However many ask at once, on one instance or several, exactly those calls begin that a budget has room for.",
        "issue 6 item 5; gateways.md G38",
    ),
    Requirement(
        "BUD-02",
        "A call reserves with its intent and settles with its outcome: what is spent and reserved is never above the "
        "budget for what is counted exactly, and never below what calls have taken.",
        "issue 6 item 5",
    ),
    Requirement(
        "BUD-03",
        "What is known not to have been executed gives back what it reserved; a call in doubt keeps it until resolved.",
        "issue 6 item 5; DESIGN section 4",
    ),
    Requirement(
        "BUD-04",
        "A call executed again after doubt counts once, and what the first execution may have cost stays taken "
        "unless somebody has said that it did not happen.",
        "issue 6 item 5; DESIGN section 4",
    ),
    Requirement(
        "BUD-05",
        "A gateway killed in mid-call leaves its reservations standing, on every instance and after a restart.",
        "issue 6 item 5; DESIGN section 4",
    ),
    Requirement(
        "BUD-06",
        "A sliding window counts what was begun within it, to a sixtieth of its length, and never too little.",
        "issue 6 item 5",
    ),
    Requirement(
        "BUD-07", "What no window needs any more is deleted, what is reserved never.", "DESIGN section 5, retention"
    ),
    Requirement(
        "BUD-08",
        "A run that begins the same call again and again, or goes on too long, is stopped; its replays are not.",
        "issue 6 item 5",
    ),
)
