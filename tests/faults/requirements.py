"""Requirements of this area: id, text, source."""

from __future__ import annotations

from tests.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "FAULT-01",
        "A gateway killed at any journal commit, before or after, never executes a `once` call twice.",
        "DESIGN section 4; issue 3, crash points",
    ),
    Requirement(
        "FAULT-02",
        "No acknowledged outcome is lost to a SIGKILL; what was begun and not settled is listed in doubt.",
        "DESIGN section 4; issue 3, crash points",
    ),
    Requirement(
        "FAULT-03",
        "A `safe` or `keyed` call in doubt is executed again when next asked, under the same upstream key.",
        "DESIGN section 4",
    ),
    Requirement(
        "FAULT-04",
        "Killed again and again under many writers, the file stays whole and its audit verifies.",
        "facts/durable.md section 2",
    ),
    Requirement(
        "FAULT-05",
        "A second process on the same file refuses to start while the first one lives, and only then.",
        "DESIGN section 5",
    ),
    Requirement(
        "FAULT-06",
        "A write the disk refuses is an error before sending; after an I/O error the journal is dead and says so.",
        "DESIGN sections 4 and 5",
    ),
    Requirement(
        "FAULT-10",
        "A running gateway killed at any named point of a call, on a file, a database, or one of two on a database, "
        "keeps each promise to `once`, `keyed` and `safe`, as a checker finds that shares no code with it.",
        "issue 4, the fault rig; DESIGN section 4",
    ),
    Requirement(
        "FAULT-11",
        "After a kill every call is answered or said to be in doubt within a second of the restart, or of the lease.",
        "issue 4, recovery time",
    ),
    Requirement(
        "FAULT-12",
        "The checker finds each broken promise in a doctored ledger, log or journal.",
        "issue 4, the checker",
    ),
    Requirement(
        "FAULT-13",
        "200 concurrent calls over 50 keys at two gateways on one database have 50 effects; callers of a key are told "
        "the same.",
        "issue 4, it must show",
    ),
    Requirement(
        "FAULT-14",
        "A gateway paused past its lease in mid-call repeats no `once` call and takes no answer back when it goes on.",
        "DESIGN section 4; issue 4, clock suspended past the lease",
    ),
)
