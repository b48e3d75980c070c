"""What must be true of `/v1/responses`."""

from __future__ import annotations

from tests.requirement import Requirement

REQUIREMENTS = (
    Requirement(
        "RESP-01",
        "every event type of the installed SDK passes, wherever the stream is cut; what is no event proves nothing",
        "issue 6 item 1; openai.types.responses.ResponseStreamEvent",
    ),
    Requirement(
        "RESP-02",
        "a text in pieces and every event that repeats it are redacted alike",
        "DESIGN section 10; OpenAI API reference, responses streaming",
    ),
    Requirement(
        "RESP-03",
        "encrypted reasoning and media pass byte for byte",
        "issue 6 item 1: reasoning items byte-exact",
    ),
    Requirement(
        "RESP-04",
        "text flows; nothing of a tool call leaves before the journal has the outcome",
        "DESIGN section 3, step 11",
    ),
    Requirement(
        "RESP-05",
        "status and end of an answer say what is known of its effect; usage and finish are kept",
        "DESIGN sections 4 and 6",
    ),
    Requirement(
        "RESP-06",
        "volatile fields and the order of equal tools' results leave the fingerprint alone; `store` does not",
        "facts/agents.md section 5",
    ),
    Requirement(
        "RESP-07",
        "tools and connectors the provider runs, and background work, are resources of their own and `once`",
        "DESIGN section 2; issue 6 item 8",
    ),
    Requirement(
        "RESP-08",
        "tool calls asked for and results shown are read alike from requests and answers",
        "DESIGN section 6: evidence",
    ),
    Requirement(
        "RESP-09",
        "an answer given as a whole is a stream to a client that asked for one, as the SDK reads it",
        "DESIGN section 4: calls in doubt",
    ),
    Requirement(
        "RESP-10",
        "the official SDK works as without a gateway: sync, async, streams, helpers, structured output, tool loops",
        "issue 6, It must show",
    ),
    Requirement(
        "RESP-11",
        "every exception class of the SDK is raised by its right cause, the vendor's and the gateway's own",
        "issue 6, It must show; DESIGN section 3, refusals",
    ),
    Requirement(
        "RESP-12",
        "faults on the wire (cut, silent, encoded, malformed, in pieces, very large) end as errors or as the answer",
        "issue 6, It must show",
    ),
    Requirement(
        "RESP-13",
        "what a provider keeps can be named only by who received it here, at the provider that made it, or if granted",
        "DESIGN section 6: provider object ids; issue 6 item 8",
    ),
    Requirement(
        "RESP-14",
        "a kept response is read, deleted and cancelled by its owner alone, and where policy allows it",
        "issue 6 item 8",
    ),
    Requirement(
        "RESP-15",
        "killed in mid-stream of a response that may have acted, it is held; what somebody says of it is its stream",
        "DESIGN section 4",
    ),
)
