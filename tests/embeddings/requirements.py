"""What must be true of `/v1/embeddings`."""

from __future__ import annotations

from tests.requirement import Requirement

REQUIREMENTS = (
    Requirement(
        "EMB-01",
        "texts become vectors through the official SDK, as numbers and in base64, byte for byte, with usage",
        "issue 6 item 1",
    ),
    Requirement(
        "EMB-02", "texts are redacted, and tokens are refused where redaction is on", "DESIGN section 10: every text"
    ),
    Requirement(
        "EMB-03",
        "an equal request is answered from the journal, and the fingerprint leaves out who the user is",
        "facts/agents.md section 5",
    ),
    Requirement("EMB-04", "what is no request for embeddings is refused in OpenAI's form", "DESIGN section 3"),
)
