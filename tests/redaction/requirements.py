"""Requirements of redaction: id, text, source."""

from __future__ import annotations

from tests.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("RED-01", "The hard rows of the field are found as they should be, known limits listed.", "facts 6"),
    Requirement("RED-02", "A text cut anywhere gives the same segments as the whole text.", "DESIGN 10; facts 4"),
    Requirement("RED-03", "Restoring what was redacted gives the tree back, types and all.", "DESIGN 10"),
    Requirement("RED-04", "A value has one placeholder in its scope, and another one elsewhere.", "DESIGN 10; facts 5"),
    Requirement(
        "RED-05", "A placeholder is recognised through what models do to it; near misses are inert.", "facts 5"
    ),
    Requirement("RED-06", "Structure, short numbers and keys named by a schema stay as they are.", "DESIGN 10"),
    Requirement(
        "RED-07", "A number stays a number; a card in its place leaves as other digits or not at all.", "facts 5"
    ),
    Requirement("RED-08", "Profiles add up to the strictest; files that are wrong are refused by line.", "DESIGN 9"),
    Requirement("RED-09", "A worker that dies, raises or takes too long fails the call closed.", "DESIGN 10"),
    Requirement("RED-10", "A missing or changed language model is refused with the command to run.", "facts 0"),
    Requirement("RED-11", "A block names entity and place, never the value.", "DESIGN 3"),
    Requirement("RED-12", "No pattern takes more than linear time on adversarial text.", "facts 3"),
    Requirement("RED-13", "Strings of agent traffic that name nobody are left alone.", "facts 3"),
    Requirement("RED-14", "The same text is looked at once, however often it is sent.", "DESIGN 10"),
    Requirement("RED-15", "The command line shows what is found without a gateway.", "DESIGN 13"),
    Requirement(
        "RED-16", "A value is found whatever stands beside it and however it is written or wrapped.", "facts 6"
    ),
    Requirement("RED-17", "Overlapping finds become one that leaves nothing any of them covered.", "DESIGN 10"),
    Requirement("RED-18", "Waiting calls take turns; one that leaves takes nothing from the others.", "DESIGN 10"),
    Requirement("RED-19", "Nothing a recognizer says of its text leaves the worker.", "STYLE 14"),
    Requirement("RED-21", "The gateway's own process loads no language libraries unless a profile masks.", "STYLE 12"),
    Requirement("RED-22", "Values of every kind with a form are found in every carrier, without a miss.", "issue 8"),
    Requirement("RED-23", "A key says what its value is; a value in several fields is found in all.", "issue 8"),
    Requirement("RED-24", "Users' recognizers are found; files that are wrong or slow are refused by line.", "issue 8"),
    Requirement(
        "RED-25", "A profile says by direction what becomes of values, which may stay, and may be a shadow.", "issue 8"
    ),
    Requirement("RED-26", "What cannot be looked into is said or blocked; files of text are opened.", "issue 8"),
    Requirement("RED-27", "Originals are erased by value and by user, everywhere, and nothing else is.", "issue 8"),
    Requirement("RED-28", "A content can be tried by who looks after redaction; nothing of it is kept.", "issue 8"),
    Requirement("RED-29", "A stream cut anywhere is redacted as the whole is, on every API.", "issue 8; DESIGN 10"),
    Requirement(
        "RED-30",
        "Values planted anywhere in calls and answers reach no upstream, store, log, trace or audit.",
        "issue 8",
    ),
    Requirement("RED-40", "What is skipped or computed otherwise for speed changes no find.", "issue 8"),
    Requirement(
        "RED-41",
        "A part of a tree seen before is known without its text; the answer is that without memory.",
        "issue 8",
    ),
    Requirement(
        "RED-31", "Where a schema asks for a form, what stands for a value fits it, or the call is blocked.", "issue 8"
    ),
    Requirement(
        "RED-32",
        "A running gateway whose detection dies, hangs, is full or lost its model lets nothing pass, and recovers.",
        "issue 8",
    ),
    Requirement("RED-33", "What one trust domain had looked at is new in every other.", "issue 8"),
    Requirement(
        "RED-34",
        "Names are looked for in configured languages; elsewhere patterns are, and the audit says that names were not.",
        "issue 8",
    ),
    Requirement(
        "RED-35",
        "A number that stands for another and cannot be put back reaches no place that wants the original.",
        "issue 8; DESIGN 10",
    ),
    Requirement("RED-36", "A stand-in made at one instance is put back at another on the same database.", "issue 8"),
    Requirement("RED-37", "A find in the comment of an event stream reaches nobody, on every API.", "issue 8"),
    Requirement(
        "RED-38",
        "What is filled into a server's form and stands for a value fits its field, in both eras, or is blocked.",
        "issue 8; MCP 2025-11-25 elicitation, 2026-07-28 SEP-2322",
    ),
    Requirement(
        "RED-39",
        "A value in any field of the SDKs' types, known or not, is taken out, but where structure is listed.",
        "issue 8",
    ),
    Requirement(
        "RED-42",
        "Sound and pictures that come in pieces of a stream are counted once, audited, or blocked; text in their place "
        "is read.",
        "issue 8",
    ),
    Requirement(
        "RED-52",
        "A form is known on every instance of a store and after a restart, to who was asked alone.",
        "issue 8; MCP 2025-11-25 elicitation, 2026-07-28 SEP-2322",
    ),
    Requirement(
        "RED-53", "An answer to a form nobody knows passes as it is, or is blocked with what to do.", "issue 8"
    ),
    Requirement(
        "RED-54", "A choice that was shown as what stands for it is the server's own word again when chosen.", "issue 8"
    ),
    Requirement(
        "RED-55",
        "What a client's model fills into a server's tools (sampling) fits their schemas, or is blocked.",
        "issue 8",
    ),
    Requirement(
        "RED-44",
        "What stands around a content (lines of an event, types, methods, words, headers) is no way around redaction.",
        "issue 8",
    ),
    Requirement("RED-20", "A segment is its own only segment, and no longer than a detector takes.", "facts 4"),
)
