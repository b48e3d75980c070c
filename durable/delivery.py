"""What this process knows of how answers were delivered; lost with it, and then everything is unknown.

Decides whether an equal `safe`, `keyed` or model request is a new occurrence (DESIGN section 6).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Literal

Status = Literal["present", "complete", "gone"]

#: Older knowledge is dropped; an unknown delivery counts as none, which never executes twice.
ENTRIES_MAX: Final = 100_000


class Deliveries:
    """Per call: in which attempt its answer was last asked for, and what became of it.

    Written by the event loop, read by the writer thread too: each entry is replaced whole.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[int, Status]] = OrderedDict()

    def expect(self, call_id: str, attempt: int) -> None:
        """Note that a client of this attempt waits for the call's answer."""
        self._known[call_id] = (attempt, "present")
        self._known.move_to_end(call_id)
        while len(self._known) > ENTRIES_MAX:
            self._known.popitem(last=False)

    def note(self, call_id: str, *, complete: bool) -> None:
        """Note that the answer was delivered to the last byte, or that its client has gone."""
        known = self._known.get(call_id)
        if known is not None:
            self._known[call_id] = (known[0], "complete" if complete else "gone")

    def status(self, call_id: str, attempt: int) -> Status | None:
        """Return what is known in this attempt, `None` when nothing is."""
        known = self._known.get(call_id)
        return known[1] if known is not None and known[0] == attempt else None
