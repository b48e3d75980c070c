"""Requirements of this area: id, text, source."""

from __future__ import annotations

from tests.requirement import Requirement

_ISSUE = "issue 5 point 6"

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "DEF-01", "A tool that changes between list and call is neither listed nor called until accepted.", _ISSUE
    ),
    Requirement("DEF-02", "A hidden instruction never reaches an agent; the tools beside it go on.", _ISSUE),
    Requirement("DEF-03", "Accepting and rejecting are bound to the exact version that was shown.", _ISSUE),
    Requirement("DEF-04", "Under `accepted_only` nothing is listed or called before it is accepted.", _ISSUE),
    Requirement("DEF-05", "Arguments that do not fit are refused before anything is journaled.", _ISSUE),
    Requirement(
        "DEF-06", "A result that breaks its schema is an error to the agent, and executed in the journal.", _ISSUE
    ),
    Requirement("DEF-07", "A call of what was never listed is made on the definition asked for first.", _ISSUE),
    Requirement("DEF-08", "What is replayed needs no definition: no effect goes to the server.", _ISSUE),
    Requirement("DEF-09", "Prompts, templates and a server's instructions are pinned as tools are.", _ISSUE),
    Requirement("DEF-10", "Pins outlive the gateway and hold on every instance at once.", _ISSUE),
    Requirement("DEF-11", "Changes that can do harm are told from those that cannot.", _ISSUE),
    Requirement("DEF-12", "Hidden characters, bidi controls, look-alikes and phrases are found.", _ISSUE),
    Requirement("DEF-13", "Definitions of honest servers are found clean.", _ISSUE),
    Requirement("DEF-14", "No schema reaches outside of itself, or takes more than bounded time.", _ISSUE),
    Requirement("DEF-15", "A server that does not show its definitions is not called.", _ISSUE),
)
