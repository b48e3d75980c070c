"""One claim of a step, in one transaction: fenced, placed, begun or told what is known of it instead."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from durable import sqlite_audit, sqlite_steps, sqlite_vault
from durable.step import Began

if TYPE_CHECKING:
    import sqlite3

    from durable.chain import Chain
    from durable.delivery import Deliveries
    from durable.sqlite_steps import Ended, Here, Place
    from durable.sqlite_vault import SealedEntry
    from durable.step import Intent, Known

_UPSTREAM_KEY_LENGTH = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An intent with what it would be written as: a fresh id, the sealed request, the key of its run."""

    intent: Intent
    call_id: str
    sealed: bytes
    key: bytes
    vault: list[SealedEntry]


def claim(
    database: sqlite3.Connection, wanted: Claim, chain: Chain, deliveries: Deliveries, here: Here
) -> Began | Known | Ended:
    """Write the intent, or return what is known of its step instead."""
    intent, step = wanted.intent, wanted.intent.step
    if (closed := sqlite_steps.fence(database, step)) is not None:
        return closed
    if step.key is None and step.run is None:
        place = sqlite_steps.Place(secrets.token_bytes(32), 1)
    else:
        place = sqlite_steps.find_place(database, step, intent.use, deliveries, here)
    row = sqlite_steps.read_call(database, place)
    if row is not None and (known := sqlite_steps.state_of(row, step)) is not None:
        return known
    began = _begun(wanted, place, row)
    if row is None:
        sqlite_steps.insert_intent(database, intent, place, here, (wanted.call_id, wanted.sealed))
    else:
        sqlite_steps.begin_again(database, row, intent, here)
    if step.run is not None:
        sqlite_steps.advance(database, step.run, step.fingerprint, place.occurrence)
        if intent.shown:
            sqlite_steps.write_uses(database, step.run.id, began.id, asked={}, shown=intent.shown)
    sqlite_vault.write(database, wanted.vault)
    sqlite_audit.append(database, chain, [{**record, "call": began.id} for record in intent.audit], here.now)
    return began


def _begun(wanted: Claim, place: Place, row: sqlite3.Row | None) -> Began:
    # of the step, not of the execution: an upstream that honours keys sees a repetition as one
    upstream_key = hmac.digest(wanted.key, b"upstream/" + place.name, "sha256").hex()[:_UPSTREAM_KEY_LENGTH]
    if row is None:
        return Began(id=wanted.call_id, attempt=1, occurrence=place.occurrence, upstream_key=upstream_key)
    return Began(
        id=row["id"],
        attempt=row["attempt"] + 1,
        occurrence=place.occurrence,
        upstream_key=upstream_key,
        again=row["state"] == "doubt",
    )
