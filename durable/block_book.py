"""The store's part for blocks: set, lifted, and heard of on every instance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable import blocks
from durable.parts import Part

if TYPE_CHECKING:
    from durable.blocks import BlockRecord
    from durable.journal import Audit
    from durable.sql import Transaction, Writing


class BlockBook(Part):
    """Who and what is blocked."""

    async def block(self, subject: str, *, reason: str, blocker: str, audit: Audit) -> BlockRecord:
        """Block `subject`; one that is blocked already stays as it is. Raises `JournalUnavailable`."""

        async def write(tx: Writing) -> BlockRecord:
            found = await blocks.block(tx, subject, reason, blocker)
            tx.audit(audit)
            return found

        return await self._write("block", write)

    async def lift_block(self, subject: str, *, audit: Audit) -> BlockRecord:
        """Lift the block of `subject`. Raises `LookupError` when there is none, `JournalUnavailable`."""

        async def write(tx: Writing) -> BlockRecord:
            found = await blocks.lift(tx, subject)
            tx.audit(audit)
            return found

        return await self._write("block", write)

    async def list_blocks(self) -> list[BlockRecord]:
        """Return all blocks, the newest first."""
        return await self._read(blocks.read_all)

    async def blocks_revision(self) -> int:
        """Return the number of changes so far, on all instances."""
        return await self._read(blocks.revision)

    async def wait_blocks(self, known: int, seconds_max: float) -> None:
        """Wait until there are more changes than `known`, at most `seconds_max`."""

        async def more(tx: Transaction) -> bool:
            return await blocks.revision(tx) != known

        await self._wait(blocks.WAKE, more, seconds_max)
