"""Many calls begun, or ended, in one statement each: the hot path of the writer on PostgreSQL.

A statement is a transaction of its own. It supposes what the rules decided on: that the runs are as they
were read, that nobody else began the same step, that no end is fenced. Where one of these is not so, it
divides by zero and nothing of it is written (conditions stand in CASE where an index on a state would
lead away from the one on the key); then `Raced` is raised, and each operation is written alone,
under locks. Every statement bears the number of its group and demands the session, as every group does.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import asyncpg

from durable import budgets, claim, history, postgres_budgets, provider_objects
from durable.claim import Begin, Claiming
from durable.ends import Auditing, Moving, Settling
from durable.postgres_facts import Unread, read_facts
from durable.replays import Handing
from durable.rules import Local

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from durable.postgres_connection import PostgresWriting
    from durable.postgres_facts import Facts
    from durable.rules import Ended
    from durable.step import Began, Known

    Ending = Settling | Moving | Auditing | Handing

_GUARD: Final = "guard AS (UPDATE writer SET written = $1 WHERE instance = $2 AND session = $3 RETURNING instance)"
_LINKED: Final = (
    "linked AS (INSERT INTO audit (chain, number, record, hash) "
    "SELECT $5, link.* FROM unnest($6::bigint[], $7::text[], $8::bytea[]) AS link)"
)
_KEPT: Final = (
    # as `vault.WRITE`; one statement may touch a row only once
    "kept AS (INSERT INTO vault (scope, token, entity, sealed, used) SELECT DISTINCT ON (scope, token) one.*, $4 "
    "FROM unnest($9::text[], $10::text[], $11::text[], $12::bytea[]) AS one(scope, token, entity, sealed) "
    "ON CONFLICT (scope, token) DO UPDATE SET used = excluded.used WHERE vault.used < excluded.used - 86400000000)"
)
_ENDS: Final = f"""
WITH {_GUARD}, {_LINKED}, {_KEPT},
moved AS (
    UPDATE call SET state = ended.state, reason = ended.reason,
        outcome_time = CASE WHEN ended.state = 'done' THEN $4 ELSE call.outcome_time END,
        form = coalesce(ended.form, call.form), status = coalesce(ended.status, call.status),
        media = coalesce(ended.media, call.media), meta = coalesce(ended.meta, call.meta),
        sealed_outcome = coalesce(ended.outcome, call.sealed_outcome)
    FROM unnest($13::text[], $14::bigint[], $15::text[], $16::text[], $17::text[], $18::bigint[], $19::text[],
        $20::text[], $21::bytea[])
        AS ended(id, attempt, state, reason, form, status, media, meta, outcome)
    WHERE call.id = ended.id AND call.attempt = ended.attempt
        AND CASE call.state WHEN 'intent' THEN true WHEN 'doubt' THEN ended.state = 'done' ELSE false END
    RETURNING call.id, call.run
),
used AS (
    INSERT INTO use (run, digest, call, asked, shown)
    SELECT moved.run, asks.digest, asks.call, asks.asked, 0
    FROM unnest($22::text[], $23::bytea[], $24::bigint[]) AS asks(call, digest, asked)
    JOIN moved ON moved.id = asks.call WHERE moved.run IS NOT NULL
    ON CONFLICT (run, digest, call) DO UPDATE SET asked = greatest(use.asked, excluded.asked)
),
handed AS (
    UPDATE call SET replays = replays + handed.count
    FROM unnest($25::text[], $26::bigint[]) AS handed(id, count) WHERE call.id = handed.id
),
counted AS (
    UPDATE run SET replays = replays + handed.count, updated = $4
    FROM unnest($27::text[], $28::bigint[]) AS handed(id, count) WHERE run.id = handed.id
),
advanced AS (
    INSERT INTO cursor (run, attempt, fingerprint, occurrence)
    SELECT * FROM unnest($29::text[], $30::bigint[], $31::bytea[], $32::bigint[])
    ON CONFLICT (run, attempt, fingerprint) DO UPDATE SET occurrence = greatest(cursor.occurrence, excluded.occurrence)
)
SELECT 1 / (CASE WHEN (SELECT count(*) FROM guard) = 1
    AND (SELECT count(*) FROM moved) = cardinality($13::text[]) THEN 1 ELSE 0 END)
