"""Tokens for one server: kept while they hold, got anew before they end, asked for once at a time.

| state of a kept token | what a call gets |
|---|---|
| fresh | it |
| in the last fifth of its time | it, while a new one is got behind the call |
| over, or refused by the server | a new one, which all callers wait for together |
| none to be had | `NoToken`, and nothing is asked again for a while that doubles up to half a minute |
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Protocol

from gateway.oauth.answer import NoToken

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.oauth.answer import Given
    from gateway.oauth.subjects import Subject

_log = logging.getLogger("oncegate.oauth")

#: Callers whose exchanged tokens are kept, and tokens that are still recognised when a server refuses them.
KEPT_MAX: Final = 1024
KNOWN_MAX: Final = 4 * KEPT_MAX
#: A token is got anew when this part of its time is left, and not used in its last seconds.
FRESH_PART: Final = 0.8
MARGIN_SECONDS_MAX: Final = 5.0
PAUSE_SECONDS: Final = 0.5
PAUSE_SECONDS_MAX: Final = 30.0


class Endpoint(Protocol):
    """Gives tokens."""

    async def ask(self, subject: Subject | None) -> Given:
        """Return a token, with `subject` one that stands for it. Raises `NoToken`."""
        ...


class _Kept:
    """One token and how it is got."""

    def __init__(self, subject: Subject | None) -> None:
        self.subject = subject
        self.token = ""
        self.fresh_until = self.until = self.quiet_until = float("-inf")
        self.failures = 0
        self.reason = ""
        self.running: asyncio.Task[None] | None = None


class Tokens:
    """The tokens of one server's credential; `name` is the server's. Times are those of `clock`, epoch seconds."""

    def __init__(self, name: str, endpoint: Endpoint, clock: Callable[[], float] = time.time) -> None:
        self._name = name
        self._endpoint = endpoint
        self._clock = clock
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        #: which entry a token was given for, by its digest
        self._known: OrderedDict[bytes, bytes] = OrderedDict()

    async def token(self, subject: Subject | None = None) -> str:
        """Return a token that holds: the gateway's own, or one for the caller `subject`. Raises `NoToken`."""
        return await self._of(self._entry(subject))

    async def newest(self, token: str) -> str:
        """Return what is sent instead of `token` by now, where it is one of these. Raises `NoToken`."""
        kept = self._entry_of(token)
        return token if kept is None or kept.subject is not None else await self._of(kept)

    async def instead(self, token: str) -> str | None:
        """Return another token after a server refused `token`; `None` where there is none."""
        kept = self._entry_of(token)
        if kept is None:
            return None
        self.forget(token)
        try:
            return await self._of(kept)
        except NoToken:
            return None

    def forget(self, token: str) -> None:
        """Use `token` no more."""
        kept = self._entry_of(token)
        if kept is not None and kept.token == token:
            kept.fresh_until = kept.until = float("-inf")

    async def aclose(self) -> None:
        """End requests under way."""
        running = [kept.running for kept in self._kept.values() if kept.running is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _entry(self, subject: Subject | None) -> _Kept:
        place = b"" if subject is None else subject.place
        kept = self._kept.setdefault(place, _Kept(subject))
        self._kept.move_to_end(place)
        if len(self._kept) > KEPT_MAX:  # a request under way ends by itself, for those who wait for it
            self._kept.popitem(last=False)
        return kept

    def _entry_of(self, token: str) -> _Kept | None:
        place = self._known.get(_digest(token))
        return None if place is None else self._kept.get(place)

    async def _of(self, kept: _Kept) -> str:
        now = self._clock()
        if now < kept.until:
            if now >= kept.fresh_until and now >= kept.quiet_until:
                self._start(kept)
            return kept.token
        if kept.running is None and now < kept.quiet_until:
            raise NoToken(f"{kept.reason}; it is asked again in a moment")
        # shielded: one caller going away must not end it for the others
        await asyncio.shield(self._start(kept))
        if self._clock() >= kept.until:
            raise NoToken(kept.reason or "the token is over at once")
        return kept.token

    def _start(self, kept: _Kept) -> asyncio.Task[None]:
        if kept.running is None:
            kept.running = asyncio.create_task(self._get(kept), name=f"token of {self._name}")
        return kept.running

    async def _get(self, kept: _Kept) -> None:
        asked = self._clock()
        try:
            given = await self._ask(kept.subject)
        except NoToken as error:
            pause = min(PAUSE_SECONDS_MAX, PAUSE_SECONDS * 2**kept.failures)
            kept.failures, kept.reason, kept.quiet_until = min(kept.failures + 1, 16), str(error), self._clock() + pause
            _log.warning("no token for server `%s`: %s", self._name, error)
            return
        finally:
            kept.running = None
        until = asked + given.seconds
        if kept.subject is not None:  # what stands for a caller ends with what it proved
            until = min(until, kept.subject.until)
        life = until - asked
        kept.token, kept.failures, kept.reason = given.token, 0, ""
        kept.until = until - min(MARGIN_SECONDS_MAX, life / 10)
        kept.fresh_until = asked + life * FRESH_PART
        self._known[_digest(given.token)] = b"" if kept.subject is None else kept.subject.place
        while len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)

    async def _ask(self, subject: Subject | None) -> Given:
        if subject is not None and subject.until <= self._clock():
            raise NoToken("the caller's own token is over")
        return await self._endpoint.ask(subject)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
