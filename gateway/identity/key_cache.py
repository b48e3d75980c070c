"""An issuer's keys, fetched when needed and kept: no request waits for them but the first.

Refreshed behind the calls; an outage is bridged with the keys at hand up to a hard limit; a key that
is gone from the set is gone at the next refresh; unknown key ids cannot make us fetch more than once
in a while (facts/policy.md B3).
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import httpx

from gateway.identity.key_set import SET_BYTES_MAX, Key, KeySetUnusable, read_key_set
from gateway.identity.refused import CredentialRefused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_OK: Final = 200
_log = logging.getLogger("oncegate.identity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often keys are fetched and how long they last, all in seconds.

    Older than `refresh_seconds`: refreshed behind the call; twice as old (nobody called for a while):
    refreshed before it; older than `stale_seconds_max`: no longer used.
    """

    refresh_seconds: float = 300.0
    stale_seconds_max: float = 24 * 3600.0
    #: between two fetches for an unknown key id
    cooldown_seconds: float = 30.0
    #: between two fetches when there are no keys at all
    retry_seconds: float = 5.0
    fetch_seconds_max: float = 5.0


class Fetch(Protocol):
    """Brings the bytes of a key set."""

    async def __call__(self) -> bytes:
        """Return the document. Raises `KeySetUnusable`."""
        ...


class KeyCache:
    """The keys of one issuer."""

    def __init__(
        self, name: str, algorithms: tuple[str, ...], fetch: Fetch, *,
        pace: Pace | None = None, clock: Callable[[], float] = time.monotonic, use: str = "sig",
    ) -> None:  # fmt: skip
        self._name = name
        self._algorithms = algorithms
        self._use = use
        self._fetch = fetch
        self._pace = pace or Pace()
        self._clock = clock
        self._keys: tuple[Key, ...] = ()
        self._fetched = float("-inf")
        self._tried = float("-inf")
        self._running: asyncio.Task[bool] | None = None
        #: goes up whenever the set has changed; what was concluded from an older one is void
        self.generation = 0

    async def find(self, kid: str | None, algorithm: str) -> Key:
        """Return the key `kid` for `algorithm`; without a `kid` the only key there is.

        Raises `CredentialRefused`: `key_unknown`, or `keys_unavailable` when there are no keys to ask.
        """
        await self._freshen()
        if not self._keys:
            raise CredentialRefused("keys_unavailable")
        key = self._look_up(kid, algorithm)
        resting = self._clock() - self._tried < self._pace.cooldown_seconds
        if key is None and (self._running is not None or not resting):
            await self._refresh()
            key = self._look_up(kid, algorithm)
        if key is None:
            raise CredentialRefused("key_unknown")
        return key

    async def refresh(self) -> bool:
        """Fetch now; whether it worked. Joins a fetch that is under way."""
        return await self._refresh()

    async def aclose(self) -> None:
        """End a fetch that is under way."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def _look_up(self, kid: str | None, algorithm: str) -> Key | None:
        fitting = [key for key in self._keys if algorithm in key.algorithms and kid in (None, key.kid)]
        return fitting[0] if len(fitting) == 1 else None

    async def _freshen(self) -> None:
        now = self._clock()
        age, since = now - self._fetched, now - self._tried
        if self._keys and age > self._pace.stale_seconds_max:
            self._replace(())
        if not self._keys:
            if since >= self._pace.retry_seconds or self._running is not None:
                await self._refresh()
        elif age > self._pace.refresh_seconds and since >= self._pace.cooldown_seconds:
            if age > 2 * self._pace.refresh_seconds:
                await self._refresh()
            else:
                self._start()

    async def _refresh(self) -> bool:
        # shielded: one caller going away must not end the fetch for the others
        return await asyncio.shield(self._start())

    def _start(self) -> asyncio.Task[bool]:
        if self._running is None or self._running.done():
            self._tried = self._clock()
            self._running = asyncio.create_task(self._run(), name=f"keys of {self._name}")
        return self._running

    async def _run(self) -> bool:
        try:
            async with asyncio.timeout(self._pace.fetch_seconds_max):
                keys = read_key_set(await self._fetch(), self._algorithms, self._use)
        except (KeySetUnusable, TimeoutError) as error:
            kept = "the keys at hand stay in use" if self._keys else "there are no keys"
            _log.warning("keys of issuer `%s`: %s; %s", self._name, str(error) or "took too long", kept)
            return False
        finally:
            self._running = None
        self._fetched = self._clock()
        if not _same(keys, self._keys):
            self._replace(keys)
        return True

    def _replace(self, keys: tuple[Key, ...]) -> None:
        self._keys = keys
        self.generation += 1


def _same(one: tuple[Key, ...], other: tuple[Key, ...]) -> bool:
    return len(one) == len(other) and all(
        a.kid == b.kid and a.algorithms == b.algorithms and a.public == b.public
        for a, b in zip(one, other, strict=True)
    )


def fetch_file(path: Path) -> Fetch:
    """Return what reads a key set from a file."""

    async def fetch() -> bytes:
        return await asyncio.to_thread(_read, path)

    return fetch


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(SET_BYTES_MAX + 1)
    except OSError as error:
        raise KeySetUnusable(f"`{path.name}` cannot be read: {(error.strerror or 'failed').lower()}") from None


def fetch_url(client: httpx.AsyncClient, url: str, vet: Callable[[httpx.Response], None] | None = None) -> Fetch:
    """Return what fetches a key set over HTTP: no redirects, at most 1 MiB, anything but 200 is a failure.

    `vet` looks at who answers before anything is read; it raises `KeySetUnusable`.
    """

    async def fetch() -> bytes:
        content = bytearray()
        headers = {"accept": "application/jwk-set+json, application/json", "accept-encoding": "identity"}
        try:
            async with client.stream("GET", url, headers=headers, follow_redirects=False) as response:
                if vet is not None:
                    vet(response)
                if response.status_code != _OK:
                    raise KeySetUnusable(f"the key server answered {response.status_code}")
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > SET_BYTES_MAX:
                        raise KeySetUnusable("the key set is too large")
        except (httpx.HTTPError, httpx.InvalidURL):
            raise KeySetUnusable("the key server cannot be reached") from None
        return bytes(content)

    return fetch
