"""Audit records in the SQLite journal: linked to the chain inside the transaction they tell about."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

    from durable.chain import Chain


def append(
    database: sqlite3.Connection, chain: Chain, records: Iterable[Mapping[str, object]], time_microseconds: int
) -> None:
    """Link the records and write them. Raises `TypeError` on a float."""
    for record in records:
        link = chain.link(record, time_microseconds=time_microseconds)
        database.execute(
            "INSERT INTO audit (chain, number, record, hash) VALUES (?, ?, ?, ?)",
            (link.chain, link.number, link.text, link.hash),
        )
