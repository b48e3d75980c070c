"""What must be true of model providers."""

from __future__ import annotations

from tests.requirement import Requirement

REQUIREMENTS = (
    Requirement(
        "PROV-01",
        "each provider's endpoints, credential header and own headers are written as its documents say",
        "DESIGN section 8; facts/gateways.md; the providers' API references",
    ),
    Requirement(
        "PROV-02",
        "a model is refused, with what its provider speaks, at an endpoint its provider does not have",
        "STYLE 8: fail closed, and say so",
    ),
    Requirement(
        "PROV-03",
        "a provider's key is read for each call, so that a rotated one counts at once",
        "issue 6 item 2",
    ),
    Requirement(
        "PROV-04",
        "models are listed and shown as either vendor's SDK reads them, and only those the caller may call",
        "issue 6 item 1; OpenAI and Anthropic API references, models",
    ),
    Requirement(
        "PROV-05",
        "every endpoint of the vendors that is not served says so, and what to do instead, in the vendor's form",
        "issue 6 item 9",
    ),
)
