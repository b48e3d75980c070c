"""A load generator: so many callers, one connection each, the next request when the last is answered."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import httptools

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Measured:
    """Milliseconds of each answer to its last byte and to its first, and calls a second."""

    whole: list[float]
    first: list[float]
    calls_per_second: float


class _Caller(asyncio.Protocol):
    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.first = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.first = self.first or time.perf_counter()
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() != 200:
            self.done.set_exception(RuntimeError(f"status {self._parser.get_status_code()}"))
        else:
            self.done.set_result(None)


async def measure(
    port: int, request: Callable[[int], bytes], *, callers: int, calls: int, pause_seconds: float = 0.0
) -> Measured:
    """Send `calls` requests from `callers` at a time, each after a pause; `request` makes the n-th."""
    whole: list[float] = []
    first: list[float] = []
    numbers = iter(range(calls))

    async def one() -> None:
        _, caller = await asyncio.get_running_loop().create_connection(_Caller, "127.0.0.1", port)
        for number in numbers:
            if pause_seconds:
                await asyncio.sleep(pause_seconds)
            caller.done, caller.first = asyncio.get_running_loop().create_future(), 0.0
            begun = time.perf_counter()
            caller.transport.write(request(number))
            await caller.done
            whole.append((time.perf_counter() - begun) * 1000)
            first.append((caller.first - begun) * 1000)
        caller.transport.close()

    begun = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(callers)))
    return Measured(whole, first, calls / (time.perf_counter() - begun))
