"""The policy set in force: loaded at start, reloaded while running, the last good one kept.

A swap is one assignment of an immutable set; decisions under way keep the one they began with.
"""

from __future__ import annotations

import asyncio
import logging
from types import MappingProxyType
from typing import TYPE_CHECKING

from watchfiles import awatch  # pyright: ignore[reportUnknownVariableType] - names the event of trio, not installed

from policy.source import PolicyInvalid, PolicySet, load

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from policy.decision import Limit

_log = logging.getLogger("oncegate.policies")


class Policies:
    """Holds the current set. `last_error` is what was wrong at the last reload, `None` when it was good.

    `named` are sets that decide nothing but forks that were made with them.
    """

    def __init__(
        self,
        folder: Path,
        *,
        profiles: Collection[str],
        domains: Collection[str],
        named: Mapping[str, Path] = MappingProxyType({}),
    ) -> None:
        """Load the set. Raises `PolicyInvalid`: a gateway without policies does not start."""
        self.named = {name: Policies(other, profiles=profiles, domains=domains) for name, other in named.items()}
        self._folder = folder
        self._profiles = frozenset(profiles)
        self._domains = frozenset(domains)
        self.current: PolicySet = self._load()
        self.last_error: str | None = None
        self.reloads = 0
        self.reloads_failed = 0
        self._task: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        #: set after each attempt to reload, for those who wait for one
        self.changed = asyncio.Event()

    def limits(self) -> Iterator[Limit]:
        """Yield the limits of the lines in force."""
        snapshot = self.current.snapshot
        for one in (*snapshot.rules, *snapshot.flows):
            yield from one.obligations.limits

    def watch(self) -> None:
        """Reload whenever a file changes."""
        for other in self.named.values():
            other.watch()
        self._task = asyncio.create_task(self._watch())

    async def aclose(self) -> None:
        """Stop watching."""
        for other in self.named.values():
            await other.aclose()
        self._stop.set()
        if self._task is not None:
            await self._task

    def reload(self) -> bool:
        """Take the folder's present set; on any error keep the last good one and say so."""
        try:
            fresh = self._load()
        except PolicyInvalid as error:
            self.reloads_failed += 1
            self.last_error = str(error)
            for problem in error.problems:
                _log.error("policies not reloaded, the last good set stays: %s", problem)
            self.changed.set()
            return False
        self.current = fresh
        self.last_error = None
        self.reloads += 1
        _log.info("policies reloaded: %s", fresh.digest)
        self.changed.set()
        return True

    def _load(self) -> PolicySet:
        return load(self._folder, profiles=self._profiles, domains=self._domains)

    async def _watch(self) -> None:
        try:
            async for _ in awatch(self._folder, stop_event=self._stop, debounce=100, step=20):
                # parsing and compiling a large set takes milliseconds: not on the loop
                await asyncio.to_thread(self.reload)
        except OSError as error:  # the folder cannot be watched any more; the set in force stays
            self.reloads_failed += 1
            self.last_error = f"`{self._folder}` is not watched: {(error.strerror or 'unreadable').lower()}"
            _log.error("policies not reloaded, the last good set stays: %s", self.last_error)
            self.changed.set()
