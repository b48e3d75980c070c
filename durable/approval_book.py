"""The store's part for approvals: `durable.journal.Approvals`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from durable import approvals
from durable.parts import Part
from durable.vault import seal
from durable.vault import write as write_entries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable.journal import Audit
    from durable.records import ApprovalRecord, Vote
    from durable.sql import Transaction, Writing
    from durable.step import Step, VaultEntry


class ApprovalBook(Part):
    """Approvals asked for, waited for and voted on."""

    async def ask_approval(
        self, step: Step, wanted: ApprovalRecord, shown: bytes, audit: Audit, vault: Sequence[VaultEntry] = ()
    ) -> ApprovalRecord:
        """Return the approval of `step` that counts (open, or denied for the same request), else write `wanted`."""
        entries = seal(self._keyring, vault)

        async def write(tx: Writing) -> ApprovalRecord:
            found, fresh = await approvals.ask(tx, self._keyring, step, wanted, shown)
            if fresh:
                await write_entries(tx, entries)
                tx.audit([{**record, "approval": found.id} for record in audit])
            return found

        return await self._write("approval", write)

    async def wait_approval(self, approval_id: str, seconds_max: float) -> ApprovalRecord:
        """Return the approval once it is not pending, or as it is when the time is up. Raises `LookupError`."""

        async def decided(tx: Transaction) -> bool:
            found = await approvals.read(tx, approval_id)
            return found is None or found.state != "pending"

        await self._wait(f"approval/{approval_id}", decided, seconds_max)
        found = await self.read_approval(approval_id)
        if found is None:
            raise LookupError(approval_id)
        return found

    async def vote(self, approval_id: str, vote: Vote, audit: Audit) -> ApprovalRecord:
        """Add a vote and return what it makes of the approval. Raises `LookupError`, `ApprovalClosed`."""

        async def write(tx: Writing) -> ApprovalRecord:
            found = await approvals.vote(tx, approval_id, vote)
            tx.audit([{**record, "approval": found.id, "state": found.state} for record in audit])
            return found

        return await self._write("vote", write)

    async def list_approvals(
        self, *, limit: int, state: str | None, run: str | None, before: str | None = None
    ) -> list[ApprovalRecord]:
        """Return the newest approvals first, those asked before the approval `before`. Raises `LookupError`."""
        return await self._survey(lambda tx: approvals.read_all(tx, limit=limit, state=state, run=run, before=before))

    async def read_approval(self, approval_id: str) -> ApprovalRecord | None:
        """Return one approval or `None`."""
        return await self._read(lambda tx: approvals.read(tx, approval_id))

    async def read_shown(self, approval_id: str) -> bytes | None:
        """Return what approvers see of the call: redacted JSON."""
        return await self._read(lambda tx: approvals.read_shown(tx, self._keyring, approval_id))

    async def expire_approvals(self) -> int:
        """End open approvals that are past their time, or whose run is over; returns how many."""
        if not await self._read(_any_open):
            return 0
        return await self._write("expiry", approvals.expire)


async def _any_open(tx: Transaction) -> bool:
    row = await tx.row("SELECT 1 AS one FROM approval WHERE state IN ('pending', 'approved') LIMIT 1")
    return cast("object", row) is not None
