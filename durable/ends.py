"""Ends of calls as values: what one writes, alone or together with others of its kind.

Each is called with a transaction and writes itself there. A backend that writes many at once
(`postgres_batch.py`) reads their fields instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from durable import approvals, budgets, provider_objects, steps, vault

if TYPE_CHECKING:
    from durable.journal import Audit
    from durable.sql import Writing
    from durable.step import Began, Settlement
    from durable.vault import SealedEntry


@dataclass(frozen=True, slots=True)
class Settling:
    """An outcome to be written: true when it was, false when fenced."""

    began: Began
    settlement: Settlement
    sealed: bytes
    vault: list[SealedEntry]

    async def __call__(self, tx: Writing) -> bool:
        """Write it."""
        began, settlement = self.began, self.settlement
        row = await steps.write_outcome(tx, began, settlement.outcome, self.sealed)
        if row is None:
            tx.audit([{**record, "fenced": True} for record in settlement.audit])
            return False
        if row["run"] is not None and settlement.uses:
            await steps.write_uses(tx, row["run"], began.id, asked=settlement.uses, shown={})
        await budgets.settle(tx, began.charges, settlement.spent)
        await vault.write(tx, self.vault)
        await provider_objects.write(tx, began.id, settlement.outcome)
        tx.audit(settlement.audit)
        tx.wake(f"call/{began.id}")
        return True


@dataclass(frozen=True, slots=True)
class Moving:
    """A call in flight to be moved to `released` or `doubt`."""

    began: Began
    state: str
    reason: str
    audit: Audit

    async def __call__(self, tx: Writing) -> None:
        """Write it; one that was fenced is audited as such. What is in doubt keeps what it has reserved."""
        moved = await steps.move(tx, self.began, self.state, self.reason)
        if moved and self.state == "released":
            await budgets.give_back(tx, self.began)
        tx.audit(self.audit if moved else [{**record, "fenced": True} for record in self.audit])
        tx.wake(f"call/{self.began.id}")


@dataclass(frozen=True, slots=True)
class Releasing:
    """A call known not to have been executed; its approval, if it used one, counts again."""

    began: Began
    reason: str
    audit: Audit

    async def __call__(self, tx: Writing) -> None:
        """Write it."""
        await Moving(self.began, "released", self.reason, self.audit)(tx)
        await approvals.give_back(tx, self.began.id)


@dataclass(frozen=True, slots=True)
class Auditing:
    """Audit records that belong to no call."""

    records: Audit

    async def __call__(self, tx: Writing) -> None:
        """Write them."""
        tx.audit(self.records)
