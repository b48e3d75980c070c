"""Requirements of Anthropic's messages: id, text, source."""

from __future__ import annotations

from tests.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("MSG-01", "An unusable messages request is refused in Anthropic's error object.", "DESIGN 3 Refusals"),
    Requirement("MSG-02", "Volatile fields, key order and twins' order do not count.", "DESIGN 6; agents 5"),
    Requirement("MSG-03", "What did not change is sent as it came; the caller's credential never.", "G9"),
    Requirement("MSG-04", "What the provider runs, reaches or keeps itself is a resource of its own.", "DESIGN 2, 6"),
    Requirement("MSG-05", "Frames that complete a tool call or the answer wait for the journal.", "DESIGN 3.11"),
    Requirement("MSG-06", "Only proof of an outcome counts as one.", "DESIGN 6 Only outcomes advance n"),
    Requirement("MSG-07", "Tool calls are evidence wherever model traffic shows them.", "DESIGN 6 evidence"),
    Requirement("MSG-08", "A stream is read the same wherever it is cut, the short way as the long.", "G25"),
    Requirement("MSG-09", "Signed thinking passes byte for byte, or the call is blocked.", "issue 6 point 1"),
    Requirement("MSG-10", "Binary sources pass uninspected, every text is inspected.", "DESIGN 10"),
    Requirement("MSG-11", "Usage counts all input, what was cached of it and what was written.", "issue 6 point 5"),
    Requirement("MSG-12", "A whole message is a stream to who asked for one.", "DESIGN 4"),
    Requirement("MSG-20", "The unmodified Anthropic SDK works: plain, streamed, tools, parsed, counted.", "issue 6"),
    Requirement("MSG-21", "The SDK raises the class that fits the cause.", "issue 6 point 1; DESIGN 3 Refusals"),
    Requirement("MSG-22", "Whatever way an answer breaks, it is never taken for a whole one.", "DESIGN 4"),
    Requirement("MSG-23", "Planted values reach neither model, disk nor log, and come back restored.", "DESIGN 10"),
    Requirement("MSG-24", "A call outlives its client; the restarted agent gets all of it.", "DESIGN 4"),
    Requirement("MSG-25", "Killed in a converted stream: one more upstream call after doubt.", "issue 6"),
)
