"""A request may name only what its principal received of that provider through this gateway (DESIGN section 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import refusals
from gateway.providers.objects import usable

if TYPE_CHECKING:
    from durable.journal import Journal
    from durable.step import Owner
    from gateway.call import Call


async def demand_received(journal: Journal, owner: Owner, call: Call) -> None:
    """Raise `Refusal` where `call` names an object of a provider that is not its owner's, or another provider's."""
    if not call.objects:
        return
    known = await journal.received_objects(owner, [name for name in call.objects if usable(name)])
    status = 400 if call.action == "call" else 404  # as the vendors answer
    for name in call.objects:
        if name not in known:
            raise refusals.not_received(status)
        if all(one.origin != call.origin for one in known[name]):
            raise refusals.of_another_provider(status)
