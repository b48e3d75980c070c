"""Requirements of this area: id, text, source."""

from __future__ import annotations

from tests.requirement import Requirement

_STEPS = "DESIGN section 6, steps"

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("DUR-01", "An explicit key names one request of its owner and run; another one is refused.", _STEPS),
    Requirement("DUR-02", "Concurrent requests for one step are executed once; the others wait and get it.", _STEPS),
    Requirement("DUR-03", "A restarted attempt gets the outcomes of the one before, n-th for n-th.", _STEPS),
    Requirement(
        "DUR-04",
        "An equal repeatable request is new beside a waiting client or after a whole delivery, else the same.",
        _STEPS,
    ),
    Requirement("DUR-05", "An equal `once` request is a new one only on evidence this attempt has seen.", _STEPS),
    Requirement("DUR-06", "Only outcomes advance: what is in doubt, failed or not executed is asked again.", _STEPS),
    Requirement("DUR-07", "Calls of older attempts, closed runs and other owners' runs are refused.", _STEPS),
    Requirement(
        "DUR-08",
        "A step in doubt is begun again when repeatable and held when not; a late outcome resolves it or is fenced.",
        "DESIGN sections 4 and 5",
    ),
    Requirement("DUR-09", "An operator settles a doubt as happened, to execute once, or failed.", "DESIGN section 4"),
    Requirement("DUR-10", "Attempts are numbered by the journal alone; runs end once.", "DESIGN section 6, runs"),
    Requirement(
        "DUR-11", "Bodies, keys and originals stand sealed in the file, bound to their place.", "DESIGN section 5"
    ),
    Requirement("DUR-12", "A rotated key ring reads what its older secrets wrote.", "DESIGN section 5"),
    Requirement("DUR-13", "A file that is newer, foreign or held by another is refused.", "DESIGN section 5"),
    Requirement("DUR-14", "What cannot be written is said so, and nothing waits for ever.", "DESIGN section 4"),
    Requirement(
        "DUR-15", "Edited, missing, moved or reordered audit records are found and named.", "DESIGN section 11"
    ),
    Requirement("DUR-16", "A caller that goes away leaves no step in flight.", "DESIGN sections 4 and 6"),
    Requirement("DUR-18", "The write-ahead log stays bounded, off the writer's thread.", "DESIGN section 5"),
    Requirement("DUR-17", "The journal agrees with a small model of it, restarts anywhere.", "issue 4, laws"),
    Requirement("DUR-20", "What is over goes after its retention, in small parts; what is unsettled stays.", "issue 4"),
    Requirement("DUR-21", "A purged run id or explicit key stays refused.", "DESIGN section 5"),
    Requirement("DUR-22", "After a rotation everything is sealed under the new secret.", "issue 4, housekeeping"),
    Requirement("DUR-23", "A backup is taken online, whole, and overwrites nothing.", "issue 4, housekeeping"),
    Requirement(
        "DUR-24", "A rolled-back journal is noticed, and `once` steps it may have forgotten are held.", "DESIGN 5"
    ),
    Requirement("DUR-30", "An approval is bound to the exact request and policy; asking again joins it.", "issue 4"),
    Requirement("DUR-31", "An approval is used once, with its intent; not executed gives it back.", "issue 4"),
    Requirement("DUR-32", "Requesters never decide; each demanded group does, four eyes are two people.", "issue 4"),
    Requirement("DUR-33", "Waiting for an approval is woken, bounded, and ends with its time or its run.", "issue 4"),
)
