"""What an SQLite journal holds, decrypted, read-only: for a search that nothing raw was stored.

The vault is left out: it is where originals belong.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from durable.seal import Keyring

_SEALED: Final = (
    ("call", "request", "SELECT id, sealed_request FROM call"),
    ("call", "outcome", "SELECT id, sealed_outcome FROM call WHERE sealed_outcome IS NOT NULL"),
    ("run", "result", "SELECT id, sealed_result FROM run WHERE sealed_result IS NOT NULL"),
)


def read_bodies(path: Path, keyring: Keyring) -> Iterator[tuple[str, bytes]]:
    """Yield every stored body with its place (`call/<id>/request`, `call/<id>/outcome`, `run/<id>/result`).

    Raises `durable.seal.Unsealable`, `sqlite3.DatabaseError` when it is no journal.
    """
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        for table, column, query in _SEALED:
            for name, sealed in cast("Iterable[tuple[str, bytes]]", database.execute(query)):
                place = f"{table}/{name}/{column}"
                yield place, keyring.unseal("body", place, bytes(sealed))
    finally:
        database.close()
