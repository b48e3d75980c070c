"""Who calls and in which run: the front door's question, answered by identity and the run desk.

A credential that does not hold is audited with its reason, counted: equal refusals within a second
become one record, so that nobody fills the audit by guessing.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from durable.journal import JournalUnavailable
from gateway.identity.refused import Unidentified

if TYPE_CHECKING:
    from durable.journal import Journal
    from gateway.call import Headers
    from gateway.identity.authenticator import Authenticator, Identified
    from gateway.runs import RunDesk

_log = logging.getLogger("oncegate.identity")

_SECONDS_PER_RECORD: Final = 1.0


class Doorkeeper:
    """Identifies callers, and admits the runs they name."""

    def __init__(self, authenticator: Authenticator, desk: RunDesk, journal: Journal) -> None:
        self._authenticator = authenticator
        self._desk = desk
        self._journal = journal
        self._refused: dict[str, tuple[float, int]] = {}

    async def identify(self, headers: Headers, path_token: str | None, query: bytes) -> Identified:
        """Return the caller. Raises `Refusal`."""
        try:
            found = await self._authenticator.identify(headers, path_token, query=query)
        except Unidentified as refused:
            await self._note(refused)
            raise
        if found.run is not None and not found.own_tokens:
            await self._desk.admit(found.principal, found.run)
        return found

    async def _note(self, refused: Unidentified) -> None:
        now = time.monotonic()
        since, count = self._refused.get(refused.reason, (0.0, 0))
        if now - since < _SECONDS_PER_RECORD:
            self._refused[refused.reason] = (since, count + 1)
            return
        self._refused[refused.reason] = (now, 0)
        record = {"event": "unidentified", "reason": refused.reason, "status": refused.status, "besides": count}
        try:
            await self._journal.write_audit([record])
        except JournalUnavailable:  # the refusal stands without its record; nothing is executed either way
            _log.warning("a refused credential could not be audited: %s", refused.reason)
