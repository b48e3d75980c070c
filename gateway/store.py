"""The journal's store as the configuration names it: a file, or a database that several instances share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable.journal import JournalRefused
from durable.postgres import migrate_postgres, open_postgres
from durable.schema import SCHEMA_VERSION
from durable.seal import Keyring
from durable.sqlite import open_sqlite

if TYPE_CHECKING:
    from collections.abc import Callable

    from durable.store import Store
    from gateway.config import Config


async def open_store(
    config: Config, keyring: Keyring, *, fatal: Callable[[str], None], crash_point: Callable[[str], None]
) -> Store:
    """Return the store of the configuration, brought up to date where this role may.

    Raises `JournalRefused`, also where `secret_key` is not the one it was written with, and
    `gateway.secrets.SecretUnavailable`.
    """
    store = await _open(config, keyring, fatal=fatal, crash_point=crash_point)
    if (table := await store.unopened()) is not None:
        await store.aclose()
        raise JournalRefused(
            f"`secret_key`: no key of it opens what `state` keeps (table `{table}`); "
            "bring back the one that it was written with, or put it on the list"
        )
    return store


async def _open(
    config: Config, keyring: Keyring, *, fatal: Callable[[str], None], crash_point: Callable[[str], None]
) -> Store:
    state = config.state
    if state.postgres is None:
        return await open_sqlite(
            state.path, keyring=keyring, synchronous=state.synchronous, fatal=fatal, crash_point=crash_point
        )
    return await open_postgres(
        state.postgres, keyring=keyring, lease_seconds=config.lease_seconds, password=_password(config), fatal=fatal,
        crash_point=crash_point,
    )  # fmt: skip


async def migrate_store(config: Config) -> int:
    """Bring the store to this program's schema and return its version. Raises as `open_store`."""
    if config.state.postgres is not None:
        await migrate_postgres(config.state.postgres, _password(config))
    else:
        keyring = Keyring(tuple(reference.read_key() for reference in config.secret_keys))
        store = await open_sqlite(config.state.path, keyring=keyring)
        await store.aclose()
    return SCHEMA_VERSION


def _password(config: Config) -> str | None:
    return None if config.state_password is None else config.state_password.read()
