"""Requirements of resilience: id, text, source."""

from __future__ import annotations

from tests.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("RES-01", "A call is sent again only where that cannot repeat its effect.", "DESIGN 3.9, 4"),
    Requirement("RES-02", "Waits grow as configured, are bounded, and honour Retry-After.", "RFC 9110 10.2.3; issue 6"),
    Requirement("RES-03", "An outage costs exactly the configured number of upstream calls.", "issue 6 It must show"),
    Requirement(
        "RES-04", "The time for a call bounds all its tries; each part of a try has its own.", "issue 6 item 4"
    ),
    Requirement("RES-05", "Nothing is tried again for a client that has gone, or after a byte was given.", "issue 6"),
    Requirement("RES-07", "A failing upstream is left alone, tried again, and used when it answers.", "issue 6 item 4"),
    Requirement("RES-08", "An upstream holds so many calls, and a slow one holds up no other.", "issue 6 item 4"),
    Requirement("RES-09", "Operators see breakers and places.", "issue 6 item 4"),
    Requirement(
        "RES-10", "Where a model does not answer, the next one is asked, if policy allows it.", "issue 6 item 4"
    ),
    Requirement(
        "RES-11", "Whoever answers: the step stays, the cost is the answerer's, and it is said.", "issue 6 item 4"
    ),
    Requirement("RES-12", "What another model gets and gives is redacted by the strictest of both.", "issue 6 item 4"),
    Requirement("RES-13", "A slow model is asked again beside; the first good answer counts, all are paid.", "issue 6"),
    Requirement("RES-14", "A model's answer is given again to the very same request, in one domain.", "issue 6 item 7"),
    Requirement("RES-15", "Cached answers are bounded in entries, bytes and time.", "issue 6 item 7"),
    Requirement("RES-06", "What is configured is read with its line, the most specific pattern first.", "DESIGN 8"),
)
