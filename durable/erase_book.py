"""The store's part for erasure by value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable import erasure
from durable.parts import Part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable.journal import Audit
    from durable.sql import Writing


class EraseBook(Part):
    """Takes originals out of the vault; their placeholders stay, and stand for nothing."""

    async def erase_values(self, values: Sequence[str], audit: Audit) -> int:
        """Delete every original that holds one of `values`; returns how many. The audit says the number only.

        Raises `durable.seal.Unsealable` when a row cannot be read: nobody can say what it holds.
        """
        wanted = erasure.Wanted(values)
        found: list[tuple[str, str]] = []
        after: tuple[str, str] | None = ("", "")
        while after is not None:
            place = after
            more, after = await self._read(lambda tx, place=place: erasure.page(tx, self._keyring, wanted, place))
            found += more

        async def write(tx: Writing) -> int:
            gone = await erasure.delete(tx, found)
            tx.audit([{**record, "originals": gone} for record in audit])
            return gone

        return await self._write("erase_values", write)
