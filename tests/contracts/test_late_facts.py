"""What is read of a step and what is noted beside the store make one picture, however late the reading ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from durable.ends import Auditing
from durable.postgres import PostgresBackend
from durable.postgres_connection import Address
from durable.store import Store
from tests.contracts.place import LEASE_SECONDS
from tests.durable.steps import KEYRING, MODEL, USE, ask, next_attempt, step

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from durable.rules import View
    from durable.sql import Write
    from durable.step import Step

Result = TypeVar("Result")

pytestmark = pytest.mark.anyio


def _ignore(_: str) -> None:
    """Let the store neither end nor crash."""


class Late(PostgresBackend):
    """A database whose replays are written after the facts of the next look were read, and before they are used."""

    def __init__(self, url: str) -> None:
        super().__init__(Address(url, None), LEASE_SECONDS, _ignore, _ignore)
        self._held: list[tuple[Write[Any], asyncio.Future[Any]]] = []
        self.holds = asyncio.Event()

    def submit(
        self, name: str, work: Write[Result], late: Callable[[Result], None] | None = None
    ) -> asyncio.Future[Result]:
        """As `PostgresBackend.submit`, but for replays: they wait for a look."""
        if name != "replay":
            return super().submit(name, work, late)
        written: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._held.append((work, written))
        self.holds.set()
        return written

    async def look(self, step: Step, rules: Callable[[View, Step], Coroutine[Any, Any, Result]]) -> Result:
        """As `PostgresBackend.look`, with the held replays between the facts and what is made of them."""

        async def between(view: View, step: Step) -> Result:
            await self.write_held()
            return await rules(view, step)

        return await super().look(step, between)

    async def write_held(self) -> None:
        """Write the replays that wait."""
        held, self._held = self._held, []
        for work, written in held:
            written.set_result(await super().submit("replay", work))
        await super().submit("audit", Auditing([]))  # and let those who wait for them know


@pytest.mark.requirement("DUR-05")
async def test_a_replay_written_while_its_twin_is_looked_up_counts(database: str) -> None:
    backend = Late(database)
    await backend.start()
    journal = Store(backend, KEYRING)
    try:
        run = await next_attempt(journal)
        turn = step("turn 1", run=run, effect="safe", kind="model", resource=MODEL)
        await ask(journal, turn, uses={USE: 2})
        charged = [await ask(journal, step(run=run), use=USE) for _ in range(2)]
        assert charged == [("executed", 1), ("executed", 2)]
        again = await next_attempt(journal, run.id)
        asked: list[asyncio.Task[tuple[str, int]]] = []
        turn = step("turn 1", run=again, effect="safe", kind="model", resource=MODEL)
        for one in (turn, step(run=again), step(run=again)):
            asked.append(asyncio.create_task(ask(journal, one, use=USE)))
            await backend.holds.wait()
            backend.holds.clear()
        await backend.write_held()
        assert await asyncio.gather(*asked) == [("replayed", 1), ("replayed", 1), ("replayed", 2)]
    finally:
        await backend.write_held()
        await journal.aclose()
