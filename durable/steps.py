"""The SQL of steps: the facts the rules ask for, and the moves of a call from intent to its end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, cast

from durable import budgets, history, past
from durable.rules import Left
from durable.stamp import MICROSECONDS
from durable.step import Diverges

if TYPE_CHECKING:
    from collections.abc import Mapping

    from durable.rules import Place
    from durable.sql import Row, Transaction, Writing
    from durable.step import Began, Intent, Outcome, RunRef, Step

#: run, attempt, fingerprint
CursorKey = tuple[str, int, bytes]
#: What decides about a step; the request's body stays where it is.
CALL_FACTS: Final = (
    "id, fingerprint, resource, effect, state, reason, granted, attempt, instance, epoch, occurrence, digests, "
    "intent_time, form, status, media, meta, charges, sealed_outcome"
)
_RUN_FACTS: Final = 'SELECT domain, agent, "user", attempt, state, calls, created, kind FROM run WHERE id = $1'
_RUN_FACTS_LOCKED: Final = f"{_RUN_FACTS} FOR UPDATE"
_CURSOR: Final = "SELECT occurrence FROM cursor WHERE run = $1 AND attempt = $2 AND fingerprint = $3"
_CALL_AT: Final = f"SELECT {CALL_FACTS} FROM call WHERE place = $1"  # noqa: S608 - constant columns
_EVIDENCE: Final = (
    "SELECT CAST(coalesce(sum(use.asked), 0) AS BIGINT) AS asked, coalesce(max(use.shown), 0) AS shown "
    "FROM use JOIN call ON call.id = use.call "
    "JOIN cursor ON cursor.run = use.run AND cursor.attempt = $1 "
    "AND cursor.fingerprint = call.fingerprint AND cursor.occurrence >= call.occurrence "
    "WHERE use.run = $2 AND use.digest = $3"
)
_MODELLED: Final = "SELECT id FROM call WHERE run = $1 AND kind = 'model' LIMIT 1"
_UNASKED: Final = (
    "SELECT call.id AS id, call.step AS step FROM call LEFT JOIN cursor ON cursor.run = call.run "
    "AND cursor.attempt = $1 AND cursor.fingerprint = call.fingerprint "
    "WHERE call.run = $2 AND call.run_attempt < $1 AND call.resource = $3 AND call.step > $4 AND call.key IS NULL "
    "AND call.state IN ('done', 'intent', 'doubt', 'failed') "
    "AND (cursor.occurrence IS NULL OR cursor.occurrence < call.occurrence) "
    "AND NOT EXISTS (SELECT other.id FROM call AS other WHERE other.run = $2 AND other.run_attempt = $1 "
    "AND other.diverges IS NOT NULL AND substr(other.diverges, 1, length(call.id)) = call.id) "
    "ORDER BY call.step LIMIT 1"
)
_SEEN: Final = (
    "SELECT max(call.step) AS step FROM call JOIN cursor ON cursor.run = call.run AND cursor.attempt = $1 "
    "AND cursor.fingerprint = call.fingerprint AND cursor.occurrence >= call.occurrence "
    "WHERE call.run = $2 AND call.run_attempt < $1"
)
_LEFT: Final = (
    "SELECT coalesce(max(shown), 0) AS shown, coalesce(max(asked + shown), 0) AS wanted "
    "FROM use WHERE run = $1 AND digest = $2"
)
_LAST: Final = (
    "SELECT coalesce(max(occurrence), 0) AS last FROM call WHERE run = $1 AND fingerprint = $2 "
    "AND state IN ('done', 'intent', 'doubt', 'failed')"
)
_ADVANCE: Final = (
    "INSERT INTO cursor (run, attempt, fingerprint, occurrence) VALUES ($1, $2, $3, $4) "
    "ON CONFLICT (run, attempt, fingerprint) DO UPDATE SET occurrence = "
    "CASE WHEN excluded.occurrence > cursor.occurrence THEN excluded.occurrence ELSE cursor.occurrence END"
)
_COUNT: Final = (
    "UPDATE run SET calls = calls + 1, updated = $1, state = 'running', waiting = NULL WHERE id = $2 RETURNING calls"
)
_INSERT: Final = (
    'INSERT INTO call (id, place, domain, agent, "user", run, run_attempt, key, fingerprint, occurrence, step, kind, '
    "resource, action, effect, state, attempt, instance, epoch, digests, milliseconds_max, intent_time, sent_time, "
    "sealed_request, rule, reason, charges, labels, seen) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $23, 1, "
    "$16, $17, $18, $19, $20, $20, $21, $22, $24, $25, $26, $27) ON CONFLICT (place) DO NOTHING"
)
_AGAIN: Final = (
    "UPDATE call SET state = 'intent', reason = '', attempt = attempt + 1, granted = 0, instance = $1, epoch = $2, "
    "sent_time = $3, digests = $4, rule = $5, charges = $8, labels = $9, seen = $10 "
    "WHERE id = $6 AND attempt = $7 AND state IN ('doubt', 'released', 'held')"
)
_SETTLE: Final = (
    "UPDATE call SET state = 'done', reason = '', outcome_time = $1, form = $2, status = $3, media = $4, meta = $5, "
    "sealed_outcome = $6 WHERE id = $7 AND attempt = $8 AND state IN ('intent', 'doubt') RETURNING run"
)
_USE: Final = (
    "INSERT INTO use (run, digest, call, asked, shown) VALUES ($1, $2, $3, $4, $5) "
    "ON CONFLICT (run, digest, call) DO UPDATE SET "
    "asked = CASE WHEN excluded.asked > use.asked THEN excluded.asked ELSE use.asked END, "
    "shown = CASE WHEN excluded.shown > use.shown THEN excluded.shown ELSE use.shown END"
)
_MOVE: Final = "UPDATE call SET state = $1, reason = $2 WHERE id = $3 AND attempt = $4 AND state = 'intent'"


class SqlView:
    """The facts, each read when it is asked for."""

    def __init__(self, tx: Transaction, *, locking: bool = False) -> None:
        self._tx = tx
        self._run_facts = _RUN_FACTS_LOCKED if locking else _RUN_FACTS
        self._runs: dict[str, Row | None] = {}

    async def run(self, run_id: str) -> Row | None:
        """As `durable.rules.View`; with `locking`, nobody else moves this run's steps until this is committed."""
        if run_id not in self._runs:
            self._runs[run_id] = await self._tx.row(self._run_facts, run_id)
        return self._runs[run_id]

    async def cursor(self, run: RunRef, fingerprint: bytes) -> int:
        """As `durable.rules.View`."""
        row = await self._tx.row(_CURSOR, run.id, run.attempt, fingerprint)
        return 0 if row is None else row["occurrence"]

    async def call_at(self, place: Place) -> Row | None:
        """As `durable.rules.View`."""
        return await self._tx.row(_CALL_AT, place.name)

    async def evidence(self, run: RunRef, use: bytes) -> tuple[int, int]:
        """As `durable.rules.View`."""
        row = await self._tx.row(_EVIDENCE, run.attempt, run.id, use)
        return (0, 0) if row is None else (row["asked"], row["shown"])

    async def modelled(self, run: RunRef) -> bool:
        """As `durable.rules.View`."""
        return await self._tx.row(_MODELLED, run.id) is not None

    async def unasked(self, step: Step) -> Diverges | None:
        """As `durable.rules.View`."""
        run = cast("RunRef", step.run)
        after = 0
        if step.resume == "suffix":
            seen = await self._tx.row(_SEEN, run.attempt, run.id)
            if seen is None or seen["step"] is None:
                return None
            after = seen["step"]
        row = await self._tx.row(_UNASKED, run.attempt, run.id, step.resource, after)
        return None if row is None else Diverges(row["id"], row["step"])

    async def left(self, run: RunRef, fingerprint: bytes, use: bytes) -> Left:
        """As `durable.rules.View`."""
        uses = cast("Row", await self._tx.row(_LEFT, run.id, use))
        calls = cast("Row", await self._tx.row(_LAST, run.id, fingerprint))
        return Left(calls=calls["last"], shown=uses["shown"], wanted=uses["wanted"])

    async def purged(self, name: bytes) -> bool:
        """As `durable.rules.View`."""
        return await past.is_purged(self._tx, name)

    async def taken(self, counter: str, since: int) -> int:
        """As `durable.rules.View`."""
        return await budgets.taken(self._tx, counter, since)

    async def buckets(self, counter: str, since: int) -> list[tuple[int, int]]:
        """As `durable.rules.View`."""
        return await budgets.buckets(self._tx, counter, since)

    async def rolled_back(self) -> int | None:
        """As `durable.rules.View`."""
        return await past.rolled_back(self._tx)


