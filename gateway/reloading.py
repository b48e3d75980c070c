"""Reading everything again while running: on SIGHUP, and saying what has to wait for a restart.

The configuration is taken whole or not at all, and each folder of policies by itself, as when it changes; where the
folder in force is not good, the configuration is not taken either.

What is taken are sections that one object holds, so that a call sees the old value or the new one and never a part of
each. A section that fits only together with one that waits, waits too. What is under way keeps what it began with.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from typing import TYPE_CHECKING, Final

from durable.journal import JournalError
from gateway.config import ConfigInvalid, load
from gateway.config.reading import Reading, settings_of
from gateway.config.root import Config
from gateway.config.verify import verify
from gateway.recognizing import profiles_of, recognizers_of
from gateway.trail import new_audit_id
from redaction.profile import ProfilesInvalid
from redaction.recognizers import RecognizersInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.admin.openid import Logins
    from gateway.app import Gateway
    from gateway.budgets.ledger import Ledger
    from gateway.tls import ListenerTls
    from redaction.profile import Profile
    from redaction.recognizers import Recognizers

_log = logging.getLogger("oncegate.reloading")

#: What is taken while running, by its key in the file.
TAKEN: Final = ("budgets", "loop_guard", "approvals")
_METRIC: Final = "oncegate_configuration_reloads_total"
_KEYS: Final = {setting.key: one.name for one, setting in settings_of(Config)}


class Reloading:
    """Reads again whenever `asked` is set; however often it was meanwhile, it is read once more."""

    def __init__(
        self, gateway: Gateway, ledger: Ledger, listener: ListenerTls | None, logins: Logins, asked: asyncio.Event
    ) -> None:
        self._gateway = gateway
        self._ledger = ledger
        self._listener = listener
        self._logins = logins
        self._asked = asked
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to wait for being asked."""
        self._task = asyncio.create_task(self._wait(), name="reloading")

    async def aclose(self) -> None:
        """Read no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _wait(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                good = await self._again()
            except Exception:  # noqa: BLE001 - the outermost handler: the next signal must find somebody
                good = False
                # no traceback: it could show what the files hold
                _log.error("not reloaded: reading again failed unexpectedly; `oncegate check` may say why")
            self._gateway.metrics.add(_METRIC, 1.0, "good" if good else "failed")

    async def _again(self) -> bool:
        """Return whether everything on disk was good."""
        gateway = self._gateway
        try:
            fresh, profiles, recognizers = await asyncio.to_thread(_read, gateway.config)
        except (ConfigInvalid, ProfilesInvalid, RecognizersInvalid) as error:
            for line in str(error).splitlines():
                _log.error("not reloaded, everything stays as it was: %s", line)
            return False
        before = gateway.policies.current.digest
        if not await asyncio.to_thread(gateway.policies.reload_all):
            _log.error("not reloaded: the policy files have to be usable first")
            return False
        config, applied, waiting = sorted_out(gateway.config, fresh)
        if profiles != gateway.profiles:
            waiting.append("redaction profiles")
        if recognizers.digest != gateway.recognizers.digest:
            waiting.append("recognizers")
        self._take(config)
        if gateway.policies.current.digest != before:
            applied.append("policies")
        await asyncio.gather(gateway.authenticator.again(), self._logins.again())
        if self._listener is not None:
            self._listener.again()
        await self._say(applied, waiting)
        return True

    def _take(self, config: Config) -> None:
        """Put `config` in force; nothing may be awaited in here."""
        gateway = self._gateway
        gateway.budgets.take(config)
        gateway.approving.take(config.approvals)
        self._ledger.take(config)
        gateway.config = config

    async def _say(self, applied: list[str], waiting: list[str]) -> None:
        for name in applied:
            _log.info("`%s` changed: in force", name)
        for name in waiting:
            _log.warning("`%s` changed: needs a restart", name)
        _log.info("reloaded; policies, keys and certificates were read again")
        record = {"event": "reloaded", "audit": new_audit_id(), "by": "SIGHUP", "applied": applied, "waiting": waiting}
        try:
            await self._gateway.journal.write_audit([record])
        except JournalError as error:
            _log.error("the audit does not say that it was reloaded: %s", error)


def sorted_out(running: Config, fresh: Config) -> tuple[Config, list[str], list[str]]:
    """Return what can be in force of `fresh` now, the keys that were taken, and those that differ and wait."""
    applied: list[str] = []
    waiting: list[str] = []
    config = running
    for key, name in _KEYS.items():
        said: object = getattr(fresh, name)
        if said == getattr(running, name):
            continue
        one: dict[str, object] = {name: said}
        tried = dataclasses.replace(config, **one)
        if key in TAKEN and _whole(tried):
            config = tried
            applied.append(key)
        else:
            waiting.append(key)
    return config, applied, waiting


def _read(running: Config) -> tuple[Config, Mapping[str, Profile], Recognizers]:
    """Read everything that is read at the start. Raises `ConfigInvalid`, `ProfilesInvalid`, `RecognizersInvalid`."""
    fresh = load(running.file)
    return fresh, profiles_of(fresh), recognizers_of(fresh)


def _whole(config: Config) -> bool:
    """Return whether the sections of `config` fit one another."""
    reading = Reading(str(config.file), config.file.parent)
    verify(config, reading)
    return not reading.problems
