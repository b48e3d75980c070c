"""The one place where CPU work leaves the event loop: detection in worker processes, spans cached here.

A worker holds the language model. Calls stand in a bounded queue and are served in turns of a bounded
number of characters, so that a large call delays a small one by one turn. Whatever goes wrong with a
worker, the calls at hand fail closed and a fresh worker is started for the next ones; a call that only
waited too long ends nobody's worker.
"""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import re
import secrets
from collections import OrderedDict, deque
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from gateway.apart import begin_apart, end_pool
from redaction.finding import DetectionError, Finding

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from redaction.finding import Detector

#: How long one call's texts may take, waiting included; also how long a worker may be silent.
SECONDS_MAX: Final = 15.0
#: Calls that may wait for a worker.
WAITING_MAX: Final = 256
#: What a worker is given at a time, under a second of its work.
TURN_CHARACTERS_MAX: Final = 32_768
#: Texts whose spans are remembered, and what they may take; resent chat history is looked at once.
CACHED_TEXTS_MAX: Final = 50_000
CACHED_BYTES_MAX: Final = 32 * 1024 * 1024
_ENTRY_BYTES: Final = 250
_FINDING_BYTES: Final = 400
_START_SECONDS_MAX: Final = 60.0
#: Less than three letters or digits are nothing of anyone.
_MAY_HOLD: Final = re.compile(r"\w\W*\w\W*\w")
_DIGITS_MIN: Final = 7


@dataclass(slots=True, eq=False)
class _Look:
    """A text under way, for as many as wait for it."""

    text: str
    name: bytes
    answer: asyncio.Future[tuple[Finding, ...]]
    waiters: int = 0


