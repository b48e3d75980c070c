"""The vault: originals of placeholders, each sealed for its own row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable.step import VaultEntry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable.seal import Keyring
    from durable.sql import Transaction, Writing

    #: scope, token, entity, sealed original
    SealedEntry = tuple[str, str, str, bytes]


def seal(keyring: Keyring, entries: Sequence[VaultEntry]) -> list[SealedEntry]:
    """Return the entries as rows; nothing of an original is left in them."""
    return [
        (one.scope, one.token, one.entity, keyring.seal("vault", f"{one.scope}/{one.token}", one.original.encode()))
        for one in entries
    ]


async def write(tx: Writing, rows: Sequence[SealedEntry]) -> None:
    """Write the rows that are not there yet."""
    for row in rows:
        await tx.execute(
            "INSERT INTO vault (scope, token, entity, sealed) VALUES ($1, $2, $3, $4) "
            "ON CONFLICT (scope, token) DO NOTHING",
            *row,
        )


async def read(tx: Transaction, keyring: Keyring, scope: str, tokens: Sequence[str]) -> dict[str, VaultEntry]:
    """Return the entries of `scope` for those `tokens` it holds. Raises `durable.seal.Unsealable`."""
    found: dict[str, VaultEntry] = {}
    for token in tokens:
        row = await tx.row("SELECT entity, sealed FROM vault WHERE scope = $1 AND token = $2", scope, token)
        if row is not None:
            original = keyring.unseal("vault", f"{scope}/{token}", row["sealed"]).decode()
            found[token] = VaultEntry(scope=scope, token=token, entity=row["entity"], original=original)
    return found
