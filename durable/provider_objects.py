"""What providers keep and who received it: ids of responses, containers, files, by owner (DESIGN section 6).

An outcome names the ids it holds in `meta["objects"]`: `{"origin": …, "ids": […]}`. They are written in the
outcome's transaction, so an id that reached an agent for good is known, and no other ever is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from durable.records import ReceivedObject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable.sql import Transaction, Writing
    from durable.step import Outcome, Owner

#: origin, ids, now, call
WRITE: Final = (
    'INSERT INTO provider_object (id, origin, domain, agent, "user", resource, received) '
    'SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), domain, agent, "user", resource, CAST($3 AS BIGINT) '
    "FROM call WHERE id = $4 ON CONFLICT DO NOTHING"
)
_READ: Final = (
    'SELECT origin, resource FROM provider_object WHERE id = $1 AND domain = $2 AND agent = $3 AND "user" = $4'
)


def named_in(outcome: Outcome) -> list[tuple[str, str]]:
    """Return id and origin of each object an outcome names."""
    objects = outcome.meta.get("objects")
    if not isinstance(objects, dict):
        return []
    known = cast("dict[str, object]", objects)
    return [(name, str(known.get("origin"))) for name in cast("list[str]", known.get("ids", []))]


async def write(tx: Writing, call_id: str, outcome: Outcome) -> None:
    """Note that the call's owner has received what its outcome names."""
    for name, origin in named_in(outcome):
        await tx.execute(WRITE, name, origin, tx.here.now, call_id)


async def read(tx: Transaction, owner: Owner, names: Sequence[str]) -> dict[str, list[ReceivedObject]]:
    """Return from where `owner` received those of `names` that it did receive."""
    found: dict[str, list[ReceivedObject]] = {}
    for name in names:
        rows = await tx.rows(_READ, name, owner.domain, owner.agent, owner.user)
        if rows:
            found[name] = [ReceivedObject(origin=row["origin"], resource=row["resource"]) for row in rows]
    return found
