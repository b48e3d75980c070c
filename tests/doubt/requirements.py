"""Requirements of calls in doubt, from the cut to the decision, and of streams."""

from __future__ import annotations

from tests.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("IND-01", "A cut connection means sent unless not a byte can have left.", "DESIGN 4; durable 5 rule 6"),
    Requirement("IND-04", "A `keyed` call is `once` when its upstream may have forgotten its key.", "DESIGN 2 effect"),
    Requirement("IND-06", "A verify call proves one call by its key, or by a record no other has.", "DESIGN 4"),
    Requirement("IND-07", "What an operator lets be executed is shown as such until it is.", "issue 4, item 3"),
    Requirement("IND-08", "A given outcome is one like the upstream's: originals, tool calls, form.", "DESIGN 4, 6"),
    Requirement(
        "IND-09",
        "A stream's outcome is committed before its last frame; replayed as it was; drained when nobody listens.",
        "issue 4, item 7",
    ),
    Requirement("IND-10", "An answer nobody took is given again, and its effect not made again.", "issue 4 schedules"),
    Requirement("IND-11", "A tool call of an answer that is cut never reaches the agent.", "DESIGN 3.11; issue 4"),
    Requirement("IND-12", "An error after the effect is in doubt; one that says nothing was done is not.", "DESIGN 6"),
    Requirement("IND-13", "A replay is decided and veiled by today's policy.", "DESIGN 3.4, 6"),
    Requirement("IND-14", "Rotated keys and another redaction change no step of a run.", "DESIGN 5, 6; issue 4"),
    Requirement("IND-15", "What settles a call in doubt is veiled like any call, and restored like it.", "DESIGN 10"),
)
