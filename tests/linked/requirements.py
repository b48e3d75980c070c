"""What must be true of what a provider reaches by itself: what it fetches, and what else a call uses besides."""

from __future__ import annotations

from tests.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "LINK-01",
        "every URL that a provider would fetch is found, in each protocol, and none that it would not",
        "DESIGN section 2; issue 6 item 8; the providers' API references",
    ),
    Requirement(
        "LINK-02",
        "a provider fetches only from hosts that a line allows, and what it fetches counts as not looked into",
        "DESIGN sections 2 and 10; issue 6 item 8",
    ),
    Requirement(
        "LINK-03",
        "what the lines of hosted tools and hosts demand is demanded of the call, also of another model's",
        "DESIGN section 9: demands of all matching allows add up",
    ),
    Requirement(
        "LINK-04",
        "a dearer tier of a model needs a line of its own: no agent chooses to pay more than the price that is known",
        "issue 6 item 5: money that cannot run away",
    ),
)
