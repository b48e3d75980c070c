"""Requirements of this area: id, text, source."""

from __future__ import annotations

from tests.requirement import Requirement

_9 = "DESIGN section 9"

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("POLICY-01", "What no line allows is denied.", _9),
    Requirement("POLICY-02", "Deny stands above approval, approval above allow.", _9),
    Requirement("POLICY-03", "A condition that errs lets no allow line match and every deny line.", _9),
    Requirement("POLICY-04", "Calls between trust domains need a flow line first; inside one they need none.", _9),
    Requirement("POLICY-05", "Agent, user and every actor are decided, and all must be allowed.", _9),
    Requirement("POLICY-06", "Demands of all matching lines add up, grants are the union.", _9),
    Requirement("POLICY-07", "Roles come from `g` lines and the verified token, of the caller's own domain only.", _9),
    Requirement("POLICY-08", "No claim of a token gives a role over the gateway itself.", "DESIGN section 7"),
    Requirement("POLICY-09", "An item is listed unless calling it is certainly denied.", _9),
    Requirement("POLICY-10", "A question that cannot be decided is denied, never raised.", "DESIGN section 9; STYLE 8"),
    Requirement("POLICY-11", "A set is verified whole: every problem with file, line and nearest name.", "issue 3.4"),
    Requirement("POLICY-12", "A line keeps the id written above it when lines move.", "DESIGN section 3, refusals"),
    Requirement("POLICY-13", "A resource name that cannot be normalised is refused, and parts cannot pose as two.", _9),
    Requirement("POLICY-14", "Patterns match by whole segments, in linear time.", _9),
    Requirement("POLICY-15", "An MCP resource URI becomes one name, whatever its encoding.", "DESIGN section 2"),
    Requirement("POLICY-16", "Conditions are bounded, know only their variables and functions.", _9),
    Requirement("POLICY-17", "Numbers kept by their text compare as numbers; those beyond comparison err.", _9),
    Requirement("POLICY-18", "`under` sees through dots and refuses encodings.", "facts/policy.md B4.63"),
    Requirement("POLICY-19", "The compiled set decides as stock Casbin does.", "DESIGN section 9; issue 3.4"),
    Requirement("POLICY-20", "A changed model is honoured by stock Casbin itself, an unsafe one refused.", _9),
    Requirement(
        "POLICY-21", "A reload is one swap; a broken set leaves the last good one and says so.", "DESIGN section 8"
    ),
    Requirement(
        "POLICY-22", "Cases say what must be decided; none at all is a failure; coverage is by line.", "issue 3.4"
    ),
    Requirement(
        "POLICY-23", "An explanation names the first term that failed on each line that came near.", "issue 3.4"
    ),
    Requirement("POLICY-24", "The shipped set passes its cases in both engines, each line covered.", "issue 3.4"),
    Requirement("POLICY-25", "The commands end with 0, 1 for a no, 2 for unusable files.", "DESIGN section 13"),
    Requirement("POLICY-26", "Memory does not grow with the names callers choose.", "facts/policy.md A3.10"),
    Requirement("POLICY-27", "Labels lock what a run may still do, whatever client it uses.", "issue 7, must show"),
    Requirement("POLICY-28", "A flow leads one way and may redact more than its own domain.", "issue 7, must show"),
    Requirement(
        "POLICY-29",
        "A further deny allows nothing, an allow less allows nothing, order decides nothing, lists follow calls.",
        "issue 7, must show",
    ),
    Requirement("POLICY-30", "No text and no argument brings a parser or a condition down.", "issue 7, must show"),
    Requirement("POLICY-31", "A set counts only once it has passed its own cases; the linter is heard.", "issue 7.5"),
    Requirement(
        "SHADOW-01", "Shadow mode suspends denies and approvals, nothing else, and says so.", "DESIGN section 8"
    ),
    Requirement("SHADOW-02", "A candidate is asked beside the live set and decides nothing.", "issue 7.4"),
    Requirement("POLICY-32", "The linter finds what is hardly meant, and nothing that is.", "issue 7.3"),
    Requirement("POLICY-33", "Two sets differ in what principals may do, not in how lines are written.", "issue 7.3"),
    Requirement("POLICY-34", "What was recorded is decided again; a made call that is lost is a no.", "issue 7.3"),
    Requirement("POLICY-35", "The truth table of docs/policy.md is true, row by row, in both engines.", "issue 7.1"),
    Requirement("POLICY-36", "Sets for three situations ship with cases that cover each line.", "issue 7.3"),
    Requirement(
        "POLICY-37",
        "Labels go with work that is given to another agent, and come back with its result.",
        "DESIGN section 9, labels travel",
    ),
    Requirement("POLICY-38", "An explanation names the part of a condition that failed and what it read.", "issue 7.3"),
    Requirement("POLICY-39", "What a decision costs is measured beside stock Casbin.", "issue 7, must show"),
    Requirement("TRAP-01", "A glob never skips characters nor explodes.", "facts/policy.md A3.1"),
    Requirement("TRAP-02", "No regular expression decides on names.", "facts/policy.md A3.2"),
    Requirement("TRAP-03", "What stands after a `*` counts, and dots are dots.", "facts/policy.md A3.3"),
    Requirement("TRAP-04", "Policy text is never evaluated as code.", "facts/policy.md A3.4"),
    Requirement(
        "TRAP-05", "One bad line or one failing condition cannot break other decisions.", "facts/policy.md A3.5"
    ),
    Requirement(
        "TRAP-06", "Misspelt effects, late comments and unknown line types are errors.", "facts/policy.md A3.6"
    ),
    Requirement("TRAP-07", "No effect allows what no line matches, nor an empty question.", "facts/policy.md A3.7"),
    Requirement("TRAP-08", "Every decision names its line.", "facts/policy.md A3.8"),
    Requirement("TRAP-09", "A second effect that Casbin would ignore is an error.", "facts/policy.md A3.9"),
    Requirement(
        "TRAP-10", "Roles reach any depth; a subject named as a role is not that role.", "facts/policy.md A3.10"
    ),
    Requirement("TRAP-11", "Decisions during a reload are those of the old set or the new.", "facts/policy.md A3.11"),
    Requirement("TRAP-12", "The order of lines decides nothing.", "facts/policy.md A3.12"),
    Requirement("TRAP-13", "Decisions log no names.", "facts/policy.md A3.13"),
)