"""  # noqa: S608 - constant parts
_CLAIMS: Final = f"""
WITH {_GUARD}, {_LINKED}, {_KEPT},
counted AS (
    UPDATE run SET calls = run.calls + found.count, updated = $4, state = 'running'
    FROM unnest($13::text[], $14::bigint[], $15::bigint[], $16::bigint[]) AS found(id, count, calls, attempt)
    WHERE run.id = found.id AND run.calls = found.calls AND run.attempt = found.attempt
        AND CASE WHEN run.state IN ('ready', 'running', 'waiting') THEN true ELSE false END
    RETURNING run.id
),
begun AS (
    INSERT INTO call (id, place, domain, agent, "user", run, run_attempt, key, fingerprint, occurrence, step, kind,
        resource, action, effect, digests, milliseconds_max, sealed_request, rule, charges,
        labels, seen, state, attempt, instance, epoch, intent_time, sent_time)
    SELECT one.*, 'intent', 1, $2, $17, $4, $4
    FROM unnest($18::text[], $19::bytea[], $20::text[], $21::text[], $22::text[], $23::text[], $24::bigint[],
        $25::text[], $26::bytea[], $27::bigint[], $28::bigint[], $29::text[], $30::text[], $31::text[], $32::text[],
        $33::text[], $34::bigint[], $35::bytea[], $36::text[], $37::text[], $38::text[], $39::bigint[]) AS one
    ON CONFLICT (place) DO NOTHING RETURNING id
),
shown AS (
    INSERT INTO use (run, digest, call, asked, shown)
    SELECT shows.run, shows.digest, shows.call, 0, shows.shown
    FROM unnest($40::text[], $41::bytea[], $42::text[], $43::bigint[]) AS shows(run, digest, call, shown)
    ON CONFLICT (run, digest, call) DO UPDATE SET shown = greatest(use.shown, excluded.shown)
),
advanced AS (
    INSERT INTO cursor (run, attempt, fingerprint, occurrence)
    SELECT * FROM unnest($44::text[], $45::bigint[], $46::bytea[], $47::bigint[])
    ON CONFLICT (run, attempt, fingerprint) DO UPDATE SET occurrence = greatest(cursor.occurrence, excluded.occurrence)
)
SELECT 1 / (CASE WHEN (SELECT count(*) FROM guard) = 1 AND (SELECT count(*) FROM begun) = cardinality($18::text[])
    AND (SELECT count(*) FROM counted) = cardinality($13::text[]) THEN 1 ELSE 0 END)
