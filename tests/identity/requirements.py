"""Requirements of this area: id, text, source."""

from __future__ import annotations

from tests.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("IDN-01", "A token that fails any check is refused with 401 and no detail; the audit gets a reason.",
                "facts/policy.md B3, B4; RFC 8725; RFC 9068"),
    Requirement("IDN-02", "A valid token gives a principal whose domain is its issuer's entry, never a claim's.",
                "facts/policy.md B3; DESIGN section 2"),
    Requirement("IDN-03", "A request carries one credential in one header: none is 401, two are 400, a large one 431.",
                "facts/policy.md B4 1-5; RFC 6750 section 2; DESIGN section 6"),
    Requirement("IDN-04", "Only strong public signature keys of the token's own issuer verify it.",
                "facts/policy.md B3, B4 47; RFC 8725 section 3.5"),
    Requirement("IDN-05", "An issuer speaks only for its agents and with its token types.", "DESIGN section 8"),
    Requirement("IDN-06", "The admin listener has audiences and keys of its own.", "DESIGN section 7"),
    Requirement("IDN-07", "What is remembered of a token never outlives its expiry or a change of its issuer's keys.",
                "facts/policy.md B1"),
)  # fmt: skip
