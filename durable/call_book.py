"""The store's part for operators: `durable.journal.Operator`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from durable import calls, provider_objects, vault
from durable.parts import Part
from durable.step import Proof

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable.journal import Audit
    from durable.records import CallFilter, CallRecord, ReceivedObject
    from durable.sql import Transaction, Writing
    from durable.step import Outcome, Owner

_SAID: Final = Proof()


class CallBook(Part):
    """Calls as operators read them and settle them."""

    async def list_calls(self, wanted: CallFilter) -> list[CallRecord]:
        """Return the newest calls first, or by step; no bodies."""
        return await self._survey(lambda tx: calls.list_calls(tx, wanted))

    async def read_call(self, call_id: str) -> CallRecord | None:
        """Return one call or `None`; no bodies."""
        return await self._read(lambda tx: calls.read_call(tx, call_id))

    async def read_outcome(self, call_id: str) -> Outcome | None:
        """Return the (redacted) outcome of a call."""
        return await self._read(lambda tx: calls.read_outcome(tx, self._keyring, call_id))

    async def read_request(self, call_id: str) -> bytes | None:
        """Return the (redacted) request of a call: bytes of JSON."""
        return await self._read(lambda tx: calls.read_request(tx, self._keyring, call_id))

    async def note_divergence(self, call_id: str, text: str, audit: Audit) -> None:
        """Keep what a call was found to differ from: `<call id> <path>`."""

        async def write(tx: Writing) -> None:
            await tx.execute("UPDATE call SET diverges = $1 WHERE id = $2", text, call_id)
            tx.audit(audit)

        await self._write("divergence", write)

    async def read_bodies(self, call_id: str) -> tuple[bytes | None, Outcome | None]:
        """Return request and outcome of a call, both redacted, `None` where there is none."""

        async def read(tx: Transaction) -> tuple[bytes | None, Outcome | None]:
            request = await calls.read_request(tx, self._keyring, call_id)
            return request, await calls.read_outcome(tx, self._keyring, call_id)

        return await self._survey(read)

    async def open_doubts(self, resources: Sequence[str], limit: int) -> list[CallRecord]:
        """Return calls of these resources that are in doubt and not granted, those sent first first."""
        return await self._read(lambda tx: calls.open_doubts(tx, resources, limit))

    async def resolve(
        self, call_id: str, verdict: str, outcome: Outcome | None, audit: Audit, proof: Proof = _SAID
    ) -> str:
        """Settle a call in doubt: `happened`, `execute` or `fail`; returns the new state."""
        content = self._sealed(f"call/{call_id}/outcome", None if outcome is None else outcome.body) or b""
        sealed = calls.Sealed(content, vault.seal(self._keyring, proof.vault))

        async def write(tx: Writing) -> str:
            state = await calls.resolve(tx, call_id, verdict, outcome, sealed, proof)
            tx.audit(audit)
            tx.wake(f"call/{call_id}")
            return state

        return await self._write("resolve", write)

    async def received_objects(self, owner: Owner, names: Sequence[str]) -> dict[str, list[ReceivedObject]]:
        """Return from where `owner` received those of `names` (ids of what providers keep) that it did receive."""
        return await self._read(lambda tx: provider_objects.read(tx, owner, names))
