"""The store's part for runs the gateway starts, ends and forks: `durable.journal.ManagedRuns` and more of `Runs`."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import TYPE_CHECKING

from durable import forks, history, managed, past, run_ends, runs, steps, vault
from durable.journal import RunPurged
from durable.parts import Part
from durable.records import DueRun
from durable.rows import run_record
from durable.stamp import MICROSECONDS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from durable.journal import Audit
    from durable.records import RunRecord
    from durable.sql import Row, Transaction, Writing
    from durable.step import Owner, VaultEntry


class ManagedBook(Part):
    """Managed runs, and what operators do to any run."""

    async def open_managed(
        self,
        owner: Owner,
        record: RunRecord,
        content: bytes,
        audit: Audit,
        *,
        keys: bytes | None = None,
        entries: tuple[VaultEntry, ...] = (),
        carried: Collection[str] = (),
    ) -> RunRecord:
        """Write a managed run, due now; the one there is for the same id and input. Raises `LookupError`, `ValueError`.

        `keys` are the run's 64 secret bytes where its input was redacted under them already, `entries`
        the originals that took out of it, `carried` the labels of who opens it.
        """
        sealed = managed.Sealed(
            self._keyring.seal("keys", f"run/{record.id}", keys or secrets.token_bytes(64)),
            self._keyring.seal("body", f"run/{record.id}/input", content),
        )
        rows = vault.seal(self._keyring, entries)

        async def write(tx: Writing) -> RunRecord:
            if await past.is_purged(tx, past.run_tombstone(record.id)):
                raise RunPurged(f"run `{record.id}` was used and is not kept any more; use a new id")
            if await managed.insert(tx, owner, record, sealed):
                await vault.write(tx, rows)
                await history.carry(tx, owner, record.id, sorted(carried))
                tx.audit(audit)
            found = await runs.read_run(tx, self._keyring, record.id)
            if found is None or (found.domain, found.agent, found.user) != (owner.domain, owner.agent, owner.user):
                raise LookupError(record.id)
            if found.target != record.target or found.details.get("input") != record.details.get("input"):
                raise ValueError(f"run `{record.id}` was opened with another input")
            return found

        return await self._write("run", write)

    async def claim_due_run(self) -> DueRun | None:
        """Take the managed run that has been due longest, `None` when none is."""
        row = await self._write("run", managed.claim_due)
        if row is None:
            return None
        content = self._keyring.unseal("body", f"run/{row['id']}/input", row["sealed_input"])
        return DueRun(record=run_record(row, self._keyring), input=content)

    async def next_due(self) -> float | None:
        """Return when the next managed run is due (seconds since the epoch), `None` without one."""
        return await self._read(managed.next_due)

    async def wait_due(self, seconds_max: float) -> None:
        """Return when a run is due on any instance, or the time is up."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds_max
        with self._backend.wakeups.listen(managed.DUE) as woken:
            while (left := until - loop.time()) > 0:
                when = await self.next_due()
                away = left if when is None else when - self._backend.here().now / MICROSECONDS
                if away <= 0:
                    return
                poll = self._backend.poll_seconds
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(left, away) if poll is None else min(left, away, poll)):
                        await woken.wait()
                woken.clear()

    async def wait_run_over(self, run_id: str, attempt: int, seconds_max: float) -> bool:
        """Return true once the run is not open at that attempt any more, false when the time is up."""

        async def over(tx: Transaction) -> bool:
            row: Row | None = await tx.row("SELECT attempt, state FROM run WHERE id = $1", run_id)
            return row is None or row["attempt"] != attempt or row["state"] not in {"ready", "running", "waiting"}

        return await self._wait(f"run/{run_id}", over, seconds_max)

    async def put_off_run(
        self, run_id: str, attempt: int, due: float, reason: str, audit: Audit, *, counted: bool = True
    ) -> bool:
        """Give a managed run back until `due`; false when superseded. `counted` false gives its attempt back too."""

        async def write(tx: Writing) -> bool:
            moved = await managed.put_off(tx, (run_id, attempt), due, reason, counted=counted)
            if moved:
                tx.audit(audit)
            return moved

        return await self._write("run", write)

    async def cancel_run(self, run_id: str, reason: str, audit: Audit) -> RunRecord:
        """Move an open run, whatever its attempt, to `cancelled`. Raises `LookupError`, `RunOver`."""

        async def write(tx: Writing) -> RunRecord:
            found = await run_ends.cancel(tx, self._keyring, run_id, reason)
            tx.audit(audit)
            return found

        return await self._write("run", write)

    async def retry_run(self, run_id: str, audit: Audit) -> RunRecord:
        """Open a failed or cancelled run again. Raises `LookupError`, `RunOver`."""

        async def write(tx: Writing) -> RunRecord:
            found = await run_ends.retry(tx, self._keyring, run_id)
            tx.audit(audit)
            return found

        return await self._write("run", write)

    async def fork_run(
        self, run_id: str, step: int, details: Mapping[str, object], audit: Audit, *, repeat_effects: bool
    ) -> RunRecord:
        """Return a new run that shares the journal of `run_id` up to `step`. Raises `LookupError`, `ValueError`."""
        fork = forks.Fork(parent=run_id, step=step, details=details, repeat_effects=repeat_effects)
        copy = await self._read(lambda tx: forks.prepare(tx, self._keyring, fork))

        async def write(tx: Writing) -> RunRecord:
            await forks.write(tx, copy)
            tx.audit([{**record, "run": fork.name} for record in audit])
            found = await runs.read_run(tx, self._keyring, fork.name)
            if found is None:
                raise LookupError(fork.name)
            return found

        return await self._write("run", write)

    async def note_divergence(self, call_id: str, text: str, audit: Audit) -> None:
        """Keep what a call was found to differ from: `<call id> <path>`."""

        async def write(tx: Writing) -> None:
            await steps.note_divergence(tx, call_id, text)
            tx.audit(audit)

        await self._write("divergence", write)
