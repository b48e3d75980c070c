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
    Requirement(
        "BUD-09",
        "A policy line's `limit=<n>/<period>` is counted for each line and each caller, in a sliding window.",
        "DESIGN section 9",
    ),
    Requirement(
        "BUD-10",
        "A calendar window is the minute, hour, day, week or month of its time zone that holds the moment, also "
        "where clocks are turned.",
        "issue 6 item 5",
    ),
    Requirement(
        "BUD-11",
        "A call is charged to every budget that covers it: by agent, user, domain, run, resource, or all.",
        "issue 6 item 5",
    ),
    Requirement(
        "BUD-12",
        "Over budget is 429 in the caller's protocol, the same text each time, its window's end in headers; nothing "
        "is sent, nothing journaled as an outcome, and the audit names budget, bound and what is used.",
        "issue 6 item 5; DESIGN section 3",
    ),
    Requirement(
        "BUD-13",
        "Tokens and money are reserved by estimate and settled from usage, streamed or not; missing usage is estimated "
        "and said.",
        "issue 6 item 5",
    ),
    Requirement(
        "BUD-14",
        "A budget that could not be kept is refused by the configuration: unknown subjects, unknown prices, windows "
        "no calendar has.",
        "issue 6 item 5; STYLE 8",
    ),
    Requirement(
        "BUD-15",
        "Operators see of each budget what is spent, reserved and left, and when its window ends.",
        "issue 6 item 5; DESIGN section 13",
    ),
    Requirement("BUD-16", "A run shows what answers given again from the journal would have cost.", "issue 6 item 6"),
)
