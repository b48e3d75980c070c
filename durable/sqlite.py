"""The embedded journal: one SQLite file, one process, one writer thread (DESIGN section 5)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self, TypeVar, cast

from durable import (
    sqlite_audit,
    sqlite_claim,
    sqlite_file,
    sqlite_operator,
    sqlite_runs,
    sqlite_steps,
    sqlite_vault,
)
from durable.delivery import Deliveries
from durable.journal import JournalRefused, JournalUnavailable
from durable.sqlite_replays import Replays
from durable.sqlite_rows import MICROSECONDS, outcome_of
from durable.sqlite_steps import Ended, Here
from durable.sqlite_writer import Writer
from durable.step import Began, InFlight, Replay, RunClosed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from durable.chain import Chain
    from durable.records import CallFilter, CallRecord, RunRecord
    from durable.seal import Keyring
    from durable.step import Intent, Known, Outcome, Owner, Settlement, Step, VaultEntry

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Keys:
    """The secret keys of a run, or of an owner without one."""

    fingerprint: bytes
    placeholder: bytes


_GONE = "its caller went away before it was sent"


def _ignore(_: str) -> None:
    """Take no notice: the default for crash points and fatal errors in tests."""


class SqliteJournal:
    """`Journal`, `Runs` and `Operator` of `durable/journal.py` on one file."""

    def __init__(self, keyring: Keyring, lock: int, reader: sqlite3.Connection, here: Here, chain: Chain) -> None:
        self._keyring = keyring
        self._lock = lock
        self._reader = reader
        self._begun = here
        self._chain = chain
        self._deliveries = Deliveries()
        self._replays = Replays(self._submit)
        self._waiting: dict[str, asyncio.Event] = {}
        #: what could not be settled in the file: in doubt, as soon as that can be written
        self._lost: dict[str, Began] = {}
        self._keys: dict[str, Keys] = {}
        self._writer: Writer | None = None

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        keyring: Keyring,
        synchronous: Literal["FULL", "NORMAL"] = "FULL",
        fatal: Callable[[str], None] = _ignore,
        crash_point: Callable[[str], None] = _ignore,
    ) -> Self:
        """Return the journal in `path`, made when new, with its older epochs swept.

        `fatal` is called once when a commit failed for good: the process must end. `crash_point` is
        called with the names of points around commits (`before_intent_commit`, …) for fault tests.
        Raises `JournalRefused`.
        """
        lock = sqlite_file.lock(path)
        reader: sqlite3.Connection | None = None
        try:
            reader = sqlite_file.connect(path, synchronous)
            here, chain = sqlite_file.begin_epoch(reader, path)
        except (sqlite3.Error, JournalRefused) as error:
            if reader is not None:
                reader.close()
            os.close(lock)
            if isinstance(error, JournalRefused):
                raise
            raise JournalRefused(f"`{path}`: expected a journal ({error})") from None
        journal = cls(keyring, lock, reader, here, chain)
        journal._writer = Writer(
            lambda: sqlite_file.connect(path, synchronous),
            chain,
            log=path.with_name(path.name + "-wal"),
            fatal=fatal,
            crash_point=crash_point,
        )
        journal._writer.start()
        return journal

    async def aclose(self) -> None:
        """Write what is queued and let the file go."""
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        await asyncio.to_thread(writer.close)
        self._reader.close()
        os.close(self._lock)

    # -- Journal

    async def look_up(self, step: Step) -> Known | None:
        """Return what is known of `step`, `None` when it has to be begun."""
        if step.key is None and step.run is None:
            return None
        if (closed := sqlite_steps.fence(self._reader, step)) is not None:
            return closed
        handed = self._replays.reached(step.run, step.fingerprint) if step.run is not None else 0
        if step.run is not None and step.key is None and step.effect == "once" and (
            handed or sqlite_steps.cursor(self._reader, step.run, step.fingerprint)
        ):  # fmt: skip
            return None  # needs the evidence that only the redacted intent carries
        place = sqlite_steps.find_place(self._reader, step, None, self._deliveries, self._here(), handed)
        row = sqlite_steps.read_call(self._reader, place)
        known = None if row is None else sqlite_steps.state_of(row, step)
        if isinstance(known, Ended):
            return self._replayed(known.row, step)
        if isinstance(known, InFlight) and known.id in self._lost:
            return None
        return known

    async def begin(self, intent: Intent) -> Began | Known:
        """Claim the step and write the intent, or say what is known of it instead."""
        step = intent.step
        call_id = f"call_{sqlite_file.random_name()}"
        try:
            keys = await self.run_keys(step.owner, step.run.id if step.run else None)
        except LookupError:
            return RunClosed("not there")
        wanted = sqlite_claim.Claim(
            intent=intent,
            call_id=call_id,
            sealed=self._keyring.seal("body", f"call/{call_id}/request", intent.request),
            key=keys.fingerprint,
            vault=sqlite_vault.seal(self._keyring, intent.vault),
        )
        known = await self._claim(wanted)
        if isinstance(known, InFlight) and (lost := self._lost.get(known.id)) is not None:
            await self._move(lost, "doubt", "its outcome could not be written", [])
            known = await self._claim(wanted)
        if isinstance(known, Ended):
            return self._replayed(known.row, step)
        if isinstance(known, Began):
            self._waiting.setdefault(known.id, asyncio.Event())
            if step.run is not None:
                self._deliveries.expect(known.id, step.run.attempt)
        return known

    async def settle(self, began: Began, settlement: Settlement) -> bool:
        """Write the outcome; false when fenced."""
        outcome = settlement.outcome
        sealed = self._keyring.seal("body", f"call/{began.id}/outcome", outcome.body)
        vault = sqlite_vault.seal(self._keyring, settlement.vault)

        def write(database: sqlite3.Connection) -> bool:
            row = sqlite_steps.write_outcome(database, began, outcome, sealed, self._here())
            if row is None:
                self._link(database, [{**record, "fenced": True} for record in settlement.audit])
                return False
            if row["run"] is not None and settlement.uses:
                sqlite_steps.write_uses(database, row["run"], began.id, asked=settlement.uses, shown={})
            sqlite_vault.write(database, vault)
            self._link(database, settlement.audit)
            return True

        return await self._end(began, "outcome", write)

    async def release(self, began: Began, reason: str, audit: Sequence[Mapping[str, object]]) -> None:
        """Record that the call is known not to have been executed."""
        await self._move(began, "released", reason, audit)

    async def doubt(self, began: Began, reason: str, audit: Sequence[Mapping[str, object]]) -> None:
        """Record that the effect perhaps happened."""
        await self._move(began, "doubt", reason, audit)

    async def wait(self, call_id: str, seconds_max: float) -> InFlight:
        """Wait until the call leaves `intent`; `InFlight` when the time is up, else `LookupError`."""
        event = self._waiting.get(call_id)
        if event is not None and not event.is_set():
            try:
                async with asyncio.timeout(seconds_max):
                    await event.wait()
            except TimeoutError:
                return InFlight(call_id)
        raise LookupError(call_id)

    def delivered(self, call_id: str, *, complete: bool) -> None:
        """Tell how the answer was delivered."""
        self._deliveries.note(call_id, complete=complete)

    async def write_audit(self, records: Sequence[Mapping[str, object]]) -> None:
        """Append audit records that belong to no journal entry."""
        await self._submit("audit", lambda database: self._link(database, records))

    async def originals(self, scope: str, tokens: Sequence[str]) -> dict[str, VaultEntry]:
        """Return the vault's entries of `scope` for those `tokens` it holds."""
        return sqlite_vault.read(self._reader, self._keyring, scope, tokens)

    async def run_keys(self, owner: Owner, run: str | None) -> Keys:
        """Return the secret keys of a run, or of an owner without one; made when new."""
        name = f"run/{run}" if run is not None else f"owner/{owner.domain}/{owner.agent}/{owner.user}"
        known = self._keys.get(name)
        if known is not None:
            return known
        if run is not None:
            row = self._reader.execute("SELECT sealed_keys AS sealed FROM run WHERE id = ?", (run,)).fetchone()
            if row is None:
                raise LookupError(run)
            sealed = row["sealed"]
        else:
            sealed = await self._owner_key(name)
        content = self._keyring.unseal("keys", name, sealed)
        keys = self._keys[name] = Keys(content[:32], content[32:64])
        if len(self._keys) > sqlite_runs.KEYS_CACHED_MAX:
            self._keys.pop(next(iter(self._keys)))
        return keys

    # -- Runs

    async def open_run(self, owner: Owner, run_id: str | None, details: Mapping[str, object]) -> RunRecord:
        """Create a run, or open the next attempt of `run_id`."""
        name = run_id or f"run_{sqlite_file.random_name()}"
        return await self._submit(
            "run",
            lambda database: sqlite_runs.open_run(database, self._keyring, (owner, name, details), sqlite_file.now()),
        )

    async def touch_run(self, owner: Owner, run_id: str, details: Mapping[str, object]) -> RunRecord:
        """Return the run, created as attempt 1 when unknown."""
        return await self._submit(
            "run",
            lambda database: sqlite_runs.touch_run(
                database, self._keyring, (owner, run_id, details), sqlite_file.now()
            ),
        )

    async def read_run(self, run_id: str) -> RunRecord | None:
        """Return the run or `None`."""
        return sqlite_runs.read_run(self._reader, self._keyring, run_id)

    async def close_run(self, run_id: str, attempt: int, state: str, result: bytes | None) -> bool:
        """Move a running run to its end; false when it was not running that attempt."""
        sealed = None if result is None else self._keyring.seal("body", f"run/{run_id}/result", result)
        return await self._submit(
            "run", lambda database: sqlite_runs.close_run(database, (run_id, attempt, state, sealed), sqlite_file.now())
        )

    async def close_idle_runs(self, idle_seconds: float) -> int:
        """Finish running runs without a call for that long; returns how many."""
        before = sqlite_file.now() - round(idle_seconds * MICROSECONDS)
        return await self._submit("run", lambda database: sqlite_runs.close_idle(database, before, sqlite_file.now()))

    async def list_runs(self, *, limit: int, agent: str | None, state: str | None) -> list[RunRecord]:
        """Return the newest runs first."""
        return sqlite_runs.list_runs(self._reader, self._keyring, limit=limit, agent=agent, state=state)

    # -- Operator

    async def list_calls(self, wanted: CallFilter) -> list[CallRecord]:
        """Return the newest calls first; no bodies."""
        return sqlite_operator.list_calls(self._reader, wanted)

    async def read_call(self, call_id: str) -> CallRecord | None:
        """Return one call or `None`; no bodies."""
        return sqlite_operator.read_call(self._reader, call_id)

    async def read_outcome(self, call_id: str) -> Outcome | None:
        """Return the (redacted) outcome of a call."""
        return sqlite_operator.read_outcome(self._reader, self._keyring, call_id)

    async def resolve(
        self, call_id: str, verdict: str, outcome: Outcome | None, audit: Sequence[Mapping[str, object]]
    ) -> str:
        """Settle a call in doubt: `happened`, `execute` or `fail`; returns the new state."""
        sealed = b""
        if outcome is not None:
            sealed = self._keyring.seal("body", f"call/{call_id}/outcome", outcome.body)

        def write(database: sqlite3.Connection) -> str:
            state = sqlite_operator.resolve(database, (call_id, verdict, outcome, sealed), sqlite_file.now())
            self._link(database, audit)
            return state

        return await asyncio.shield(self._submit("resolve", write))

    # -- inside

    async def _claim(self, wanted: sqlite_claim.Claim) -> Began | Known | Ended:
        claimed = self._submit(
            "intent", lambda database: sqlite_claim.claim(database, wanted, self._chain, self._deliveries, self._here())
        )
        try:
            return await asyncio.shield(claimed)
        except asyncio.CancelledError:
            claimed.add_done_callback(self._give_back)
            raise

    def _give_back(self, claimed: asyncio.Future[Began | Known | Ended]) -> None:
        """Release what was begun for a caller that has gone: nobody will send it."""
        if claimed.cancelled() or claimed.exception() is not None:
            return
        began = claimed.result()
        if isinstance(began, Began):
            audit = [{"event": "released", "call": began.id, "reason": _GONE}]
            with contextlib.suppress(JournalUnavailable):  # then the next start finds it, in doubt
                self._ended(
                    began, "released", lambda database: self._write_move(database, began, "released", _GONE, audit)
                )

    def _replayed(self, row: sqlite3.Row, step: Step) -> Replay:
        """Hand out an outcome: the attempt's cursor moves, without anybody waiting for it."""
        occurrence = cast("int", row["occurrence"])
        if step.run is not None:
            self._deliveries.expect(row["id"], step.run.attempt)
        self._replays.note(row["id"], step, occurrence)
        return Replay(
            id=row["id"], occurrence=occurrence, outcome=outcome_of(row, self._keyring), digests=row["digests"],
            intent_time=row["intent_time"] / MICROSECONDS,
        )  # fmt: skip

    async def _move(self, began: Began, state: str, reason: str, audit: Sequence[Mapping[str, object]]) -> None:
        await self._end(began, state, lambda database: self._write_move(database, began, state, reason, audit))

    def _write_move(
        self,
        database: sqlite3.Connection,
        began: Began,
        state: str,
        reason: str,
        audit: Sequence[Mapping[str, object]],
    ) -> None:
        moved = sqlite_steps.move(database, began, state, reason)
        self._link(database, audit if moved else [{**record, "fenced": True} for record in audit])

    async def _end(self, began: Began, name: str, write: Callable[[sqlite3.Connection], Result]) -> Result:
        # shielded: what has happened is written down even when the one who tells of it goes away
        return await asyncio.shield(self._ended(began, name, write))

    def _ended(self, began: Began, name: str, write: Callable[[sqlite3.Connection], Result]) -> asyncio.Future[Result]:
        def over(done: asyncio.Future[Result]) -> None:
            if done.cancelled() or done.exception() is not None:
                self._lost[began.id] = began
            else:
                self._lost.pop(began.id, None)
            event = self._waiting.pop(began.id, None)
            if event is not None:
                event.set()

        written = self._submit(name, write)
        written.add_done_callback(over)
        return written

    async def _owner_key(self, name: str) -> bytes:
        def write(database: sqlite3.Connection) -> bytes:
            fresh = self._keyring.seal("keys", name, secrets.token_bytes(64))
            database.execute(
                "INSERT INTO owner_key (owner, sealed) VALUES (?, ?) ON CONFLICT DO NOTHING", (name, fresh)
            )
            return database.execute("SELECT sealed FROM owner_key WHERE owner = ?", (name,)).fetchone()["sealed"]

        return await self._submit("key", write)

    def _link(self, database: sqlite3.Connection, records: Sequence[Mapping[str, object]]) -> None:
        sqlite_audit.append(database, self._chain, records, sqlite_file.now())

    def _here(self) -> Here:
        return Here(self._begun.instance, self._begun.epoch, sqlite_file.now())

    def _submit(self, name: str, write: Callable[[sqlite3.Connection], Result]) -> asyncio.Future[Result]:
        if self._writer is None:
            raise JournalUnavailable("the journal is closed")
        return self._writer.submit(name, write)
