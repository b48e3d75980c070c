"""The store's part for the audit: heads, what a sink has yet to get, pruning, and who a person was."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from typing import TYPE_CHECKING, Final, cast

from durable import audit_rows
from durable.parts import Part

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from durable.audit_rows import AuditFilter, AuditPage, AuditTotals, Erased
    from durable.chain import Link
    from durable.checkpoint import Checkpoint, Head
    from durable.journal import Audit
    from durable.sql import Row, Transaction, Writing

_PEOPLE: Final = "audit/people"
_PEOPLE_CACHED_MAX: Final = 10_000
_KEY_BYTES: Final = 64


class AuditBook(Part):
    """What is done with audit records besides writing them."""

    _people: dict[tuple[str, str], str]

    @property
    def audit_chain(self) -> str:
        """The chain this instance writes to."""
        here = self._backend.here()
        return f"{here.instance}/{here.epoch}"

    async def audit_heads(self, chain: str | None = None) -> dict[str, Head]:
        """Return the last record of one chain, or of every chain there is."""
        return await self._survey(lambda tx: audit_rows.heads(tx, chain))

    async def audit_links(self, chain: str, after: int, limit: int) -> list[Link]:
        """Return records of a chain after number `after`, in order."""
        return await self._survey(lambda tx: audit_rows.links(tx, chain, after, limit))

    async def audit_page(self, after: int, limit: int) -> tuple[list[Link], int]:
        """Return records in the order they were written, and the place after which to go on.

        For one writer: of several instances what was begun first may be committed last.
        """
        return await self._survey(lambda tx: audit_rows.page(tx, after, limit))

    async def search_audit(self, wanted: AuditFilter) -> AuditPage:
        """Return records newest first, and where to go on."""
        return await self._survey(lambda tx: audit_rows.search(tx, wanted))

    async def note_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Link a signed checkpoint to this instance's chain."""
        record = {"event": "checkpoint", "key": checkpoint.key, "line": checkpoint.line}

        async def write(tx: Writing) -> None:
            tx.audit([record])

        await self._write("checkpoint", write)

    async def cursors(self, sink: str) -> dict[str, int]:
        """Return, by chain, the number of the last record that the sink has."""
        rows = await self._read(lambda tx: tx.rows("SELECT chain, number FROM audit_cursor WHERE sink = $1", sink))
        return {row["chain"]: row["number"] for row in rows}

    async def move_cursor(self, sink: str, chain: str, number: int) -> None:
        """Note that the sink has everything of the chain up to `number`; never goes back."""

        async def write(tx: Writing) -> None:
            await tx.execute(
                "INSERT INTO audit_cursor (sink, chain, number, moved) VALUES ($1, $2, $3, $4) "
                "ON CONFLICT (sink, chain) DO UPDATE SET number = CASE WHEN excluded.number > audit_cursor.number "
                "THEN excluded.number ELSE audit_cursor.number END, moved = excluded.moved",
                sink, chain, number, tx.here.now,
            )  # fmt: skip

        await self._write("cursor", write)

    async def prunable(self, before: int, sinks: Sequence[str]) -> dict[str, Head]:
        """Return, by chain, the last record older than `before` (microseconds) that every sink has; heads stay."""
        return await self._survey(lambda tx: audit_rows.prunable(tx, before, sinks))

    async def anchor_audit(self, anchor: Checkpoint, audit: Audit) -> None:
        """Write the signed statement under which a prefix may go."""

        async def write(tx: Writing) -> None:
            for chain, head in anchor.chains.items():
                await tx.execute(
                    "INSERT INTO audit_anchor (chain, number, line) VALUES ($1, $2, $3) "
                    "ON CONFLICT (chain, number) DO NOTHING",
                    chain, head.number, anchor.line,
                )  # fmt: skip
            tx.audit(audit)

        await self._write("anchor", write)

    async def prune_audit(self, rows_max: int) -> int:
        """Delete records under anchors, the oldest first, at most `rows_max`; returns how many."""
        return await self._write("prune", lambda tx: audit_rows.prune(tx, rows_max))

    async def anchors(self) -> list[str]:
        """Return the signed statements under which records were pruned."""
        rows = await self._read(lambda tx: tx.rows("SELECT DISTINCT line FROM audit_anchor"))
        return [row["line"] for row in rows]

    async def totals(self) -> AuditTotals:
        """Return what waits: calls in doubt and held, approvals, and how large the store is where that is known."""
        return await self._survey(audit_rows.totals)

    async def person(self, domain: str, user: str) -> str:
        """Return the name that stands for a person in the audit: random, and forgotten with `erase_person`."""
        known = self._people.get((domain, user))
        if known is not None:
            return known
        lookup, content = await self._lookup(domain, user), json.dumps([domain, user]).encode()

        async def write(tx: Writing) -> str:
            alias = f"person_{secrets.token_hex(10)}"
            sealed = self._keyring.seal("body", f"person/{alias}", content)
            await tx.execute(
                "INSERT INTO audit_person (lookup, alias, sealed) VALUES ($1, $2, $3) ON CONFLICT (lookup) DO NOTHING",
                lookup, alias, sealed,
            )  # fmt: skip
            row = await tx.row("SELECT alias FROM audit_person WHERE lookup = $1", lookup)
            return cast("Row", row)["alias"]

        if len(self._people) >= _PEOPLE_CACHED_MAX:
            self._people.clear()
        alias = self._people[domain, user] = await self._write("person", write)
        return alias

    async def people(self, aliases: Sequence[str]) -> Mapping[str, str]:
        """Return who the names stand for (`domain/user`); those erased are left out."""

        async def read(tx: Transaction) -> dict[str, str]:
            found: dict[str, str] = {}
            for alias in dict.fromkeys(aliases):
                row = await tx.row("SELECT sealed FROM audit_person WHERE alias = $1", alias)
                if row is not None:
                    domain, user = json.loads(self._keyring.unseal("body", f"person/{alias}", row["sealed"]))
                    found[alias] = f"{domain}/{user}"
            return found

        return await self._survey(read)

    async def erase_person(self, domain: str, user: str, audit: Audit) -> Erased:
        """Forget who a person was in the audit, and the originals the vault keeps for them; chains stay as they are."""
        lookup = await self._lookup(domain, user)
        erased = await self._write("erase", lambda tx: audit_rows.erase(tx, lookup, (domain, user), audit))
        self._people.pop((domain, user), None)
        return erased

    async def _lookup(self, domain: str, user: str) -> bytes:
        key = await self._audit_key(_PEOPLE)
        return hmac.new(key, json.dumps([domain, user]).encode(), hashlib.sha256).digest()

    async def _audit_key(self, name: str) -> bytes:
        async def write(tx: Writing) -> bytes:
            fresh = self._keyring.seal("keys", name, secrets.token_bytes(_KEY_BYTES))
            await tx.execute(
                "INSERT INTO owner_key (owner, sealed) VALUES ($1, $2) ON CONFLICT (owner) DO NOTHING", name, fresh
            )
            row = await tx.row("SELECT sealed FROM owner_key WHERE owner = $1", name)
            return cast("Row", row)["sealed"]

        row = await self._read(lambda tx: tx.row("SELECT sealed FROM owner_key WHERE owner = $1", name))
        sealed = await self._write("key", write) if row is None else row["sealed"]
        return self._keyring.unseal("keys", name, sealed)
