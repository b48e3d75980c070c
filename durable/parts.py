"""What every part of the store works with: the backend and the key ring."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from durable.backend import Backend
    from durable.seal import Keyring
    from durable.sql import Read, Write

Result = TypeVar("Result")


class Part:
    """One part of the store; `durable/store.py` says how to add one."""

    def __init__(self, backend: Backend, keyring: Keyring) -> None:
        self._backend = backend
        self._keyring = keyring

    async def _read(self, work: Read[Result]) -> Result:
        return await self._backend.read(work)

    async def _survey(self, work: Read[Result]) -> Result:
        return await self._backend.survey(work)

    async def _write(self, name: str, work: Write[Result]) -> Result:
        # shielded: what is queued is written even when the one who asked for it goes away
        return await asyncio.shield(self._backend.submit(name, work))

    def _sealed(self, place: str, content: bytes | None) -> bytes | None:
        return None if content is None else self._keyring.seal("body", place, content)

    async def _wait(self, name: str, ready: Read[bool], seconds_max: float) -> bool:
        """Wait until `ready` says so, looking whenever `name` is woken; false when the time is up."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds_max
        with self._backend.wakeups.listen(name) as woken:
            while not await self._read(ready):
                left = until - loop.time()
                if left <= 0:
                    return False
                poll = self._backend.poll_seconds
                try:
                    async with asyncio.timeout(left if poll is None else min(left, poll)):
                        await woken.wait()
                except TimeoutError:
                    continue
                woken.clear()
        return True
