"""Requirements of MCP: id, text, source."""

from __future__ import annotations

from tests.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("MCP-01", "The conformance suite passes the same through the gateway as directly.", "issue 3"),
    Requirement(
        "MCP-02", "A message two readers could understand differently is refused.", "MCP 2026-07-28 SEP-2243; G7"
    ),
    Requirement("MCP-03", "A server nobody configured is not found.", "DESIGN 3 Refusals; G19"),
    Requirement("MCP-04", "A session belongs to its principal and server; any other is not found.", "G11"),
    Requirement("MCP-05", "Refused tool calls are results, other refused requests errors.", "DESIGN 3 Refusals"),
    Requirement("MCP-06", "A server that cannot be reached or started has executed nothing.", "DESIGN 4"),
    Requirement("MCP-07", "The official client works in both eras, over HTTP and standard streams.", "issue 3"),
    Requirement("MCP-08", "Reference servers work behind the gateway.", "issue 3"),
    Requirement(
        "MCP-09", "A client that goes away cancels upstream unless the tool is finished.", "MCP cancellation; DESIGN 6"
    ),
    Requirement(
        "MCP-10", "Lists show what may be used, and are private to their principal.", "issue 3; MCP caching; G20"
    ),
    Requirement("MCP-11", "An explicit key executes once; its client's text never leaves.", "DESIGN 6 Steps, Answers"),
    Requirement("MCP-12", "Neither credential, cookie nor session of a caller reaches a server.", "MCP security; G9"),
    Requirement(
        "MCP-13", "Headers that mirror the body are made from the body that is sent.", "MCP 2026-07-28 SEP-2243"
    ),
    Requirement(
        "MCP-14", "A server's process that dies is started again, and its sessions with it.", "DESIGN 12 stdio"
    ),
    Requirement("MCP-15", "What a server says of its tools counts only where it is trusted.", "MCP tools; DESIGN 8"),
    Requirement(
        "MCP-16", "Rounds of a call that asks back are steps of their own under one key.", "MCP SEP-2322; DESIGN 6"
    ),
    Requirement(
        "MCP-17", "Only a response, or an error that says so, proves what became of a call.", "DESIGN 6; JSON-RPC 2.0"
    ),
    Requirement(
        "MCP-18",
        "A server's process gets a minimal environment and one principal, and ends whole.",
        "G16; MCP security",
    ),
    Requirement("MCP-19", "A stream closed before its response is fetched to its end.", "MCP 2025-11-25 SEP-1699"),
    Requirement("MCP-20", "A session its server forgot is opened again, unnoticed by its client.", "issue 5; G40"),
    Requirement("MCP-21", "A `once` call is finished when its client goes, in doubt when cancelled.", "DESIGN 4, 6"),
    Requirement("MCP-22", "Streams that only listen take nothing from an agent's calls.", "issue 5"),
    Requirement("MCP-23", "A resource's URI stands in no audit record or trace, only its keyed digest.", "issue 5"),
    Requirement("MCP-24", "A server gets the gateway's trace context, never the caller's.", "MCP SEP-414; issue 5"),
    Requirement("MCP-25", "Methods and notifications nobody knows pass where a line allows them.", "issue 5; G19"),
    Requirement("MCP-26", "A client of the newer era uses a server of the older one, questions too.", "issue 5, 2"),
    Requirement("MCP-27", "No era is claimed at a server's own endpoint that it does not speak.", "issue 5, 2"),
    Requirement("MCP-28", "A client of the older era uses a server of the newer one, questions too.", "issue 5, 2"),
    Requirement("MCP-29", "All servers together are one server, for clients of either era.", "issue 5, 4"),
    Requirement("MCP-30", "A call is the same governed call whichever endpoint it comes to.", "issue 5, 4; DESIGN 3"),
    Requirement("MCP-31", "A server that cannot be asked is left out, and that is said.", "issue 5, 4; G40"),
    Requirement("MCP-32", "A name at the joined endpoint is exactly one server's thing, or nothing.", "G19"),
    Requirement("MCP-33", "One stream tells what any of the servers tells.", "issue 5, 4; MCP 2026-07-28 SEP-2575"),
    Requirement("MCP-34", "A merged list comes in pages, and nothing of it is cut unsaid.", "issue 5, 4"),
    Requirement(
        "MCP-35", "A command runs as an account that reaches no key, state or policy, or not at all.", "DESIGN 13"
    ),
    Requirement("MCP-36", "Servers of the transport of 2024 are used like others, at their own origin.", "issue 5, 3"),
    Requirement(
        "MCP-37",
        "A server that is broken or means harm is contained, said clearly, and hurts nobody else.",
        "issue 5; G40",
    ),
    Requirement(
        "MCP-38",
        "The conformance suite passes through the joined endpoint but for listed exceptions.",
        "issue 5, It must show",
    ),
    Requirement(
        "MCP-39",
        "The clients people use work through the gateway as directly, at a run's own URL too.",
        "issue 5, It must show",
    ),
    Requirement(
        "MCP-40",
        "Every kind of content is replayed byte for byte, also by a gateway that was killed meanwhile.",
        "issue 5, 8; DESIGN 6",
    ),
    Requirement(
        "MCP-41",
        "What a server says of its tools counts only where the file trusts it.",
        "issue 5, 8; MCP server/tools",
    ),
    Requirement(
        "MCP-42",
        "As a client of its servers the gateway passes what the conformance suite asks, in both bridges too.",
        "issue 5, It must show",
    ),
    Requirement("MCP-43", "A stream without end that its agent does not read is ended within its bound.", "STYLE 10"),
    Requirement(
        "MCP-44",
        "What a server of the older era asks beside its answers is heard, also when its stream opens late.",
        "issue 5, 2",
    ),
    Requirement(
        "MCP-50",
        "A question whose answer is blocked ends at once: its server gets an error of the gateway's, its agent why.",
        "issue 8; MCP 2025-11-25 elicitation",
    ),
)