class Detection:
    """Finds entities in texts. `make` builds the detector inside a worker process."""

    def __init__(
        self, make: Callable[[], Detector], version: str, *, workers: int = 1, seconds_max: float = SECONDS_MAX,
        waiting_max: int = WAITING_MAX,
    ) -> None:  # fmt: skip
        self.version = version
        self._seconds_max = seconds_max
        self._waiting_max = waiting_max
        self._make = make
        self._find: Callable[[tuple[str, ...]], list[tuple[Finding, ...]]] = _find
        self._workers = workers
        self._pool: Executor | None = None
        self._begun = False
        self._loaded = False
        self._calls: deque[deque[_Look]] = deque()
        self._serving: set[asyncio.Task[None]] = set()
        # keyed, so that what is remembered of a text is nothing without this process
        self._key = secrets.token_bytes(32)
        self._keys: dict[str, bytes] = {}
        self._cache: OrderedDict[bytes, tuple[Finding, ...]] = OrderedDict()
        self._cached_bytes = 0
        self._under_way: dict[bytes, _Look] = {}

    @classmethod
    def in_process(cls, detector: Detector, version: str) -> Self:
        """Return a detection that asks `detector` in a thread of this process: for tests without a model."""
        found = cls(lambda: detector, version)
        found._find = detector.find
        found._pool = ThreadPoolExecutor(1)
        found._begun = found._loaded = True
        return found

    async def start(self) -> None:
        """Start the workers and wait until they hold the model. Raises `DetectionError`."""
        self._begin()
        await self._load()

    @asynccontextmanager
    async def loading(self, *, early: bool) -> AsyncGenerator[None]:
        """Start beside what happens inside the block, ready at its end; not `early`: when the first text comes.

        Raises `DetectionError`.
        """
        if not early:
            yield
            return
        starting = asyncio.create_task(self.start())
        try:
            yield
            await starting
        except BaseException:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """End the workers; calls still waiting fail."""
        pool, self._pool = self._pool, None
        self._begun = True
        for task in self._serving:
            task.cancel()
        for look in list(self._under_way.values()):
            self._fail(look, DetectionError("detection was stopped"))
        self._calls.clear()
        if pool is not None:
            end_pool(pool)

    async def find(self, texts: Sequence[str], domain: str = "") -> dict[str, tuple[Finding, ...]]:
        """Return the findings of each text. Raises `DetectionError`; never a partial result.

        What one trust domain has had looked at is new in every other: no time tells that somebody sent it before.
        """
        found: dict[str, tuple[Finding, ...]] = {}
        awaited: dict[str, _Look] = {}
        fresh: deque[_Look] = deque()
        key = self._keys.get(domain) or self._keys.setdefault(
            domain, hashlib.blake2b(domain.encode(), key=self._key, digest_size=32).digest()
        )
        for text in dict.fromkeys(texts):
            if not _may_hold(text):
                found[text] = ()
                continue
            name = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=key, digest_size=16).digest()
            if (known := self._cache.get(name)) is not None:
                self._cache.move_to_end(name)
                found[text] = known
                continue
            look = self._under_way.get(name)
            if look is None:
                look = _Look(text, name, asyncio.get_running_loop().create_future())
                fresh.append(look)
            awaited[text] = look
        if awaited:
            if fresh:
                self._enqueue(fresh)
            found |= await self._awaited(awaited)
        return found

    async def _awaited(self, looks: dict[str, _Look]) -> dict[str, tuple[Finding, ...]]:
        for look in looks.values():
            look.waiters += 1
        try:
            async with asyncio.timeout(self._seconds_max):
                # shielded: one caller that leaves takes nothing from the others
                return {text: await asyncio.shield(look.answer) for text, look in looks.items()}
        except TimeoutError:
            raise DetectionError(f"detection took longer than {self._seconds_max:g} s") from None
        finally:
            for look in looks.values():
                look.waiters -= 1

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._pool = self._fresh()

    async def _load(self) -> None:
        """Wait for workers that are new: loading takes seconds, which are no turn of a text's."""
        while not self._loaded:
            pool = self._pool
            await self._ask(("ready?",), _START_SECONDS_MAX)
            self._loaded = pool is self._pool

    def _enqueue(self, looks: deque[_Look]) -> None:
        self._begin()
        if self._pool is None:
            raise DetectionError("detection is not running")
        if len(self._calls) >= self._waiting_max:
            raise DetectionError("too many calls wait for detection")
        self._under_way |= {look.name: look for look in looks}
        self._calls.append(looks)
        if len(self._serving) < self._workers:
            task = asyncio.get_running_loop().create_task(self._serve())
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

    async def _serve(self) -> None:
        while looks := self._turn():
            try:
                await self._load()
                results = await self._ask(tuple(look.text for look in looks), self._seconds_max)
            except DetectionError as error:
                for look in looks:
                    self._fail(look, error)
                continue
            for look, findings in zip(looks, results, strict=True):
                self._remember(look.name, findings)
                self._under_way.pop(look.name, None)
                if not look.answer.done():
                    look.answer.set_result(findings)

    def _turn(self) -> list[_Look]:
        """Return what to look at next: the beginning of the call whose turn it is."""
        taken: list[_Look] = []
        characters = 0
        while self._calls and not taken:
            looks = self._calls.popleft()
            while looks and (not taken or characters + len(looks[0].text) <= TURN_CHARACTERS_MAX):
                look = looks.popleft()
                if look.waiters:
                    taken.append(look)
                    characters += len(look.text)
                else:
                    self._fail(look, DetectionError("nobody waits for it"))
            if looks:
                self._calls.append(looks)
        return taken

    def _fail(self, look: _Look, error: DetectionError) -> None:
        self._under_way.pop(look.name, None)
        if not look.answer.done():
            look.answer.set_exception(error)
            look.answer.exception()  # there may be nobody left to take it

    def _remember(self, name: bytes, findings: tuple[Finding, ...]) -> None:
        self._cache[name] = findings
        self._cached_bytes += _ENTRY_BYTES + _FINDING_BYTES * len(findings)
        while len(self._cache) > CACHED_TEXTS_MAX or self._cached_bytes > CACHED_BYTES_MAX:
            _, old = self._cache.popitem(last=False)
            self._cached_bytes -= _ENTRY_BYTES + _FINDING_BYTES * len(old)

    async def _ask(self, texts: tuple[str, ...], seconds_max: float) -> list[tuple[Finding, ...]]:
        pool = self._pool
        if pool is None:
            raise DetectionError("detection is not running")
        try:
            async with asyncio.timeout(seconds_max):
                found = await asyncio.get_running_loop().run_in_executor(pool, self._find, texts)
        except TimeoutError:
            self._replace(pool)
            raise DetectionError(f"a detection worker took longer than {seconds_max:g} s") from None
        except BrokenProcessPool:
            self._replace(pool)
            raise DetectionError("a detection worker died or could not start") from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise DetectionError("a detection worker was replaced") from None
        except DetectionError:
            raise
        except Exception:  # noqa: BLE001 - the end of the worker's line; what it says may hold the text
            raise DetectionError("detection failed") from None
        if len(found) != len(texts):
            raise DetectionError("detection left a text out")
        return found

    def _replace(self, pool: Executor) -> None:
        if self._pool is pool:
            end_pool(pool)
            self._pool = self._fresh()
            self._loaded = False

    def _fresh(self) -> ProcessPoolExecutor:
        # spawned, not forked: a fork would copy the journal's threads and locks in whatever state they are
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._workers, mp_context=context, initializer=_begin, initargs=(self._make,))


def _may_hold(text: str) -> bool:
    return _MAY_HOLD.search(text) is not None and not (len(text) < _DIGITS_MIN and text.isdigit())


class _Worker:
    detector: Detector | None = None


def _begin(make: Callable[[], Detector]) -> None:
    begin_apart(niceness=0)  # calls wait for it
    _Worker.detector = make()


def _find(texts: tuple[str, ...]) -> list[tuple[Finding, ...]]:
    if _Worker.detector is None:
        raise DetectionError("the worker holds no detector")
    try:
        return _Worker.detector.find(texts)
    except DetectionError as error:
        raise DetectionError(str(error)) from None
    except Exception:  # noqa: BLE001 - the worker's outermost handler: a traceback would carry the text out of it
        raise DetectionError("a recognizer failed") from None
