"""A run with all that belongs to it, and retention that keeps nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from durable.step import Intent, Settlement, VaultEntry
from tests.durable.steps import begun, next_attempt, outcome, step

if TYPE_CHECKING:
    from durable.step import RunRef
    from durable.store import Store

EVERYTHING: Final[dict[str, float]] = dict.fromkeys(("finished", "failed", "cancelled", "calls", "approvals"), 0.0)


async def purge_all(journal: Store, rows_max: int = 3) -> int:
    total = 0
    while done := await journal.purge(EVERYTHING, rows_max=rows_max):
        assert done <= rows_max + 1  # the run itself goes with its last part
        total += done
    return total


async def full_run(journal: Store) -> RunRef:
    run = await next_attempt(journal)
    for number in range(5):
        of = step(f"charge {number}", run=run)
        entry = VaultEntry(scope=f"run/{run.id}", token=f"<PERSON_{number}>", entity="PERSON", original="Ann")
        began = await begun(journal, Intent(step=of, request=b"{}", vault=(entry,), use=b"u" * 32))
        await journal.settle(began, Settlement(outcome=outcome(), uses={b"u" * 32: 1}))
    assert await journal.close_run(run.id, 1, "finished", b"done")
    return run
