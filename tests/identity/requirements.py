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
    Requirement("IDN-08", "Keys by URL are fetched once for many callers, behind the calls, not for random key ids.",
                "facts/policy.md B3, B4 23-24"),
    Requirement("IDN-09", "A key server's outage or nonsense leaves the keys at hand up to a limit, then fails closed.",
                "facts/policy.md B3, B4 58-59"),
    Requirement("IDN-10", "API keys are stored hashed, expire, name their principal, and follow their file.",
                "DESIGN section 7; facts/policy.md B3"),
    Requirement("IDN-11", "A run token opens its run's calls and nothing else, in the header and in the path.",
                "DESIGN section 6"),
    Requirement("IDN-12", "A run is named by a well-formed header, never otherwise than by a run token beside it.",
                "DESIGN section 6"),
    Requirement("IDN-13", "Callers without a credential are admitted in development on loopback only, as anonymous.",
                "DESIGN section 3 step 2"),
    Requirement("CFG-01", "The configuration is read into typed values with units; the rest has safe defaults.",
                "DESIGN section 8"),
    Requirement("CFG-02", "All problems of a file are listed at once, each with file, line and the nearest known name.",
                "issue 3 point 1; DESIGN section 8"),
    Requirement("CFG-03", "What is unknown, ambiguous, contradictory or unsafe is refused; secrets are never shown.",
                "DESIGN section 8; STYLE 8; facts/gateways.md G1, G5"),
    Requirement("CFG-04", "The shipped JSON Schema follows from the types and agrees with the reader about form.",
                "issue 3 point 1"),
    Requirement("CFG-05", "No two issuers of a domain may speak for one agent unless both say so.", "DESIGN section 8"),
    Requirement("CFG-06", "Secrets stand behind references, are read when needed and checked for their use.",
                "DESIGN section 8"),
)  # fmt: skip
