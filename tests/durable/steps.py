"""Steps, intents and outcomes as the journal's tests make them, and a journal to put them in."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Literal

from durable.seal import Keyring
from durable.sqlite import open_sqlite
from durable.step import Began, Intent, Outcome, Owner, Replay, RunRef, Settlement, Step

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    from durable.step import Effect, Kind, Repeat, VaultEntry
    from durable.store import Store

OWNER: Final = Owner("acme", "billing")
KEYRING: Final = Keyring((bytes(range(32)),))
CHARGE: Final = "mcp/payments/tool/charge_card"
MODEL: Final = "model/gpt-5-mini"
#: digest of one tool use: the tool's name and its arguments
USE: Final = b"u" * 32


def step(
    name: str = "charge",
    *,
    run: RunRef | None = None,
    key: str | None = None,
    effect: Effect = "once",
    kind: Kind = "tool",
    resource: str = CHARGE,
    owner: Owner = OWNER,
    repeat: Repeat = "once_per_arguments",
    declared_retry: bool = False,
) -> Step:
    return Step(
        owner=owner,
        run=run,
        key=key,
        fingerprint=hashlib.sha256(name.encode()).digest(),
        kind=kind,
        resource=resource,
        action="call",
        effect=effect,
        repeat=repeat,
        declared_retry=declared_retry,
    )


def intent(
    of: Step,
    *,
    use: bytes | None = None,
    shown: Mapping[bytes, int] | None = None,
    vault: tuple[VaultEntry, ...] = (),
) -> Intent:
    return Intent(
        step=of,
        request=b'{"amount":100}',
        use=use,
        shown=shown or {},
        vault=vault,
        audit=({"event": "decision"},),
        digests="policy-1",
        seconds_max=0.0,
    )


def outcome(text: str = "done", form: Literal["body", "result"] = "result") -> Outcome:
    return Outcome(form=form, status=200, media="application/json", body=text.encode(), meta={"tokens": 3})


@asynccontextmanager
async def journal_in(folder: Path, keyring: Keyring = KEYRING) -> AsyncGenerator[Store]:
    journal = await open_sqlite(folder / "journal.db", keyring=keyring)
    try:
        yield journal
    finally:
        await journal.aclose()


async def begun(journal: Store, wanted: Intent) -> Began:
    known = await journal.begin(wanted)
    assert isinstance(known, Began), known
    return known


async def ask(
    journal: Store,
    of: Step,
    *,
    use: bytes | None = None,
    shown: Mapping[bytes, int] | None = None,
    uses: Mapping[bytes, int] | None = None,
    delivered: bool | None = True,
) -> tuple[str, int]:
    """Make a call as the gateway does; returns how it came to its answer, and its occurrence."""
    known = await journal.look_up(of) or await journal.begin(intent(of, use=use, shown=shown))
    if isinstance(known, Began):
        assert await journal.settle(known, Settlement(outcome=outcome(), uses=uses or {}))
    elif not isinstance(known, Replay):
        return type(known).__name__, 0
    if delivered is not None:
        journal.delivered(known.id, complete=delivered)
    return ("executed" if isinstance(known, Began) else "replayed"), known.occurrence


async def next_attempt(journal: Store, run: str | None = None, owner: Owner = OWNER) -> RunRef:
    record = await journal.open_run(owner, run, {})
    return RunRef(record.id, record.attempt)
