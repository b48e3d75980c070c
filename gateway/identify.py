"""Who calls and in which run: the front door's question, answered by identity and the run desk.

A credential that does not hold is audited with its reason, counted: equal refusals within a second
become one record, so that nobody fills the audit by guessing.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from durable.journal import JournalUnavailable
from gateway.identity.dpop import Asked
from gateway.identity.refused import Unidentified
from gateway.refusals import unwritable
from gateway.trail import person_of, principal_record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable.journal import Journal
    from gateway.blocking import Blocks
    from gateway.call import Headers
    from gateway.identity.authenticator import Authenticator, Identified
    from gateway.identity.certificate import Peer
    from gateway.oauth.resource import ProtectedResource
    from gateway.runs import RunDesk
    from policy.decision import Principal

_log = logging.getLogger("oncegate.identity")

_SECONDS_PER_RECORD: Final = 1.0
_REASONS_MAX: Final = 1024


class Doorkeeper:
    """Identifies callers, and admits the runs they name."""

    def __init__(
        self, authenticator: Authenticator, desk: RunDesk, journal: Journal, resource: ProtectedResource, blocks: Blocks
    ) -> None:
        self._resource = resource
        self._authenticator = authenticator
        self._desk = desk
        self._journal = journal
        self._blocks = blocks
        self._refused: dict[str, tuple[float, int]] = {}

    async def identify(
        self,
        headers: Headers,
        path_token: str | None,
        query: bytes,
        path: str,
        method: str,
        *,
        peer: Peer | None = None,
    ) -> Identified:
        """Return the caller of a request to `path`. Raises `Refusal`."""
        try:
            found = await self._authenticator.identify(
                headers, path_token, query=query, resource=self._resource.identifier(path),
                asked=Asked(method=method, url=self._resource.url(path)), peer=peer,
            )  # fmt: skip
        except JournalUnavailable:  # whether a proof was used before
            raise unwritable() from None
        except Unidentified as refused:
            await self._note(refused.reason, {"event": "unidentified", "reason": refused.reason}, refused.status)
            if refused.challenge is not None and refused.challenge.startswith("Bearer") and path_token is None:
                error = "invalid_token" if "error=" in refused.challenge else ""
                refused.challenge = self._resource.challenge(path, error=error)
            raise
        closed = self._blocks.of_caller(found.principal, None if found.run is None else found.run.id)
        if closed is not None:
            if closed.rule is not None:  # else the store is away, and with it the audit
                await self._note_block(found.principal, closed.rule)
            raise closed
        if found.run is not None and not found.own_tokens:
            await self._desk.admit(found.principal, found.run)
        return found

    async def _note_block(self, principal: Principal, rule: str) -> None:
        try:
            person = await person_of(self._journal, principal)
        except JournalUnavailable:
            _log.warning("a refused credential could not be audited: %s", rule)
            return
        record = {"event": "blocked", **principal_record(principal, person), "rule": rule}
        await self._note(f"{rule} {principal.name}", record, 403)

    async def note_withheld(
        self, identified: Identified, correlation: str, concerns: Sequence[str], *, cut: bool
    ) -> None:
        """Audit that an answer goes no further because of a block: one that streams was cut, another not begun."""
        principal, run = identified.principal, identified.run
        record: dict[str, object] = {"event": "withheld", "correlation": correlation, "rule": "blocked"}
        if concerns:
            record["resource"] = concerns[0]
        if run is not None:
            record |= {"run": run.id, "attempt": run.attempt}
        try:
            who = principal_record(principal, await person_of(self._journal, principal))
            await self._journal.write_audit([{**record, **who, "status": 200 if cut else 403, "cut": cut}])
        except JournalUnavailable:  # withheld it is all the same
            _log.warning("an answer was withheld from %s, which could not be audited", principal.name)

    async def note_scopes(self, principal: Principal, resource: str) -> None:
        """Audit that a token's scopes did not suffice for `resource`."""
        record = {
            "event": "insufficient_scope",
            **principal_record(principal, await person_of(self._journal, principal)),
            "resource": resource,
        }
        await self._note("insufficient_scope", record, 403)

    async def _note(self, reason: str, record: dict[str, object], status: int) -> None:
        now = time.monotonic()
        if len(self._refused) > _REASONS_MAX:  # names of blocked callers are among them
            self._refused.clear()
        since, count = self._refused.get(reason, (0.0, 0))
        if now - since < _SECONDS_PER_RECORD:
            self._refused[reason] = (since, count + 1)
            return
        self._refused[reason] = (now, 0)
        try:
            await self._journal.write_audit([{**record, "status": status, "besides": count}])
        except JournalUnavailable:  # the refusal stands without its record; nothing is executed either way
            _log.warning("a refused credential could not be audited: %s", reason)