async def advance(tx: Writing, run: RunRef, fingerprint: bytes, occurrence: int) -> None:
    """Move the attempt's cursor forward to `occurrence`."""
    await tx.execute(_ADVANCE, run.id, run.attempt, fingerprint, occurrence)


async def insert_intent(
    tx: Writing, intent: Intent, place: Place, content: tuple[str, bytes], held: str | None = None
) -> bool:
    """Write a new call; `content` is its id and its sealed request; false when there is one.

    Its state is `intent`, or `held` with the reason `held`: then it is not to be sent.
    """
    step, (call_id, sealed), here = intent.step, content, tx.here
    number = 1
    if step.run is not None:
        row = await tx.row(_COUNT, here.now, step.run.id)
        number = 1 if row is None else row["calls"]
    return bool(await tx.execute(
        _INSERT,
        call_id, place.name, step.owner.domain, step.owner.agent, step.owner.user,
        step.run.id if step.run else None, step.run.attempt if step.run else 0, step.key, step.fingerprint,
        place.occurrence, number, step.kind, step.resource, step.action, step.effect, here.instance, here.epoch,
        intent.digests, round(intent.seconds_max * 1000), here.now, sealed, intent.rule,
        "intent" if held is None else "held", held or "", budgets.text_of(intent.charges) if held is None else None,
        history.text_of(intent.labels), intent.seen,
    ))  # fmt: skip


