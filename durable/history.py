"""The SQL of what a run has done: which calls it began, what they have come to, and the labels policy put on them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable.sql import Transaction
    from durable.step import Owner, Step

_PAST: Final = (
    "SELECT id, step, resource, state, labels, seen, intent_time, outcome_time FROM call "
    "WHERE run = $1 AND step > $2 ORDER BY step, id LIMIT $3"
)
_LABELS: Final = (
    'SELECT DISTINCT labels FROM call WHERE domain = $1 AND agent = $2 AND "user" = $3 AND labels IS NOT NULL '
    "AND intent_time > $4 AND intent_time <= $5 AND state IN ('intent', 'done', 'doubt', 'failed') "
    "AND (run IS NULL OR run <> $6)"
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
        """Return the labels on calls of `owner` outside `run` begun after `since`, up to `until` (microseconds)."""
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
    """Return the labels on calls outside `run` begun after `since`, up to `until`, that may have had an effect."""
    rows = await tx.rows(_LABELS, owner.domain, owner.agent, owner.user, since, until, run)
    return frozenset(label for row in rows for label in labels_of(row["labels"]))


def labels_of(text: str | None) -> tuple[str, ...]:
    """Return the labels kept as `text`."""
    return () if text is None else tuple(cast("list[str]", json.loads(text)))


def text_of(labels: Sequence[str]) -> str | None:
    """Return what is kept of `labels`: nothing where there are none."""
    return json.dumps(sorted(labels)) if labels else None
