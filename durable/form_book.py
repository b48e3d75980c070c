"""The store's part for forms that servers ask people to fill in."""

from __future__ import annotations

from durable import forms
from durable.parts import Part


class FormBook(Part):
    """Forms that were asked, until they are past their retention."""

    async def keep_form(self, server: str, name: str, content: bytes) -> None:
        """Write a form of a server, in the place of an older one of its name. Raises `JournalUnavailable`."""
        await self._write("form", lambda tx: forms.keep(tx, self._keyring, server, name, content))

    async def read_form(self, name: str) -> bytes | None:
        """Return a form, `None` when there is none of the name. Raises `JournalUnavailable`."""
        return await self._read(lambda tx: forms.read(tx, self._keyring, name))
