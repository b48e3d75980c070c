"""What `doctor` looks at in the store: its schema and pages, its past, and what waits in it for a person."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from durable.condition import of_postgres, of_sqlite
from durable.journal import JournalRefused
from durable.schema import SCHEMA_VERSION
from durable.seal import Keyring
from gateway.cli.checks import Check
from gateway.secrets import SecretError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from durable.condition import Condition
    from gateway.config import Config

_SUBJECT = "journal"
_HOUR_SECONDS = 3600.0


def journal(config: Config) -> Iterator[Check]:
    """Look into the store, read-only, beside a running gateway; nothing where there is none yet."""
    try:
        keyring = Keyring(tuple(reference.read_key() for reference in config.secret_keys))
        found = _condition(config, keyring)
    except SecretError:
        return  # said where the keys are looked at
    except JournalRefused as refused:
        advice = "see that it is the state of this configuration; restore a backup (docs/operations.md)"
        yield Check(subject=_SUBJECT, health="failure", finding=str(refused), advice=advice)
        return
    if found is not None:
        yield from _whole(found)
        if found.damage is None:
            yield from _waiting(found)


def _condition(config: Config, keyring: Keyring) -> Condition | None:
    if config.state.postgres is None:
        return of_sqlite(config.state.path, keyring) if config.state.path.exists() else None
    password = None if config.state_password is None else config.state_password.read()
    return asyncio.run(of_postgres(config.state.postgres, password, keyring))


def _whole(found: Condition) -> Iterator[Check]:
    if found.damage is not None:
        finding = "its pages do not hold together"
        yield Check(subject=_SUBJECT, health="failure", finding=finding, advice="stop, keep a copy, restore a backup")
        return
    if found.newer:
        finding = f"schema {found.schema} was written by a newer program; this one knows {SCHEMA_VERSION}"
        yield Check(subject=_SUBJECT, health="failure", finding=finding, advice="use the newer `oncegate`")
        return
    if found.schema < SCHEMA_VERSION:
        finding = f"schema {found.schema}, this program's is {SCHEMA_VERSION}"
        advice = "`oncegate serve` migrates it, or `oncegate store migrate` as the owner of the tables"
        yield Check(subject=_SUBJECT, health="warning", finding=finding, advice=advice)
        return
    if found.locked:
        finding = "another program keeps the file locked: no call can be journaled, so none is made"
        advice = "find it (`fuser` or `lsof` on the file and its `-wal`) and end it; copy with `oncegate store backup`"
        yield Check(subject=_SUBJECT, health="failure", finding=finding, advice=advice)
    if found.unopened is not None:
        finding = f"no key of `secret_key` opens what it keeps (table `{found.unopened}`)"
        advice = (
            "bring back the key that this state was written with, or put it on the list; `serve` refuses until then"
        )
        yield Check(subject=_SUBJECT, health="failure", finding=finding, advice=advice)
        return
    yield Check(subject=_SUBJECT, health="ok", finding=f"schema {found.schema}, {found.instances} instance(s) alive")


def _waiting(found: Condition) -> Iterator[Check]:
    if found.rolled_back is not None:
        when = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(found.rolled_back))
        finding = f"the store was rolled back ({when}); `once` steps it may have forgotten are held"
        advice = "find out what was executed since the backup, settle it, then `oncegate store accept --reason …`"
        yield Check(subject=_SUBJECT, health="failure", finding=finding, advice=advice)
    if found.silent:
        finding = f"{found.silent} instance(s) have lost their lease and are not swept"
        yield Check(subject=_SUBJECT, health="warning", finding=finding, advice="any live instance sweeps them")
    if found.doubts + found.held:
        old = f", the oldest for {found.oldest_seconds / _HOUR_SECONDS:.1f} h" if found.oldest_seconds else ""
        finding = f"{found.doubts} call(s) in doubt, {found.held} held{old}"
        advice = "`oncegate calls list --state in_doubt`, then `oncegate calls resolve`"
        yield Check(subject=_SUBJECT, health="warning", finding=finding, advice=advice)
    if found.approvals:
        finding = f"{found.approvals} approval(s) wait for a person"
        yield Check(subject=_SUBJECT, health="warning", finding=finding, advice="`oncegate approvals list`")
    if found.older_seals:
        finding = f"{found.older_seals} value(s) are sealed under an older `secret_key`"
        advice = "leave it on the list until a running gateway has sealed them anew (about hourly)"
        yield Check(subject=_SUBJECT, health="warning", finding=finding, advice=advice)
