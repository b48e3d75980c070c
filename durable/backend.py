"""What a store needs of a database: one writer that commits in groups, reads beside it, and wake-ups."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Iterable

    from durable.rules import View
    from durable.sql import Here, Read, Write
    from durable.step import Step

Result = TypeVar("Result")


class Wakeups:
    """Who waits for what, in this process. Being woken is a hint to look, never proof."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}

    @contextmanager
    def listen(self, name: str) -> Generator[asyncio.Event]:
        """Give an event that is set whenever `name` is woken; look at the store after it was made, then wait."""
        event = asyncio.Event()
        self._waiting.setdefault(name, set()).add(event)
        try:
            yield event
        finally:
            others = self._waiting[name]
            others.discard(event)
            if not others:
                del self._waiting[name]

    def wake(self, names: Iterable[str]) -> None:
        """Wake all who wait for one of `names`."""
        if not self._waiting:
            return
        for name in names:
            for event in self._waiting.get(name, ()):
                event.set()

    def wake_all(self) -> None:
        """Wake everybody: what happened is not known."""
        self.wake(tuple(self._waiting))


class Backend(Protocol):
    """A database behind `durable.store.Store`."""

    wakeups: Wakeups
    #: how long who waits for another instance sleeps at most before it looks again, `None` where there is no other
    poll_seconds: float | None

    def here(self) -> Here:
        """Return who this is, now."""
        ...

    def submit(
        self, name: str, work: Write[Result], late: Callable[[Result], None] | None = None
    ) -> asyncio.Future[Result]:
        """Queue `work`; the future has its result once it is durable. Raises `JournalUnavailable`.

        `name` is what crash points (`before_<name>_commit`) and messages call it. `late` is called with
        the result where the future was told that the database is away, and the work turns out to be done.
        """
        ...

    async def read(self, work: Read[Result]) -> Result:
        """Return what `work` reads. Raises `JournalUnavailable`."""
        ...

    async def survey(self, work: Read[Result]) -> Result:
        """Return what `work` reads for people: it may take long, and calls go on meanwhile.

        Raises `JournalUnavailable`.
        """
        ...

    async def look(self, step: Step, rules: Callable[[View, Step], Coroutine[Any, Any, Result]]) -> Result:
        """Return what `rules` make of the facts that decide about `step`. Raises `JournalUnavailable`."""
        ...

    def may_send(self) -> bool:
        """Return whether this instance still holds its lease."""
        ...

    async def note_head(self) -> None:
        """Note beside the store how far it has come, where it is a file. Raises `OSError`."""
        ...

    async def aclose(self) -> None:
        """Write what is queued and let the database go."""
        ...
