"""The API keys of all trust domains, read again when their files change."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from gateway.config.problems import ConfigInvalid, Problem
from gateway.identity.api_keys import ApiKey, find_key, read_keys
from gateway.identity.refused import CredentialRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from gateway.config import Config

_log = logging.getLogger("oncegate.identity")

#: How often the files are looked at.
LOOK_SECONDS: Final = 1.0
Stamp = tuple[int, int, int]


class KeyFiles:
    """Keys by id. A file that cannot be used any more keeps the keys read before, and says so."""

    def __init__(self, domains_of: Mapping[Path, frozenset[str]], *, clock: Callable[[], float]) -> None:
        self._domains_of = domains_of
        self._clock = clock
        self._keys: Mapping[str, ApiKey] = {}
        self._stamps: dict[Path, Stamp | None] = {}
        self._looked = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        #: what is wrong with the files since the last good reading, for readiness and metrics
        self.last_error: str | None = None

    @classmethod
    def open(cls, config: Config, *, clock: Callable[[], float] = time.monotonic) -> KeyFiles:
        """Return the keys of `config`, read now; a file that is not there yet holds none.

        Raises `ConfigInvalid`.
        """
        domains_of: dict[Path, frozenset[str]] = {}
        for name, domain in config.trust_domains.items():
            if domain.api_keys_file is not None:
                domains_of[domain.api_keys_file] = domains_of.get(domain.api_keys_file, frozenset()) | {name}
        files = cls(domains_of, clock=clock)
        files._stamps = {path: stamp(path) for path in domains_of}
        there = {path: domains for path, domains in domains_of.items() if path.exists()}
        for path in domains_of.keys() - there.keys():
            _log.warning("api keys: `%s` is absent; `oncegate token create` writes it", path.name)
        files._keys = _read_all(there)
        files._looked = clock()
        return files

    async def find(self, key: str) -> ApiKey:
        """Return the entry that `key` proves. Raises `CredentialRefused`."""
        await self._freshen()
        entry = find_key(key, self._keys)
        if entry is None:
            raise CredentialRefused("key_wrong")
        return entry

    async def known(self, name: str) -> ApiKey | None:
        """Return the entry of a key's public id, `None` where it is there no more."""
        await self._freshen()
        return self._keys.get(name)

    async def again(self) -> None:
        """Look now whether a file has changed; after an error all are read whether or not."""
        self._looked = float("-inf")
        if self.last_error is not None:
            self._stamps = {}
        await self._freshen()

    async def _freshen(self) -> None:
        if self._reading is None:
            now = self._clock()
            if now - self._looked < LOOK_SECONDS:
                return
            self._looked = now
            stamps = {path: stamp(path) for path in self._domains_of}
            if stamps == self._stamps:
                return
            self._reading = asyncio.create_task(self._read(stamps), name="api keys")
        # shielded: one caller going away must not end the reading for the others
        await asyncio.shield(self._reading)

    async def _read(self, stamps: dict[Path, Stamp | None]) -> None:
        try:
            self._keys = await asyncio.to_thread(_read_all, self._domains_of)
            self.last_error = None
        except ConfigInvalid as error:
            self.last_error = str(error)
            _log.error("api keys: the keys read before stay in use: %s", error)
        finally:
            self._stamps = stamps
            self._reading = None


def stamp(path: Path) -> Stamp | None:
    """Return what changes with a file's content: modification time, size and inode; `None` where it is absent."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read_all(domains_of: Mapping[Path, frozenset[str]]) -> Mapping[str, ApiKey]:
    keys: dict[str, ApiKey] = {}
    problems: list[Problem] = []
    for path, domains in domains_of.items():
        try:
            found = read_keys(path, path.name, domains)
        except ConfigInvalid as error:
            problems += error.problems
            continue
        problems += [
            Problem(path.name, 0, f"key `{name}` stands in another file too") for name in found if name in keys
        ]
        keys |= found
    if problems:
        raise ConfigInvalid(problems)
    return keys
