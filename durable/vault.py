"""The vault: originals of placeholders, each sealed for its own row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from durable.step import VaultEntry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable.seal import Keyring
    from durable.sql import Transaction, Writing

    #: scope, token, entity, sealed original
    SealedEntry = tuple[str, str, str, bytes]

#: an entry that is minted again is used again: a row outside runs is kept as long as outcomes may need it
WRITE: Final = (
    "INSERT INTO vault (scope, token, entity, sealed, used) VALUES ($1, $2, $3, $4, $5) "
    "ON CONFLICT (scope, token) DO UPDATE SET used = excluded.used WHERE vault.used < excluded.used - 86400000000"
)


def seal(keyring: Keyring, entries: Sequence[VaultEntry]) -> list[SealedEntry]:
    """Return the entries as rows; nothing of an original is left in them."""
    return [
        (one.scope, one.token, one.entity, keyring.seal("vault", f"{one.scope}/{one.token}", one.original.encode()))
        for one in entries
    ]


async def write(tx: Writing, rows: Sequence[SealedEntry]) -> None:
    """Write the rows that are not there yet, and note that the others were used again (about daily)."""
    for row in rows:
        await tx.execute(WRITE, *row, tx.here.now)


async def read(tx: Transaction, keyring: Keyring, scope: str, tokens: Sequence[str]) -> dict[str, VaultEntry]:
    """Return the entries of `scope` for those `tokens` it holds. Raises `durable.seal.Unsealable`."""
    found: dict[str, VaultEntry] = {}
    for token in tokens:
        row = await tx.row("SELECT entity, sealed FROM vault WHERE scope = $1 AND token = $2", scope, token)
        if row is not None:
            original = keyring.unseal("vault", f"{scope}/{token}", row["sealed"]).decode()
            found[token] = VaultEntry(scope=scope, token=token, entity=row["entity"], original=original)
    return found
