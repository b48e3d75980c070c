"""Key rotation: what older secrets have sealed is sealed again under the first one, a few values at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from durable.seal import Keyring
    from durable.sql import Row, Transaction, Writing


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed column: its purpose, its table and key columns, and the place its values are bound to."""

    purpose: str
    table: str
    column: str
    keys: tuple[str, ...]
    place: str

    @property
    def where(self) -> str:
        """The condition for a row, its keys from `$2` on."""
        return " AND ".join(f"{key} = ${number}" for number, key in enumerate(self.keys, 2))

    def place_of(self, row: Row) -> str:
        """Return the place of this column's value in a row."""
        return self.place.format(*(row[key] for key in self.keys))


COLUMNS: Final = (
    Sealed("keys", "run", "sealed_keys", ("id",), "run/{0}"),
    Sealed("keys", "owner_key", "sealed", ("owner",), "{0}"),
    Sealed("body", "call", "sealed_request", ("id",), "call/{0}/request"),
    Sealed("body", "call", "sealed_outcome", ("id",), "call/{0}/outcome"),
    Sealed("body", "run", "sealed_result", ("id",), "run/{0}/result"),
    Sealed("body", "run", "sealed_input", ("id",), "run/{0}/input"),
    Sealed("body", "approval", "sealed_shown", ("id",), "approval/{0}/shown"),
    Sealed("body", "tool_definition", "sealed", ("server", "kind", "name", "hash"), "definition/{0}/{1}/{2}/{3}"),
    Sealed("body", "form", "sealed", ("name",), "form/{0}"),
    Sealed("vault", "vault", "sealed", ("scope", "token"), "{0}/{1}"),
)


async def rewrap(tx: Writing, keyring: Keyring, rows_max: int) -> int:
    """Seal at most `rows_max` values again; returns how many. Raises `durable.seal.Unsealable`."""
    done = 0
    for sealed in COLUMNS:
        for row in await _older(tx, keyring, sealed, rows_max - done):
            place = sealed.place_of(row)
            content = keyring.unseal(sealed.purpose, place, row["sealed"])
            await tx.execute(
                f"UPDATE {sealed.table} SET {sealed.column} = $1 WHERE {sealed.where}",  # noqa: S608 - constant names
                keyring.seal(sealed.purpose, place, content),
                *(row[key] for key in sealed.keys),
            )
            done += 1
        if done >= rows_max:
            break
    return done


async def unopened(tx: Transaction, keyring: Keyring) -> str | None:
    """Return a table with a value that no key of the ring opens; one value of each column is looked at."""
    for sealed in COLUMNS:
        row = await tx.row(
            f"SELECT {sealed.column} AS sealed FROM {sealed.table} WHERE {sealed.column} IS NOT NULL LIMIT 1"  # noqa: S608 - constant names
        )
        if row is not None and not keyring.fits(sealed.purpose, row["sealed"]):
            return sealed.table
    return None


async def count_older(tx: Transaction, keyring: Keyring) -> int:
    """Return how many values are sealed under an older secret than the first."""
    total = 0
    for sealed in COLUMNS:
        row = await tx.row(
            f"SELECT count(*) AS number FROM {sealed.table} WHERE substr({sealed.column}, 2, 8) <> $1",  # noqa: S608 - constant names
            keyring.writing_id(sealed.purpose),
        )
        total += 0 if row is None else row["number"]
    return total


async def _older(tx: Transaction, keyring: Keyring, sealed: Sealed, rows_max: int) -> list[Row]:
    columns = ", ".join(f'"{key}"' for key in sealed.keys)
    rows = await tx.rows(
        f"SELECT {columns}, {sealed.column} AS sealed FROM {sealed.table} "  # noqa: S608 - constant names
        f"WHERE substr({sealed.column}, 2, 8) <> $1 LIMIT $2",
        keyring.writing_id(sealed.purpose), rows_max,
    )  # fmt: skip
    return list(rows)
