"""The embedded journal: one SQLite file, one process, one writer thread (DESIGN section 5)."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import hmac
import os
import secrets
import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self, TypeVar, cast

from durable import sqlite_operator, sqlite_runs, sqlite_steps
from durable.chain import Chain
from durable.delivery import Deliveries
from durable.journal import JournalRefused, JournalUnavailable
from durable.sqlite_rows import MICROSECONDS, outcome_of
from durable.sqlite_schema import migrate
from durable.sqlite_steps import Ended, Here
from durable.sqlite_writer import Writer
from durable.step import Began, InFlight, Replay, VaultEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from durable.records import CallFilter, CallRecord, RunRecord
    from durable.seal import Keyring
    from durable.step import Intent, Known, Outcome, Owner, Settlement, Step

Result = TypeVar("Result")
_BUSY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Keys:
    """The secret keys of a run, or of an owner without one."""

    fingerprint: bytes
    placeholder: bytes


def _ignore(_: str) -> None:
    """Take no notice: the default for crash points and fatal errors in tests."""


class SqliteJournal:
    """`Journal`, `Runs` and `Operator` of `durable/journal.py` on one file."""

    def __init__(self, path: Path, keyring: Keyring, lock: int, synchronous: str) -> None:
        self._path = path
        self._keyring = keyring
        self._lock = lock
        self._synchronous = synchronous
        self._deliveries = Deliveries()
        self._waiting: dict[str, asyncio.Event] = {}
        self._keys: dict[str, Keys] = {}
        self._reader = self._connect()
        self._instance = ""
        self._epoch = 0
        self._chain = Chain("")
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
        lock = _locked(path)
        try:
            journal = cls(path, keyring, lock, synchronous)
            journal._begin_epoch()
        except sqlite3.Error as error:
            os.close(lock)
            raise JournalRefused(f"`{path}`: expected a journal ({error})") from None
        journal._writer = Writer(journal._connect, journal._chain, fatal=fatal, crash_point=crash_point)
        journal._writer.start()
        return journal

    async def aclose(self) -> None:
        """Write what is queued and let the file go."""
        if self._writer is not None:
            await asyncio.to_thread(self._writer.close)
            self._writer = None
        self._reader.close()
        os.close(self._lock)

    # -- Journal

    async def look_up(self, step: Step) -> Known | None:
        """Return what is known of `step`, `None` when it has to be begun."""
        if step.key is None and step.run is None:
            return None
        if (closed := sqlite_steps.fence(self._reader, step)) is not None:
            return closed
        if step.key is None and step.effect == "once" and sqlite_steps.cursor(
            self._reader, step.run, step.fingerprint  # pyright: ignore[reportArgumentType] - a run, as tested above
        ):  # fmt: skip
            return None  # needs the evidence that only the redacted intent carries
        place = sqlite_steps.find_place(self._reader, step, None, self._deliveries, self._here())
        row = sqlite_steps.read_call(self._reader, place)
        known = None if row is None else sqlite_steps.state_of(row, step)
        if isinstance(known, Ended):
            return self._replayed(known.row, step)
        return known

    async def begin(self, intent: Intent) -> Began | Known:
        """Claim the step and write the intent, or say what is known of it instead."""
        call_id = _call_id()
        sealed = self._keyring.seal("body", f"call/{call_id}/request", intent.request)
        vault = self._sealed_vault(intent.vault)
        keys = await self.run_keys(intent.step.owner, intent.step.run.id if intent.step.run else None)

        def write(database: sqlite3.Connection) -> Began | Known | Ended:
            return self._claim(database, intent, (call_id, sealed, keys.fingerprint), vault)

        known = await self._submit("intent", write)
        if isinstance(known, Ended):
            return self._replayed(known.row, intent.step)
        if isinstance(known, Began):
            self._waiting.setdefault(known.id, asyncio.Event())
            if intent.step.run is not None:
                self._deliveries.expect(known.id, intent.step.run.attempt)
        return known

    async def settle(self, began: Began, settlement: Settlement) -> bool:
        """Write the outcome; false when fenced."""
        outcome = settlement.outcome
        sealed = self._keyring.seal("body", f"call/{began.id}/outcome", outcome.body)
        vault = self._sealed_vault(settlement.vault)

        def write(database: sqlite3.Connection) -> bool:
            row = sqlite_steps.write_outcome(database, began, outcome, sealed, self._here())
            if row is None:
                self._link(database, [{**record, "fenced": True} for record in settlement.audit])
                return False
            if row["run"] is not None and settlement.uses:
                sqlite_steps.write_uses(database, row["run"], began.id, asked=settlement.uses, shown={})
            _write_vault(database, vault)
            self._link(database, settlement.audit)
            return True

        kept = await self._submit("outcome", write)
        self._wake(began.id)
        return kept

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
        found: dict[str, VaultEntry] = {}
        for token in tokens:
            row = self._reader.execute(
                "SELECT entity, sealed FROM vault WHERE scope = ? AND token = ?", (scope, token)
            ).fetchone()
            if row is not None:
                original = self._keyring.unseal("vault", f"{scope}/{token}", row["sealed"]).decode()
                found[token] = VaultEntry(scope=scope, token=token, entity=row["entity"], original=original)
        return found

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
        name = run_id or f"run_{_random_name()}"
        return await self._submit(
            "run", lambda database: sqlite_runs.open_run(database, self._keyring, (owner, name, details), _now())
        )

    async def touch_run(self, owner: Owner, run_id: str, details: Mapping[str, object]) -> RunRecord:
        """Return the run, created as attempt 1 when unknown."""
        return await self._submit(
            "run", lambda database: sqlite_runs.touch_run(database, self._keyring, (owner, run_id, details), _now())
        )

    async def read_run(self, run_id: str) -> RunRecord | None:
        """Return the run or `None`."""
        return sqlite_runs.read_run(self._reader, self._keyring, run_id)

    async def close_run(self, run_id: str, attempt: int, state: str, result: bytes | None) -> bool:
        """Move a running run to its end; false when it was not running that attempt."""
        sealed = None if result is None else self._keyring.seal("body", f"run/{run_id}/result", result)
        return await self._submit(
            "run", lambda database: sqlite_runs.close_run(database, (run_id, attempt, state, sealed), _now())
        )

    async def close_idle_runs(self, idle_seconds: float) -> int:
        """Finish running runs without a call for that long; returns how many."""
        before = _now() - round(idle_seconds * MICROSECONDS)
        return await self._submit("run", lambda database: sqlite_runs.close_idle(database, before, _now()))

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
            state = sqlite_operator.resolve(database, (call_id, verdict, outcome, sealed), _now())
            self._link(database, audit)
            return state

        state = await self._submit("resolve", write)
        self._wake(call_id)
        return state

    # -- inside

    def _claim(
        self,
        database: sqlite3.Connection,
        intent: Intent,
        fresh: tuple[str, bytes, bytes],
        vault: list[tuple[str, str, str, bytes]],
    ) -> Began | Known | Ended:
        step, here, (call_id, sealed, key) = intent.step, self._here(), fresh
        if (closed := sqlite_steps.fence(database, step)) is not None:
            return closed
        if step.key is None and step.run is None:
            place = sqlite_steps.Place(secrets.token_bytes(32), 1)
        else:
            place = sqlite_steps.find_place(database, step, intent.use, self._deliveries, here)
        row = sqlite_steps.read_call(database, place)
        if row is not None and (known := sqlite_steps.state_of(row, step)) is not None:
            return known
        # of the step, not of the execution: an upstream that honours keys sees a repetition as one
        upstream_key = hmac.new(key, b"upstream/" + place.name, hashlib.sha256).hexdigest()[:40]
        if row is None:
            sqlite_steps.insert_intent(database, intent, place, here, (call_id, sealed))
            began = Began(id=call_id, attempt=1, occurrence=place.occurrence, upstream_key=upstream_key)
        else:
            sqlite_steps.begin_again(database, row, intent, here)
            began = Began(
                id=row["id"], attempt=row["attempt"] + 1, occurrence=place.occurrence, upstream_key=upstream_key,
                again=row["state"] == "doubt",
            )  # fmt: skip
        if step.run is not None and step.key is None:
            sqlite_steps.advance(database, step.run, step.fingerprint, place.occurrence)
        if step.run is not None and intent.shown:
            sqlite_steps.write_uses(database, step.run.id, began.id, asked={}, shown=intent.shown)
        _write_vault(database, vault)
        self._link(database, [{**record, "call": began.id} for record in intent.audit])
        return began

    def _replayed(self, row: sqlite3.Row, step: Step) -> Replay:
        """Hand out an outcome: the attempt's cursor moves, without anybody waiting for it."""
        run, occurrence = step.run, cast("int", row["occurrence"])
        if run is not None:
            self._deliveries.expect(row["id"], run.attempt)

        def write(database: sqlite3.Connection) -> None:
            database.execute("UPDATE call SET replays = replays + 1 WHERE id = ?", (row["id"],))
            if run is not None:
                database.execute("UPDATE run SET replays = replays + 1, updated = ? WHERE id = ?", (_now(), run.id))
                if step.key is None:
                    sqlite_steps.advance(database, run, step.fingerprint, occurrence)

        self._submit_later("replay", write)
        return Replay(
            id=row["id"], occurrence=occurrence, outcome=outcome_of(row, self._keyring), digests=row["digests"],
            intent_time=row["intent_time"] / MICROSECONDS,
        )  # fmt: skip

    async def _move(self, began: Began, state: str, reason: str, audit: Sequence[Mapping[str, object]]) -> None:
        def write(database: sqlite3.Connection) -> None:
            moved = sqlite_steps.move(database, began, state, reason)
            self._link(database, audit if moved else [{**record, "fenced": True} for record in audit])

        await self._submit(state, write)
        self._wake(began.id)

    async def _owner_key(self, name: str) -> bytes:
        def write(database: sqlite3.Connection) -> bytes:
            fresh = self._keyring.seal("keys", name, secrets.token_bytes(64))
            database.execute(
                "INSERT INTO owner_key (owner, sealed) VALUES (?, ?) ON CONFLICT DO NOTHING", (name, fresh)
            )
            return database.execute("SELECT sealed FROM owner_key WHERE owner = ?", (name,)).fetchone()["sealed"]

        return await self._submit("key", write)

    def _sealed_vault(self, entries: Sequence[VaultEntry]) -> list[tuple[str, str, str, bytes]]:
        return [
            (one.scope, one.token, one.entity,
             self._keyring.seal("vault", f"{one.scope}/{one.token}", one.original.encode()))
            for one in entries
        ]  # fmt: skip

    def _link(self, database: sqlite3.Connection, records: Sequence[Mapping[str, object]]) -> None:
        now = _now()
        rows = [self._chain.link(record, time_microseconds=now) for record in records]
        database.executemany(
            "INSERT INTO audit (chain, number, record, hash) VALUES (?, ?, ?, ?)",
            [(row.chain, row.number, row.text, row.hash) for row in rows],
        )

    def _begin_epoch(self) -> None:
        database = self._reader
        database.execute("PRAGMA journal_mode = WAL")
        migrate(database)
        database.execute("BEGIN IMMEDIATE")
        row = database.execute("SELECT id, epoch FROM instance").fetchone()
        self._instance = row["id"] if row else f"i{secrets.token_hex(8)}"
        self._epoch = (row["epoch"] if row else 0) + 1
        database.execute(
            "INSERT INTO instance (id, epoch, started) VALUES (?, ?, ?) "
            "ON CONFLICT DO UPDATE SET epoch = excluded.epoch, started = excluded.started",
            (self._instance, self._epoch, _now()),
        )
        last = database.execute("SELECT chain, hash FROM audit ORDER BY sequence DESC LIMIT 1").fetchone()
        self._chain.name = f"{self._instance}/{self._epoch}"
        opened: dict[str, object] = {"event": "opened"}
        if last is not None:
            opened |= {"previous_chain": last["chain"], "previous_head": bytes(last["hash"]).hex()}
        self._link(database, [opened])
        sqlite_steps.sweep(database, self._here(), lambda record: self._link(database, [record]))
        database.execute("COMMIT")

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        database.row_factory = sqlite3.Row
        database.execute(f"PRAGMA synchronous = {self._synchronous}")
        # checkpoints belong to their own thread; this bound only catches one that starves
        database.execute("PRAGMA wal_autocheckpoint = 100000")
        return database

    def _here(self) -> Here:
        return Here(self._instance, self._epoch, _now())

    async def _submit(self, name: str, write: Callable[[sqlite3.Connection], Result]) -> Result:
        if self._writer is None:
            raise JournalUnavailable("the journal is closed")
        return await self._writer.submit(name, write)

    def _submit_later(self, name: str, write: Callable[[sqlite3.Connection], None]) -> None:
        if self._writer is not None:
            self._writer.submit(name, write)

    def _wake(self, call_id: str) -> None:
        event = self._waiting.pop(call_id, None)
        if event is not None:
            event.set()


def _locked(path: Path) -> int:
    """Return the descriptor that holds the lock beside `path`. Raises `JournalRefused`."""
    beside = path.with_name(path.name + ".lock")
    try:
        lock = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalRefused(f"`{beside}`: cannot be opened ({(error.strerror or 'unknown').lower()})") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise JournalRefused(f"`{path}`: another gateway holds this journal; one process per file") from None
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    return lock


def _write_vault(database: sqlite3.Connection, rows: list[tuple[str, str, str, bytes]]) -> None:
    database.executemany(
        "INSERT INTO vault (scope, token, entity, sealed) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", rows
    )


def _now() -> int:
    return time.time_ns() // 1000


def _random_name() -> str:
    # time first, so that ids sort as they were given
    return f"{time.time_ns() // MICROSECONDS:011x}{secrets.token_hex(8)}"


def _call_id() -> str:
    return f"call_{_random_name()}"