async def begin_again(tx: Writing, row: Row, intent: Intent) -> bool:
    """Take a call that is in doubt, held or released over: the next attempt fences the one before."""
    here = tx.here
    moved = await tx.execute(
        _AGAIN, here.instance, here.epoch, here.now, intent.digests, intent.rule, row["id"], row["attempt"],
        budgets.text_of(intent.charges), history.text_of(intent.labels), intent.seen,
    )  # fmt: skip
    return bool(moved)


async def note_divergence(tx: Writing, call_id: str, text: str) -> None:
    """Keep what a call differs from: a call's id, and the path where it does."""
    await tx.execute("UPDATE call SET diverges = $1 WHERE id = $2", text, call_id)


async def write_outcome(tx: Writing, began: Began, outcome: Outcome, sealed: bytes) -> Row | None:
    """Move the call to `done`; returns its `run`, `None` when another attempt has taken it over."""
    return await tx.row(
        _SETTLE, tx.here.now, outcome.form, outcome.status, outcome.media, json.dumps(dict(outcome.meta)), sealed,
        began.id, began.attempt,
    )  # fmt: skip


async def write_uses(
    tx: Writing, run: str, call_id: str, *, asked: Mapping[bytes, int], shown: Mapping[bytes, int]
) -> None:
    """Keep the tool uses a model call asks for, or shows the results of."""
    for digest in asked.keys() | shown.keys():
        await tx.execute(_USE, run, digest, call_id, asked.get(digest, 0), shown.get(digest, 0))


async def write_replays(
    tx: Writing, calls: Mapping[str, int], runs: Mapping[str, int], cursors: Mapping[CursorKey, int]
) -> None:
    """Count outcomes handed out, by call and by run, and move the attempts' cursors."""
    for run_id in sorted(runs):
        await tx.execute(
            "UPDATE run SET replays = replays + $1, updated = $2 WHERE id = $3", runs[run_id], tx.here.now, run_id
        )
    for call_id in sorted(calls):
        await tx.execute("UPDATE call SET replays = replays + $1 WHERE id = $2", calls[call_id], call_id)
    for (run_id, attempt, fingerprint), occurrence in cursors.items():
        await tx.execute(_ADVANCE, run_id, attempt, fingerprint, occurrence)


async def move(tx: Writing, began: Began, state: str, reason: str) -> bool:
    """Move a call in flight to `released` or `doubt`; false when it is not this attempt's any more."""
    return bool(await tx.execute(_MOVE, state, reason, began.id, began.attempt))


def seconds_left(row: Row, now: int) -> float:
    """Return for how long the call may still be on its way."""
    return (row["sent_time"] + row["milliseconds_max"] * 1000 - now) / MICROSECONDS