"""  # noqa: S608 - constant parts


class Raced(Exception):  # noqa: N818 - says what is known
    """Something is not as it was read; nothing was written."""


@dataclass(frozen=True, slots=True)
class Token:
    """What a group is known by: its number, and the session that may write it."""

    number: int
    session: int


class Ends:
    """Ends of calls, audit records and replays, to be written together; one end a call at most."""

    def __init__(self, tx: PostgresWriting, works: Sequence[Ending]) -> None:
        self._tx = tx
        self._ended = [work for work in works if isinstance(work, Settling | Moving)]
        self._vault = [row for work in works if isinstance(work, Settling) for row in work.vault]
        self._sums: list[tuple[dict[str, int], dict[str, int], dict[tuple[str, int, bytes], int]]] = []
        #: what each came to, in their order
        self.results: list[bool | None] = [True if isinstance(work, Settling) else None for work in works]
        for work in works:
            if isinstance(work, Handing):
                self._sums.append(work.sums())
            elif isinstance(work, Auditing):
                tx.audit(work.records)
            else:
                tx.audit(work.settlement.audit if isinstance(work, Settling) else work.audit)
                tx.wake(f"call/{work.began.id}")

    async def write(self, token: Token) -> None:
        """Write them. Raises `Raced`."""
        ended = [_ended(work) for work in self._ended]
        asks = [
            (work.began.id, digest, count)
            for work in self._ended
            if isinstance(work, Settling)
            for digest, count in work.settlement.uses.items()
        ]
        calls, runs, cursors = _added(self._sums)
        settled = [work for work in self._ended if isinstance(work, Settling)]
        await postgres_budgets.settle(
            self._tx.connection,
            (moved for work in settled for moved in budgets.moves(work.began.charges, work.settlement.spent)),
        )
        await _statement(
            self._tx, token, _ENDS, _columns(self._vault, 4), _columns(ended, 9), _columns(asks, 3),
            _columns(calls.items(), 2), _columns(runs.items(), 2),
            _columns(((*key, occurrence) for key, occurrence in cursors.items()), 4),
        )  # fmt: skip
        received = [
            (name, origin, self._tx.here.now, work.began.id)
            for work in settled
            for name, origin in provider_objects.named_in(work.settlement.outcome)
        ]
        if received:
            await self._tx.connection.executemany(provider_objects.WRITE, received)


class Claims:
    """Claims decided together on facts read ahead, and begun together."""

    def __init__(self, tx: PostgresWriting, works: Sequence[Claiming]) -> None:
        self._tx = tx
        self._works = works
        self._begun: list[tuple[Claiming, Begin, int]] = []
        self._runs: dict[str, list[int]] = {}
        #: what each came to, in their order; `None` for one that has to be decided alone
        self.results: list[Began | Known | Ended | None] = []

    async def decide(self) -> bool:
        """Decide each, in their order; returns whether there is anything to write."""
        facts = await read_facts(self._tx.connection, [work.wanted.intent.step for work in self._works])
        if charges := postgres_budgets.charged(self._works):
            facts.budgets = await postgres_budgets.read_taken(self._tx.connection, charges)
        for work in self._works:
            self.results.append(await self._decided(facts, work))
        return bool(self._begun)

    async def write(self, token: Token) -> None:
        """Begin what was decided to be begun. Raises `Raced`."""
        shows: list[tuple[object, ...]] = []
        cursors: dict[tuple[str, int, bytes], int] = {}
        for work, begin, _ in self._begun:
            intent = work.wanted.intent
            run = intent.step.run
            self._tx.audit([{**record, "call": begin.began.id} for record in intent.audit])
            if run is not None:
                cursors[run.id, run.attempt, intent.step.fingerprint] = begin.place.occurrence
                shows += [(run.id, digest, begin.began.id, count) for digest, count in intent.shown.items()]
        await postgres_budgets.reserve(
            self._tx.connection, (charge for work, _, _ in self._begun for charge in work.wanted.intent.charges)
        )
        await _statement(
            self._tx, token, _CLAIMS,
            _columns((row for work, _, _ in self._begun for row in work.wanted.vault), 4),
            _columns(((run_id, count, calls, attempt) for run_id, (count, calls, attempt) in self._runs.items()), 4),
            [self._tx.here.epoch],
            _columns((_begun(work, begin, number) for work, begin, number in self._begun), 22),
            _columns(shows, 4),
            _columns(((*key, occurrence) for key, occurrence in cursors.items()), 4),
        )  # fmt: skip

    async def _decided(self, facts: Facts, work: Claiming) -> Began | Known | Ended | None:
        intent, here = work.wanted.intent, self._tx.here
        step = intent.step
        if intent.approval is not None:
            return None
        try:
            decided = await claim.decide(facts, work.wanted, Local(work.deliveries, here))
        except Unread:
            return None
        if not isinstance(decided, Begin):
            return decided
        if decided.row is not None or decided.held is not None or decided.began.diverges is not None:
            return None
        number = 1
        if step.run is not None:
            run = facts.runs[step.run.id] or {}
            counts = self._runs.setdefault(step.run.id, [0, _number(run["calls"]), _number(run["attempt"])])
            counts[0] += 1
            number = counts[1] + counts[0]
            run["calls"] = number
            facts.cursors[step.run.id, step.run.attempt, step.fingerprint] = decided.place.occurrence
        facts.calls[decided.place.name] = {
            "id": decided.began.id, "fingerprint": step.fingerprint, "resource": step.resource, "effect": step.effect,
            "state": "intent", "reason": "", "granted": 0, "attempt": 1, "instance": here.instance,
            "epoch": here.epoch, "occurrence": decided.place.occurrence,
        }  # fmt: skip
        for charge in intent.charges:
            facts.budgets[charge.counter].append((charge.bucket, charge.amount))
        self._begun.append((work, decided, number))
        return decided.began


async def _statement(tx: PostgresWriting, token: Token, sql: str, kept: list[object], *rest: list[object]) -> None:
    links, tx.links = tx.links, []
    arguments = [argument for part in rest for argument in part]
    try:
        await tx.connection.fetchval(
            sql, token.number, tx.here.instance, token.session, tx.here.now,
            tx.chain, [one.number for one in links], [one.text for one in links], [one.hash for one in links],
            *kept, *arguments,
        )  # fmt: skip
    except asyncpg.DivisionByZeroError:
        raise Raced from None


def _ended(work: Settling | Moving) -> tuple[object, ...]:
    began = work.began
    if isinstance(work, Moving):
        return began.id, began.attempt, work.state, work.reason, None, None, None, None, None
    outcome = work.settlement.outcome
    meta = json.dumps(dict(outcome.meta))
    return began.id, began.attempt, "done", "", outcome.form, outcome.status, outcome.media, meta, work.sealed


def _begun(work: Claiming, begin: Begin, number: int) -> tuple[object, ...]:
    wanted = work.wanted
    intent, step = wanted.intent, wanted.intent.step
    return (
        wanted.call_id, begin.place.name, step.owner.domain, step.owner.agent, step.owner.user,
        None if step.run is None else step.run.id, 0 if step.run is None else step.run.attempt, step.key,
        step.fingerprint, begin.place.occurrence, number, step.kind, step.resource, step.action, step.effect,
        intent.digests, round(intent.seconds_max * 1000), wanted.sealed, intent.rule, budgets.text_of(intent.charges),
        history.text_of(intent.labels), intent.seen,
    )  # fmt: skip


def _columns(rows: Iterable[tuple[object, ...]], width: int) -> list[object]:
    """Return rows as columns, `width` of them also where there is no row."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    return [*columns] if columns else [[] for _ in range(width)]


def _added(
    sums: Iterable[tuple[dict[str, int], dict[str, int], dict[tuple[str, int, bytes], int]]],
) -> tuple[dict[str, int], dict[str, int], dict[tuple[str, int, bytes], int]]:
    calls: dict[str, int] = {}
    runs: dict[str, int] = {}
    cursors: dict[tuple[str, int, bytes], int] = {}
    for more_calls, more_runs, more_cursors in sums:
        for call_id, count in more_calls.items():
            calls[call_id] = calls.get(call_id, 0) + count
        for run_id, count in more_runs.items():
            runs[run_id] = runs.get(run_id, 0) + count
        for key, occurrence in more_cursors.items():
            cursors[key] = max(occurrence, cursors.get(key, 0))
    return calls, runs, cursors


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
