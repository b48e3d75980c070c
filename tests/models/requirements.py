"""What must be true of every model API alike: killed, left, cut, refused."""

from __future__ import annotations

from tests.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "MOD-01",
        "a client that goes away in mid-stream gets all of it when it asks again, byte for byte, of one upstream call, "
        "at whichever instance it asks",
        "issue 6: mid-stream disconnect, retry of the same call",
    ),
    Requirement(
        "MOD-02",
        "a gateway killed in mid-stream leaves the call in doubt; asked again, at whichever instance, it is executed "
        "once more, and that answer is kept byte for byte",
        "issue 6: kill -9 in mid-stream; DESIGN section 4",
    ),
    Requirement(
        "MOD-03",
        "whatever fault a provider's answer has, plain or streamed, at any byte: it is never taken for a whole one, "
        "and asking again asks the same",
        "issue 6: the provider emulator's table of cases; DESIGN section 4",
    ),
    Requirement(
        "MOD-04",
        "whatever way a whole answer arrives, slow, in pieces of one byte, large, it arrives byte for byte",
        "issue 6: the provider emulator's table of cases",
    ),
    Requirement(
        "MOD-05",
        "every exception class of the official SDKs is raised by its own cause, or stands in a list of those that no "
        "answer raises",
        "issue 6: every SDK exception class raised by the right cause",
    ),
    Requirement(
        "MOD-06",
        "every exception class of the official TypeScript clients is raised by its own cause, the provider's words "
        "kept, or stands in a list of those that no answer raises",
        "issue 6: every SDK exception class raised by the right cause, the TypeScript ones too",
    ),
    Requirement(
        "MOD-07",
        "tool runners and parsing helpers of the official TypeScript clients work as without a gateway",
        "issue 6: official SDKs, tool runners, structured parse, plus the TypeScript ones",
    ),
)
