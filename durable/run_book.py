"""The store's part for runs: `durable.journal.Runs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable import runs, vault
from durable.parts import Part
from durable.stamp import random_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from durable.journal import Audit
    from durable.records import RunRecord
    from durable.sql import Writing
    from durable.step import Owner, VaultEntry


class RunBook(Part):
    """Runs, their attempts and their end."""

    async def open_run(self, owner: Owner, run_id: str | None, details: Mapping[str, object]) -> RunRecord:
        """Create a run, or open the next attempt of `run_id`. Raises `LookupError`, `RunOver`."""
        opening = (owner, run_id or f"run_{random_name()}", details)
        return await self._write("run", lambda tx: runs.open_run(tx, self._keyring, opening))

    async def touch_run(self, owner: Owner, run_id: str, details: Mapping[str, object]) -> RunRecord:
        """Return the run, created as attempt 1 when unknown. Raises `LookupError`."""
        return await self._write("run", lambda tx: runs.touch_run(tx, self._keyring, (owner, run_id, details)))

    async def read_run(self, run_id: str) -> RunRecord | None:
        """Return the run or `None`."""
        return await self._read(lambda tx: runs.read_run(tx, self._keyring, run_id))

    async def close_run(
        self,
        run_id: str,
        attempt: int,
        state: str,
        result: bytes | None,
        *,
        reason: str = "",
        audit: Audit = (),
        entries: tuple[VaultEntry, ...] = (),
    ) -> bool:
        """Move an open run to its end; false when it was not open at that attempt."""
        sealed = self._sealed(f"run/{run_id}/result", result)
        rows = vault.seal(self._keyring, entries)

        async def write(tx: Writing) -> bool:
            closed = await runs.close_run(tx, run_id, attempt, (state, sealed, reason))
            if closed:
                await vault.write(tx, rows)
                tx.audit(audit)
                tx.wake(f"run/{run_id}")
            return closed

        return await self._write("run", write)

    async def close_idle_runs(self, idle_seconds: float) -> int:
        """Finish running runs without a call for that long; returns how many."""
        return await self._write("run", lambda tx: runs.close_idle(tx, idle_seconds))

    async def list_runs(
        self, *, limit: int, agent: str | None, state: str | None, before: str | None = None, kind: str | None = None
    ) -> list[RunRecord]:
        """Return the newest runs first, those begun before the run `before`. Raises `LookupError`."""
        return await self._survey(
            lambda tx: runs.list_runs(
                tx, self._keyring, limit=limit, agent=agent, state=state, before=before, kind=kind
            )
        )
