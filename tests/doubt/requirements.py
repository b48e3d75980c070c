"""Requirements of calls in doubt, from the cut to the decision, and of streams."""

from __future__ import annotations

from tests.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("IND-04", "A `keyed` call is `once` when its upstream may have forgotten its key.", "DESIGN 2 effect"),
    Requirement("IND-06", "A verify call proves one call by its key, or by a record no other has.", "DESIGN 4"),
    Requirement("IND-07", "What an operator lets be executed is shown as such until it is.", "issue 4, item 3"),
    Requirement("IND-08", "A given outcome is one like the upstream's: originals, tool calls, form.", "DESIGN 4, 6"),
)
