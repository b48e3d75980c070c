"""The store's part for erasure by value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable import erasure, forms
from durable.parts import Part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable.journal import Audit
    from durable.sql import Writing


class EraseBook(Part):
    """Takes originals out of the vault; their placeholders stay, and stand for nothing. Forms that name one go."""

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
        asked = await self._forms_with(wanted)

        async def write(tx: Writing) -> int:
            gone = await erasure.delete(tx, found)
            await forms.delete(tx, asked)
            tx.audit([{**record, "originals": gone} for record in audit])
            return gone

        return await self._write("erase_values", write)

    async def _forms_with(self, wanted: erasure.Wanted) -> list[str]:
        """Return the forms of servers that name one of the values: as a choice, or in their own words."""
        found: list[str] = []
        after: str | None = ""
        while after is not None:
            place = after
            more, after = await self._read(lambda tx, place=place: forms.page(tx, self._keyring, wanted, place))
            found += more
        return found
