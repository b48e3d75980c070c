"""The journal over either database: one `Store` for all of `durable/journal.py`.

How to add a feature (approvals, managed runs, retention, …):
1. its SQL as functions over `Transaction` or `Writing` in a module of its own (`durable/runs.py` is the
   pattern), in the dialect of `durable/sql.py`; it runs on SQLite and PostgreSQL as it is;
2. its methods in a `Part` (`durable/run_book.py` is the pattern): `self._read(…)`, `self._write(name, …)`
   (`name` gives its crash points), `self._wait("approval/<id>", …)` with `tx.wake("approval/<id>")` where
   it changes; audit with `tx.audit(records)` inside the write;
3. the part added to `Store` below; tables and columns as a further step of `schema.py`;
4. facts that decide about a step: a method of `rules.View`, read in `steps.SqlView`, asked in `rules.py` or
   `claim.decide`. `postgres_batch.py` takes only claims for which `_plain` is true there; every other one
   is written by `claim.claim`, so a new fact needs nothing there but to make its claims not plain.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

from durable import calls, rules, vault
from durable.approval_book import ApprovalBook
from durable.audit_book import AuditBook
from durable.block_book import BlockBook
from durable.budget_book import BudgetBook
from durable.call_book import CallBook
from durable.claim import Claim, Claiming, upstream_key_of
from durable.definition_book import DefinitionBook
from durable.delivery import Deliveries
from durable.ends import Auditing, Moving, Releasing, Settling
from durable.erase_book import EraseBook
from durable.form_book import FormBook
from durable.history_book import HistoryBook
from durable.journal import JournalUnavailable
from durable.keep_book import KeepBook
from durable.managed_book import ManagedBook
from durable.replays import Replays
from durable.rows import outcome_of
from durable.rules import Ended, Local, View
from durable.run_book import RunBook
from durable.seen_book import SeenBook
from durable.stamp import MICROSECONDS, random_name
from durable.step import Began, InFlight, Owner, Replay, RunClosed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable.backend import Backend
    from durable.journal import Audit
    from durable.seal import Keyring
    from durable.sql import Row, Transaction, Write, Writing
    from durable.step import Intent, Known, Settlement, Step, VaultEntry

Result = TypeVar("Result")

_KEYS_CACHED_MAX = 10_000
_GONE = "its caller went away before it was sent"


@dataclass(frozen=True, slots=True)
class Keys:
    """The secret keys of a run, or of an owner without one."""

    fingerprint: bytes
    placeholder: bytes


class Store(
    RunBook, ManagedBook, CallBook, KeepBook, ApprovalBook, BudgetBook, DefinitionBook, AuditBook, BlockBook,
    HistoryBook, EraseBook, SeenBook, FormBook,
):  # fmt: skip
    """All protocols of `durable/journal.py`; `open_sqlite` and `open_postgres` make it."""

    def __init__(self, backend: Backend, keyring: Keyring) -> None:
        super().__init__(backend, keyring)
        self._deliveries = Deliveries()
        self._replays = Replays(backend.submit)
        #: what could not be settled in the store: in doubt, as soon as that can be written
        self._lost: dict[str, Began] = {}
        self._keys: dict[str, Keys] = {}
        self._caught_up: set[tuple[str, int, str]] = set()
        self._people = {}
        #: whether a refusal or a replay is answered where its audit record cannot be written
        self.audit_best_effort = False
        #: how many records were let go so
        self.audit_lost = 0

    async def aclose(self) -> None:
        """Write what is queued and let the database go."""
        await self._backend.aclose()

    def may_send(self) -> bool:
        """Return whether this instance still holds its lease; asked right before each send."""
        return self._backend.may_send()

    async def look_up(self, step: Step) -> Known | None:
        """Return what is known of `step`, `None` when it has to be begun."""
        if step.key is None and step.run is None:
            return None
        known = await self._backend.look(step, partial(self._looked_up, handed=self._handed(step)))
        if isinstance(known, Ended):
            return await self._replayed(known.row, step)
        if isinstance(known, InFlight) and known.id in self._lost:
            return None
        return known

    async def standing(self, step: Step) -> str | None:
        """Return the id of the call that `step` asks for, `None` when it is a new one or only its request can tell."""
        return await self._backend.look(step, partial(self._stands, handed=self._handed(step)))

    async def begin(self, intent: Intent) -> Began | Known:
        """Claim the step and write the intent, or say what is known of it instead."""
        step = intent.step
        call_id = f"call_{random_name()}"
        try:
            keys = await self.run_keys(step.owner, step.run.id if step.run else None)
        except LookupError:
            return RunClosed("not there")
        wanted = Claim(
            intent=intent,
            call_id=call_id,
            sealed=self._keyring.seal("body", f"call/{call_id}/request", intent.request),
            key=keys.fingerprint,
            vault=vault.seal(self._keyring, intent.vault),
            caught_up=self._caught_up,
        )
        known = await self._claim(wanted)
        if isinstance(known, InFlight) and (lost := self._lost.get(known.id)) is not None:
            await self._move(lost, "doubt", "its outcome could not be written", [])
            known = await self._claim(wanted)
        if isinstance(known, Ended):
            return await self._replayed(known.row, step)
        if isinstance(known, Began) and step.run is not None:
            self._deliveries.expect(known.id, step.run.attempt)
        return known

    async def settle(self, began: Began, settlement: Settlement) -> bool:
        """Write the outcome; false when fenced."""
        outcome = settlement.outcome
        sealed = self._keyring.seal("body", f"call/{began.id}/outcome", outcome.body)
        entries = vault.seal(self._keyring, settlement.vault)
        work = Settling(began, settlement, sealed, entries)
        return await asyncio.shield(self._ended(began, "outcome", work))

    async def release(self, began: Began, reason: str, audit: Audit) -> None:
        """Record that the call is known not to have been executed."""
        await self._move(began, "released", reason, audit)

    async def doubt(self, began: Began, reason: str, audit: Audit) -> None:
        """Record that the effect perhaps happened."""
        await self._move(began, "doubt", reason, audit)

    async def wait(self, call_id: str, seconds_max: float) -> InFlight:
        """Wait until the call leaves `intent`, on any instance; `InFlight` when the time is up, else `LookupError`."""

        async def over(tx: Transaction) -> bool:
            row = await tx.row("SELECT state FROM call WHERE id = $1", call_id)
            return row is None or row["state"] != "intent" or call_id in self._lost

        if await self._wait(f"call/{call_id}", over, seconds_max):
            raise LookupError(call_id)
        return InFlight(call_id)

    def delivered(self, call_id: str, *, complete: bool) -> None:
        """Tell how the answer was delivered."""
        self._deliveries.note(call_id, complete=complete)

    async def write_audit(self, records: Audit) -> None:
        """Append audit records that belong to no journal entry."""
        try:
            await self._write("audit", Auditing(records))
        except JournalUnavailable:
            if not self.audit_best_effort:
                raise
            self.audit_lost += len(records)

    async def originals(self, scope: str, tokens: Sequence[str]) -> dict[str, VaultEntry]:
        """Return the vault's entries of `scope` for those `tokens` it holds."""
        return await self._read(lambda tx: vault.read(tx, self._keyring, scope, tokens))

    async def run_keys(self, owner: Owner, run: str | None) -> Keys:
        """Return the secret keys of a run, or of an owner without one; made when new."""
        name = f"run/{run}" if run is not None else f"owner/{owner.domain}/{owner.agent}/{owner.user}"
        known = self._keys.get(name)
        if known is not None:
            return known
        if run is not None:
            row = await self._read(lambda tx: tx.row("SELECT sealed_keys AS sealed FROM run WHERE id = $1", run))
            if row is None:
                raise LookupError(run)
            sealed = row["sealed"]
        else:
            sealed = await self._owner_key(name)
        content = self._keyring.unseal("keys", name, sealed)
        keys = self._keys[name] = Keys(content[:32], content[32:64])
        if len(self._caught_up) > _KEYS_CACHED_MAX:
            self._caught_up.clear()
        if len(self._keys) > _KEYS_CACHED_MAX:
            self._keys.pop(next(iter(self._keys)))
        return keys

    async def sent_key(self, call_id: str) -> str | None:
        """Return the upstream's idempotency key of a call's step, `None` when there is no such call."""
        row = await self._read(lambda tx: calls.step_of(tx, call_id))
        if row is None:
            return None
        keys = await self.run_keys(Owner(row["domain"], row["agent"], row["user"]), row["run"])
        return upstream_key_of(keys.fingerprint, row["place"])

    # -- inside

    def _handed(self, step: Step) -> int:
        """Return how far replays that are not written yet have come, asked before the facts are read.

        Afterwards would be too late: a cursor written in between is neither here nor in what was read.
        """
        return 0 if step.run is None else self._replays.reached(step.run, step.fingerprint)

    async def _looked_up(self, view: View, step: Step, *, handed: int) -> Known | Ended | None:
        if (closed := await rules.fence(view, step)) is not None:
            return closed
        row = await self._found(view, step, handed)
        return None if row is None else rules.state_of(row, step, self._backend.here().now)

    async def _stands(self, view: View, step: Step, *, handed: int) -> str | None:
        row = await self._found(view, step, handed)
        return None if row is None else row["id"]

    async def _found(self, view: View, step: Step, handed: int) -> Row | None:
        resumed = rules.resumes(step) and step.kind == "tool"
        if step.run is not None and step.key is None and (resumed or step.effect == "once") and (
            resumed or handed or await view.cursor(step.run, step.fingerprint)
        ):  # fmt: skip
            return None  # needs the evidence that only the redacted intent carries
        _, row = await rules.find(view, step, None, Local(self._deliveries, self._backend.here(), handed))
        return row

    async def _claim(self, wanted: Claim) -> Began | Known | Ended:
        claimed = self._backend.submit("intent", Claiming(wanted, self._deliveries), late=self._give_back)
        try:
            return await asyncio.shield(claimed)
        except asyncio.CancelledError:
            claimed.add_done_callback(self._left)
            raise

    def _left(self, claimed: asyncio.Future[Began | Known | Ended]) -> None:
        if not claimed.cancelled() and claimed.exception() is None:
            self._give_back(claimed.result())

    def _give_back(self, began: Began | Known | Ended) -> None:
        """Release what was begun for a caller that has gone: nobody will send it."""
        if isinstance(began, Began):
            audit = [{"event": "released", "call": began.id, "reason": _GONE}]
            with contextlib.suppress(JournalUnavailable):  # then the next start finds it, in doubt
                self._ended(began, "released", Releasing(began, _GONE, audit))

    async def _replayed(self, row: Row, step: Step) -> Replay:
        """Hand out an outcome: the attempt's cursor moves, and only other instances have to wait for it."""
        occurrence = cast("int", row["occurrence"])
        if step.run is not None:
            self._deliveries.expect(row["id"], step.run.attempt)
        written = self._replays.note(row["id"], step, occurrence)
        if step.run is not None and self._backend.poll_seconds is not None:
            with contextlib.suppress(JournalUnavailable):  # then it counts here alone, and the outcome is the same
                await asyncio.shield(written)
        return Replay(
            id=row["id"], occurrence=occurrence, outcome=outcome_of(row, self._keyring), digests=row["digests"],
            intent_time=row["intent_time"] / MICROSECONDS,
        )  # fmt: skip

    async def _move(self, began: Began, state: str, reason: str, audit: Audit) -> None:
        # shielded: what has happened is written down even when the one who tells of it goes away
        move = Releasing(began, reason, audit) if state == "released" else Moving(began, state, reason, audit)
        await asyncio.shield(self._ended(began, state, move))

    def _ended(self, began: Began, name: str, write: Write[Result]) -> asyncio.Future[Result]:
        def over(done: asyncio.Future[Result]) -> None:
            if done.cancelled() or done.exception() is not None:
                self._lost[began.id] = began
                self._backend.wakeups.wake((f"call/{began.id}",))
            else:
                self._lost.pop(began.id, None)

        written = self._backend.submit(name, write)
        written.add_done_callback(over)
        return written

    async def _owner_key(self, name: str) -> bytes:
        async def write(tx: Writing) -> bytes:
            fresh = self._keyring.seal("keys", name, secrets.token_bytes(64))
            await tx.execute(
                "INSERT INTO owner_key (owner, sealed) VALUES ($1, $2) ON CONFLICT (owner) DO NOTHING", name, fresh
            )
            row = await tx.row("SELECT sealed FROM owner_key WHERE owner = $1", name)
            return cast("Row", row)["sealed"]

        return await self._write("key", write)
