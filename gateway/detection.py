"""The one place where CPU work leaves the event loop: detection in worker processes, spans cached here.

A worker holds the language model; the queue to it is bounded and has a deadline. Whatever goes wrong
with a worker, the calls at hand fail closed and a fresh worker is started for the next ones.
"""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import os
import secrets
import threading
from collections import OrderedDict
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from typing import TYPE_CHECKING, Final, Self

from redaction.finding import DetectionError, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.context import SpawnProcess

    from redaction.finding import Detector

#: How long one call's texts may take, waiting included.
SECONDS_MAX: Final = 15.0
#: Calls that may wait for a worker.
WAITING_MAX: Final = 256
#: Texts whose spans are remembered; resent chat history is looked at once.
CACHED_TEXTS_MAX: Final = 50_000
_START_SECONDS_MAX: Final = 60.0


class Detection:
    """Finds entities in texts. `make` builds the detector inside a worker process."""

    def __init__(
        self, make: Callable[[], Detector], version: str, *, workers: int = 1, seconds_max: float = SECONDS_MAX
    ) -> None:
        self.version = version
        self._seconds_max = seconds_max
        self._make = make
        self._workers = workers
        self._pool: Executor | None = None
        self._waiting = 0
        # keyed, so that what is remembered of a text is nothing without this process
        self._key = secrets.token_bytes(32)
        self._cache: OrderedDict[bytes, tuple[Finding, ...]] = OrderedDict()
        self._under_way: dict[bytes, asyncio.Future[tuple[Finding, ...]]] = {}

    @classmethod
    def in_process(cls, detector: Detector, version: str) -> Self:
        """Return a detection that asks `detector` in a thread of this process: for tests without a model."""
        found = cls(lambda: detector, version)
        _Worker.detector = detector
        found._pool = ThreadPoolExecutor(1)
        return found

    async def start(self) -> None:
        """Start the workers and wait until they hold the model. Raises `DetectionError`."""
        self._pool = self._fresh()
        await self._ask(self._pool, ("ready?",), _START_SECONDS_MAX)

    async def aclose(self) -> None:
        """End the workers."""
        if self._pool is not None:
            self._end(self._pool)
            self._pool = None

    async def find(self, texts: Sequence[str]) -> dict[str, tuple[Finding, ...]]:
        """Return the findings of each text. Raises `DetectionError`; never a partial result."""
        found: dict[str, tuple[Finding, ...]] = {}
        wanted: dict[str, bytes] = {}
        joined: dict[str, asyncio.Future[tuple[Finding, ...]]] = {}
        for text in texts:
            name = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).digest()
            if (known := self._cache.get(name)) is not None:
                self._cache.move_to_end(name)
                found[text] = known
            elif (other := self._under_way.get(name)) is not None:
                joined[text] = other
            else:
                wanted[text] = name
        if wanted:
            found |= await self._look(wanted)
        for text, other in joined.items():
            found[text] = await other
        return found

    async def _look(self, wanted: dict[str, bytes]) -> dict[str, tuple[Finding, ...]]:
        loop = asyncio.get_running_loop()
        promises = {name: loop.create_future() for name in wanted.values()}
        self._under_way |= promises
        try:
            results = await self._asked(tuple(wanted))
        except BaseException as error:
            for promise in promises.values():
                failure = error if isinstance(error, DetectionError) else DetectionError("detection was interrupted")
                promise.set_exception(failure)
                promise.exception()  # most have nobody waiting
            raise
        finally:
            for name in promises:
                self._under_way.pop(name, None)
        for name, findings in zip(wanted.values(), results, strict=True):
            promises[name].set_result(findings)
            self._cache[name] = findings
        while len(self._cache) > CACHED_TEXTS_MAX:
            self._cache.popitem(last=False)
        return dict(zip(wanted, results, strict=True))

    async def _asked(self, texts: tuple[str, ...]) -> list[tuple[Finding, ...]]:
        if self._waiting >= WAITING_MAX:
            raise DetectionError("too many calls wait for detection")
        if self._pool is None:
            raise DetectionError("detection is not running")
        self._waiting += 1
        try:
            return await self._ask(self._pool, texts, self._seconds_max)
        finally:
            self._waiting -= 1

    async def _ask(self, pool: Executor, texts: tuple[str, ...], seconds_max: float) -> list[tuple[Finding, ...]]:
        try:
            async with asyncio.timeout(seconds_max):
                return await asyncio.get_running_loop().run_in_executor(pool, _find, texts)
        except TimeoutError:
            self._replace(pool)
            raise DetectionError(f"detection took longer than {seconds_max:g} s") from None
        except BrokenProcessPool:
            self._replace(pool)
            raise DetectionError("a detection worker died or could not start") from None

    def _replace(self, pool: Executor) -> None:
        if self._pool is pool:
            self._end(pool)
            self._pool = self._fresh()

    def _fresh(self) -> ProcessPoolExecutor:
        # spawned, not forked: a fork would copy the journal's threads and locks in whatever state they are
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._workers, mp_context=context, initializer=_begin, initargs=(self._make,))

    @staticmethod
    def _end(pool: Executor) -> None:
        # a worker in an endless match hears nothing else
        known: dict[int, SpawnProcess] = getattr(pool, "_processes", None) or {}
        processes = list(known.values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()


class _Worker:
    detector: Detector | None = None


def _begin(make: Callable[[], Detector]) -> None:
    threading.Thread(target=_end_with_parent, name="oncegate-parent", daemon=True).start()
    _Worker.detector = make()


def _end_with_parent() -> None:
    """End this worker when the gateway is gone, however it went: nobody else would."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(0)


def _find(texts: tuple[str, ...]) -> list[tuple[Finding, ...]]:
    if _Worker.detector is None:
        raise DetectionError("the worker holds no detector")
    return _Worker.detector.find(texts)
