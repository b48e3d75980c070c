"""The policy set in force: loaded at start, reloaded while running, the last good one kept.

Before it counts it is read whole, linted, compiled, and has passed the cases it brings along. A swap is one
assignment of an immutable value; decisions under way keep the one they began with.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from watchfiles import awatch  # pyright: ignore[reportUnknownVariableType] - names the event of trio, not installed

from policy.cases import load_tested
from policy.in_force import InForce
from policy.lint import findings_of
from policy.source import PolicyInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from policy.decision import Limit
    from policy.in_force import Mode
    from policy.source import PolicySet

_log = logging.getLogger("oncegate.policies")

#: Sets of more lines are not linted when they are loaded, `oncegate policy lint` does it.
LINTED_LINES_MAX: Final = 1000


class Policies:
    """Holds the current set. `last_error` is what was wrong at the last reload, `None` when it was good.

    `named` are sets that decide nothing but forks that were made with them. `candidate` is the folder of one that
    is asked beside the live one and decides nothing at all; a broken one stays out, and says so.
    """

    def __init__(
        self,
        folder: Path,
        *,
        profiles: Collection[str],
        domains: Collection[str],
        named: Mapping[str, Path] = MappingProxyType({}),
        mode: Mode = "enforce",
        candidate: Path | None = None,
    ) -> None:
        """Load the set. Raises `PolicyInvalid`: a gateway without policies does not start."""
        self.named = {
            name: Policies(other, profiles=profiles, domains=domains, mode=mode) for name, other in named.items()
        }
        self._candidate = None if candidate is None else Policies(candidate, profiles=profiles, domains=domains)
        self._mode: Mode = mode
        self._folder = folder
        self._profiles = frozenset(profiles)
        self._domains = frozenset(domains)
        self._live = self._load()
        self.current: InForce = self._in_force()
        self.last_error: str | None = None
        #: what the set in force took the place of
        self.previous: PolicySet | None = None
        self.reloads = 0
        self.reloads_failed = 0
        self._task: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        # a reload that was asked for may meet one of the watch: who reads later also counts later
        self._one_at_a_time = threading.Lock()
        #: set after each reload that the watch attempted, for those who wait for one
        self.changed = asyncio.Event()
        #: is called after each reload that was good
        self.told: Callable[[], None] = lambda: None

    def limits(self) -> Iterator[Limit]:
        """Yield the limits of the lines in force."""
        snapshot = self.current.snapshot
        for one in (*snapshot.rules, *snapshot.flows):
            yield from one.obligations.limits

    def profiles(self) -> Iterator[str | None]:
        """Yield the redaction profiles that calls may pass under, `None` for the default one; some twice."""
        if self._mode == "shadow":
            yield from sorted(self._profiles)
        for one in self.current.snapshot.rules:
            # the gateway's own interface passes nothing of anyone's on
            if one.effect == "allow" and not one.pattern_text.startswith("admin/"):
                yield from one.obligations.profiles or (None,)
        for flow in self.current.snapshot.flows:
            yield from flow.obligations.profiles
        for other in self.named.values():
            yield from other.profiles()

    def watch(self) -> None:
        """Reload whenever a file changes."""
        if self._mode == "shadow":
            _log.warning("policies are in shadow mode: no line of `%s` denies anything", self._folder)
        for other in self.named.values():
            other.watch()
        if self._candidate is not None:
            self._candidate.told = self._candidate_changed
            self._candidate.watch()
        self._task = asyncio.create_task(self._watch())

    async def aclose(self) -> None:
        """Stop watching."""
        for other in (*self.named.values(), *(() if self._candidate is None else (self._candidate,))):
            await other.aclose()
        self._stop.set()
        if self._task is not None:
            await self._task

    def reload_all(self) -> bool:
        """Reload the sets with names and the candidate too; whether all of them were good."""
        others = (*self.named.values(), *(() if self._candidate is None else (self._candidate,)))
        done = [one.reload() for one in (*others, self)]
        return all(done)

    def reload(self) -> bool:
        """Take the folder's present set; on any error keep the last good one and say so."""
        with self._one_at_a_time:
            return self._reload()

    def _reload(self) -> bool:
        try:
            fresh = self._load()
        except PolicyInvalid as error:
            self.reloads_failed += 1
            self.last_error = str(error)
            for problem in error.problems:
                _log.error("policies not reloaded, the last good set stays: %s", problem)
            return False
        self.previous, self._live = self._live, fresh
        self.current = self._in_force()
        self.last_error = None
        self.reloads += 1
        _log.info("policies reloaded: %s", fresh.digest)
        self.told()
        return True

    def state(self) -> dict[str, str]:
        """Return what readiness says: which set, in which mode, beside which candidate, and what went wrong."""
        said = {"policies": self.current.digest}
        if self.current.mode != "enforce":
            said["policies_mode"] = self.current.mode
        if (candidate := self.current.candidate) is not None:
            said["policies_candidate"] = candidate.digest
        if self.candidate_error is not None:
            said["policies_candidate_last_reload"] = "failed; the last good candidate is asked"
        if self.last_error is not None:
            said["policies_last_reload"] = "failed; the last good set stays in force"
        return said

    @property
    def candidate_error(self) -> str | None:
        """What was wrong with the candidate at its last reload, `None` when it was good or there is none."""
        return None if self._candidate is None else self._candidate.last_error

    def _in_force(self) -> InForce:
        candidate = None if self._candidate is None else self._candidate.current.live
        return InForce(self._live, self._mode, candidate, tuple(sorted(self._profiles)))

    def _candidate_changed(self) -> None:
        # in the thread of the candidate's reload: this set's own may be about to change
        with self._one_at_a_time:
            self.current = self._in_force()

    def _load(self) -> PolicySet:
        fresh = load_tested(self._folder, profiles=self._profiles, domains=self._domains)
        # each line is held against the others: a set that large is linted by its author
        for finding in findings_of(fresh) if len(fresh.snapshot.rules) <= LINTED_LINES_MAX else ():
            _log.warning("policies: %s", finding)
        return fresh

    async def _watch(self) -> None:
        try:
            async for _ in awatch(self._folder, stop_event=self._stop, debounce=100, step=20):
                # parsing and compiling a large set takes milliseconds: not on the loop
                await asyncio.to_thread(self.reload)
                self.changed.set()  # here, for an event belongs to its loop
        except OSError as error:  # the folder cannot be watched any more; the set in force stays
            self.reloads_failed += 1
            self.last_error = f"`{self._folder}` is not watched: {(error.strerror or 'unreadable').lower()}"
            _log.error("policies not reloaded, the last good set stays: %s", self.last_error)
            self.changed.set()
