"""The SQL of what a run has done: which calls it began, what they have come to, and the labels policy put on them.

Labels are an agent's and a user's: they count in other runs of the same two for a while. An agent that acts for
nobody is the same as itself acting for somebody, else leaving the user out would wash a label off. With a run that
one agent opens for another, labels travel: to who does its work as it is opened, and back with its result.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable.journal import Audit
    from durable.sql import Row, Transaction, Writing
    from durable.step import Owner, Step

_PAST: Final = (
    "SELECT id, step, resource, state, labels, seen, intent_time, outcome_time FROM call "
    "WHERE run = $1 AND step > $2 ORDER BY step, id LIMIT $3"
)
#: The same agent, for the same user (`-`: for nobody), whoever stood between them.
_OWN: Final = (
    "domain = $1 AND agent = $2 AND (CAST($3 AS TEXT) = '-' OR \"user\" = '-' OR substr(\"user\", 1, 2) = '-|' "
    'OR "user" = $3 OR substr("user", 1, length($3) + 1) = $3 || \'|\')'
)
_EFFECTIVE: Final = "labels IS NOT NULL AND state IN ('intent', 'done', 'doubt', 'failed')"
_LABELS: Final = (
    f"SELECT DISTINCT labels FROM call WHERE {_OWN} AND {_EFFECTIVE} "  # noqa: S608 - constant text
    "AND intent_time > $4 AND intent_time <= $5 AND (run IS NULL OR run <> $6)"
)
_CARRIED: Final = (
    f"SELECT DISTINCT labels FROM carried WHERE {_OWN} AND since <= $5 "  # noqa: S608 - constant text
    "AND (latest > $4 OR run = $6 OR latest >= (SELECT created FROM run WHERE id = $6))"
)
_OPEN: Final = f"FROM run WHERE {_OWN} AND state IN ('ready', 'running', 'waiting')"
_NOW: Final = (
    f"SELECT DISTINCT labels FROM call WHERE {_OWN} AND {_EFFECTIVE} "  # noqa: S608 - constant text
    f"AND (intent_time > $4 OR run IN (SELECT id {_OPEN}))"
)
_CARRIED_NOW: Final = (
    f"SELECT DISTINCT labels FROM carried WHERE {_OWN} "  # noqa: S608 - constant text
    f"AND (latest > $4 OR run IN (SELECT id {_OPEN}) OR latest >= (SELECT min(created) {_OPEN}))"
)
_OF_RUN: Final = f"SELECT DISTINCT labels FROM call WHERE run = $1 AND {_EFFECTIVE}"  # noqa: S608 - constant text
_CARRY: Final = (
    'INSERT INTO carried (domain, agent, "user", run, labels, since, latest) VALUES ($1, $2, $3, $4, $5, $6, $7) '
    'ON CONFLICT (domain, agent, "user", run, labels) DO UPDATE SET latest = excluded.latest'
)
_CARRIED_ALREADY: Final = (
    'SELECT since FROM carried WHERE domain = $1 AND agent = $2 AND "user" = $3 AND run = $4 AND labels = $5'
)
_INTO: Final = (
    f"SELECT labels, min(since) AS since, max(latest) AS latest FROM carried WHERE {_OWN} "  # noqa: S608 - constant text
    "AND (run = $4 OR latest >= (SELECT created FROM run WHERE id = $4)) GROUP BY labels"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PastCall:
    """One call of a run, as later decisions see it. Times are microseconds since the epoch.

    `seen` is the newest of those times among what the call itself was decided on, `None` where its decision did
    not ask for the past.
    """

    id: str
    step: int
    resource: str
    state: str
    labels: tuple[str, ...]
    seen: int | None
    began: int
    ended: int | None


class Past(Protocol):
    """What runs have done, for decisions that ask for it."""

    async def read_past(self, run: str, *, after: int, calls_max: int) -> list[PastCall]:
        """Return the calls of `run` whose step is above `after`, in order, at most `calls_max`."""
        ...

    async def read_labels(self, owner: Owner, run: str, *, since: int, until: int) -> frozenset[str]:
        """Return the labels on `owner` from outside `run`, put after `since`, up to `until` (microseconds).

        What was carried into the run, or to its owner while it was open, counts for as long as the run lasts.
        """
        ...

    async def read_labels_now(self, owner: Owner, *, since: int) -> frozenset[str]:
        """Return the labels on `owner` put after `since` (microseconds), or in a run that is open."""
        ...

    async def read_run_labels(self, run: str) -> frozenset[str]:
        """Return the labels on the calls of `run`."""
        ...

    async def read_moment(self, call_id: str) -> tuple[str, int] | None:
        """Return a call's state and when it was begun (microseconds), `None` where it is not there."""
        ...

    async def carry(self, owner: Owner, run: str, labels: Sequence[str], audit: Audit) -> None:
        """Put `labels`, which came with `run`, on `owner`; `audit` is written when they are new."""
        ...

    async def standing(self, step: Step) -> str | None:
        """Return the id of the call that `step` asks for, `None` when it is a new one or only its request can tell."""
        ...


