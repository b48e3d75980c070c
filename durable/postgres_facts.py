"""The facts that decide about steps, read for many of them in one query: `durable.rules.View` on PostgreSQL.

What is rarely asked is not read ahead. It comes from a `View` behind, or, where a whole group is decided
at once, not at all: then `Unread` says that this step has to be decided alone.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from durable import rules
from durable.rules import Place
from durable.steps import CALL_FACTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable.postgres_connection import Connection
    from durable.rules import Left, View
    from durable.sql import Row
    from durable.step import Diverges, RunRef, Step
    from durable.steps import CursorKey

_RUN_COLUMNS: Final = ("domain", "agent", "user", "attempt", "state", "calls", "created", "kind")
_FACTS: Final = (
    "SELECT "  # noqa: S608 - constant columns
    + ", ".join(f'run."{name}" AS run_{name}' for name in _RUN_COLUMNS)
    + ", run.id IS NOT NULL AS there, cursor.occurrence AS reached, tombstone.purged AS purged, "
    + ", ".join(f"call.{name}" for name in CALL_FACTS.split(", "))
    + ", (SELECT value FROM mark WHERE name = 'rolled_back') AS rolled_back "
    "FROM unnest($1::text[], $2::bigint[], $3::bytea[], $4::bytea[]) WITH ORDINALITY "
    "AS asked(run, attempt, fingerprint, place, number) "
    # one by one: a plan made while the tables are small must not read them whole when they have grown
    "LEFT JOIN LATERAL (SELECT * FROM run WHERE run.id = asked.run LIMIT 1) AS run ON true "
    "LEFT JOIN LATERAL (SELECT * FROM cursor WHERE cursor.run = asked.run AND cursor.attempt = asked.attempt "
    "AND cursor.fingerprint = asked.fingerprint LIMIT 1) AS cursor ON true "
    "LEFT JOIN LATERAL (SELECT * FROM tombstone WHERE name = asked.place LIMIT 1) AS tombstone ON true "
    "LEFT JOIN LATERAL (SELECT * FROM call WHERE call.place = asked.place LIMIT 1) AS call ON true "
    "ORDER BY asked.number"
)


class Unread(Exception):  # noqa: N818 - says what is known
    """The fact was not read ahead."""


def first_place(step: Step) -> Place:
    """Return where a step stands if it has a key, or is the first of its fingerprint."""
    if step.key is not None:
        return rules.key_place(step)
    if step.run is not None:
        return rules.run_place(step.run, step.fingerprint, 1)
    return Place(secrets.token_bytes(32), 1)


@dataclass(slots=True)
class Facts:
    """Facts of some steps, as of one moment, with what is decided since laid over them."""

    runs: dict[str, dict[str, object] | None] = field(default_factory=dict[str, "dict[str, object] | None"])
    cursors: dict[CursorKey, int] = field(default_factory=dict["CursorKey", int])
    calls: dict[bytes, Row | None] = field(default_factory=dict[bytes, "Row | None"])
    tombs: dict[bytes, bool] = field(default_factory=dict[bytes, bool])
    #: by counter, what is taken of a budget in each of its buckets
    budgets: dict[str, list[tuple[int, int]]] = field(default_factory=dict[str, "list[tuple[int, int]]"])
    since: int | None = None
    #: who is asked for what was not read
    behind: View | None = None

    async def run(self, run_id: str) -> Row | None:
        """As `durable.rules.View`."""
        return cast("Row | None", self.runs[run_id])

    async def cursor(self, run: RunRef, fingerprint: bytes) -> int:
        """As `durable.rules.View`."""
        key = (run.id, run.attempt, fingerprint)
        return self.cursors[key] if key in self.cursors else await self._behind.cursor(run, fingerprint)

    async def call_at(self, place: Place) -> Row | None:
        """As `durable.rules.View`."""
        return self.calls[place.name] if place.name in self.calls else await self._behind.call_at(place)

    async def purged(self, name: bytes) -> bool:
        """As `durable.rules.View`."""
        return self.tombs[name] if name in self.tombs else await self._behind.purged(name)

    async def taken(self, counter: str, since: int) -> int:
        """As `durable.rules.View`."""
        if counter not in self.budgets:
            return await self._behind.taken(counter, since)
        return sum(amount for bucket, amount in self.budgets[counter] if bucket >= since)

    async def buckets(self, counter: str, since: int) -> list[tuple[int, int]]:
        """As `durable.rules.View`."""
        if counter not in self.budgets:
            return await self._behind.buckets(counter, since)
        return sorted(place for place in self.budgets[counter] if place[0] >= since)

    async def rolled_back(self) -> int | None:
        """As `durable.rules.View`."""
        return self.since

    async def evidence(self, run: RunRef, use: bytes) -> tuple[int, int]:
        """As `durable.rules.View`."""
        return await self._behind.evidence(run, use)

    async def modelled(self, run: RunRef) -> bool:
        """As `durable.rules.View`."""
        return await self._behind.modelled(run)

    async def unasked(self, step: Step) -> Diverges | None:
        """As `durable.rules.View`."""
        return await self._behind.unasked(step)

    async def left(self, run: RunRef, fingerprint: bytes, use: bytes) -> Left:
        """As `durable.rules.View`."""
        return await self._behind.left(run, fingerprint, use)

    @property
    def _behind(self) -> View:
        if self.behind is None:
            raise Unread
        return self.behind


async def read_facts(connection: Connection, steps: Sequence[Step], *, behind: View | None = None) -> Facts:
    """Return the facts of `steps`, in one query."""
    places = [first_place(step) for step in steps]
    rows = await connection.fetch(
        _FACTS,
        [None if step.run is None else step.run.id for step in steps],
        [None if step.run is None else step.run.attempt for step in steps],
        [step.fingerprint for step in steps],
        [place.name for place in places],
    )
    facts = Facts(behind=behind)
    for step, place, row in zip(steps, places, rows, strict=True):
        if step.run is not None:
            known = {name: row[f"run_{name}"] for name in _RUN_COLUMNS} if row["there"] else None
            facts.runs[step.run.id] = known
            facts.cursors[step.run.id, step.run.attempt, step.fingerprint] = row["reached"] or 0
        facts.calls[place.name] = None if row["id"] is None else row
        facts.tombs[place.name] = row["purged"] is not None
        facts.since = None if row["rolled_back"] is None else int(row["rolled_back"])
    return facts
