"""The SQL of forms: what servers ask people to fill in, sealed, by a keyed name that only who was asked can make.

A row is written when a form is asked and read when its answer comes where nobody has seen the question. The newest
`FORMS_MAX` of each server are kept, and none longer than calls are.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from durable.seal import Keyring
    from durable.sql import Transaction, Writing

#: Forms of one server that are kept; a server that asks without end pushes out its own.
FORMS_MAX: Final = 10_000
_KEEP: Final = (
    "INSERT INTO form (name, server, sealed, asked) VALUES ($1, $2, $3, $4) "
    "ON CONFLICT (name) DO UPDATE SET server = excluded.server, sealed = excluded.sealed, asked = excluded.asked"
)
#: what is too many goes with what comes
_FORGET: Final = (
    "DELETE FROM form WHERE name IN (SELECT name FROM form WHERE server = $1 ORDER BY asked DESC LIMIT 20 OFFSET $2)"
)
_READ: Final = "SELECT sealed FROM form WHERE name = $1"
_PAGE: Final = "SELECT name, sealed FROM form WHERE name > $1 ORDER BY name LIMIT $2"
#: Rows opened at once; each is as large as a form may be.
_ROWS: Final = 100


def place_of(name: str) -> str:
    """Return what a form's sealed content is bound to."""
    return f"form/{name}"


async def keep(tx: Writing, keyring: Keyring, server: str, name: str, content: bytes) -> None:
    """Write a form, in the place of an older one of its name."""
    await tx.execute(_KEEP, name, server, keyring.seal("body", place_of(name), content), tx.here.now)
    await tx.execute(_FORGET, server, FORMS_MAX)


async def read(tx: Transaction, keyring: Keyring, name: str) -> bytes | None:
    """Return a form, `None` when there is none of the name. Raises `durable.seal.Unsealable`."""
    row = await tx.row(_READ, name)
    return None if row is None else keyring.unseal("body", place_of(name), row["sealed"])


async def page(
    tx: Transaction, keyring: Keyring, wanted: Callable[[str], bool], after: str
) -> tuple[list[str], str | None]:
    """Return which of the next forms hold a text that is wanted, and after which to go on, `None` at the end."""
    rows = await tx.rows(_PAGE, after, _ROWS)
    found: list[str] = []
    for row in rows:
        content = keyring.unseal("body", place_of(row["name"]), row["sealed"])
        if any(wanted(text) for text in _texts(json.loads(content))):
            found.append(row["name"])
    return found, None if len(rows) < _ROWS else rows[-1]["name"]


async def delete(tx: Writing, names: list[str]) -> int:
    """Delete forms; returns how many there were."""
    return sum([await tx.execute("DELETE FROM form WHERE name = $1", name) for name in names])


def _texts(tree: object) -> Iterator[str]:
    waiting = [tree]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            known = cast("dict[str, object]", one)
            waiting += [*known, *known.values()]
        elif isinstance(one, list):
            waiting += cast("list[object]", one)
        elif isinstance(one, str | int | float):
            yield str(one)