async def read_past(tx: Transaction, run: str, after: int, rows_max: int) -> list[PastCall]:
    """Return the calls of `run` whose step is above `after`, in order, at most `rows_max`."""
    return [
        PastCall(
            id=row["id"], step=row["step"], resource=row["resource"], state=row["state"],
            labels=labels_of(row["labels"]), seen=row["seen"], began=row["intent_time"], ended=row["outcome_time"],
        )
        for row in await tx.rows(_PAST, run, after, rows_max)
    ]  # fmt: skip


async def read_labels(tx: Transaction, owner: Owner, run: str, since: int, until: int) -> frozenset[str]:
    """Return the labels on `owner` from outside `run`, put after `since`, up to `until`."""
    asked = (owner.domain, owner.agent, _person(owner), since, until, run)
    return _together(await tx.rows(_LABELS, *asked), await tx.rows(_CARRIED, *asked))


async def read_labels_now(tx: Transaction, owner: Owner, since: int) -> frozenset[str]:
    """Return the labels on `owner` put after `since`, or in a run that is open."""
    asked = (owner.domain, owner.agent, _person(owner), since)
    return _together(await tx.rows(_NOW, *asked), await tx.rows(_CARRIED_NOW, *asked))


async def read_run_labels(tx: Transaction, run: str) -> frozenset[str]:
    """Return the labels on the calls of `run`."""
    return _together(await tx.rows(_OF_RUN, run))


async def read_moment(tx: Transaction, call_id: str) -> tuple[str, int] | None:
    """Return a call's state and when it was begun."""
    row = await tx.row("SELECT state, intent_time FROM call WHERE id = $1", call_id)
    return None if row is None else (row["state"], row["intent_time"])


async def carry(tx: Writing, owner: Owner, run: str, labels: Sequence[str]) -> bool:
    """Put `labels`, which came with `run`, on `owner`; returns whether they are new there."""
    text = text_of(labels)
    if text is None:
        return False
    place = (owner.domain, owner.agent, owner.user, run, text)
    known = await tx.row(
        'SELECT since FROM carried WHERE domain = $1 AND agent = $2 AND "user" = $3 AND run = $4 AND labels = $5',
        *place,
    )
    await tx.execute(_CARRY, *place, tx.here.now, tx.here.now)
    return known is None


async def carry_to_fork(tx: Writing, owner: Owner, parent: str, fork: str) -> None:
    """Let what had come to a run stay with its fork, however long after."""
    for row in await tx.rows(_INTO, owner.domain, owner.agent, _person(owner), parent):
        place = (owner.domain, owner.agent, owner.user, fork, row["labels"])
        await tx.execute(_CARRY, *place, row["since"], row["latest"])


def labels_of(text: str | None) -> tuple[str, ...]:
    """Return the labels kept as `text`."""
    return () if text is None else tuple(cast("list[str]", json.loads(text)))


def text_of(labels: Sequence[str]) -> str | None:
    """Return what is kept of `labels`: nothing where there are none."""
    return json.dumps(sorted(labels)) if labels else None


def _person(owner: Owner) -> str:
    return owner.user.partition("|")[0]


def _together(*found: Sequence[Row]) -> frozenset[str]:
    return frozenset(label for rows in found for row in rows for label in labels_of(row["labels"]))
