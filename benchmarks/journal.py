"""What the journal adds to a call, on both stores: `python -m benchmarks.journal [folder] [rows ...]`.

A call is `begin` and `settle` with a 2 KiB request, a 4 KiB outcome and two audit records; the upstream is
nothing, and "no journal" is the same callers with nothing between. Milliseconds are medians of rounds in
turn. `rows` are calls that stand in the journal before (1000, 100000 and 1000000 unless given): the cost
must not grow with them. PostgreSQL is a private cluster on this disk, flushing as it comes
(`synchronous_commit = on`); the raw flush of the same disk stands beside it all.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Literal, cast

import uvloop

from durable.postgres import open_postgres
from durable.seal import Keyring
from durable.sqlite import open_sqlite
from durable.step import Began, Intent, Outcome, Owner, RunRef, Settlement, Step
from tests.contracts.cluster import PostgresMissing, private_cluster

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator

    from durable.store import Store

    Opening = Callable[[], Coroutine[object, object, Store]]

ALONE = 400
TOGETHER = 32
TOGETHER_CALLS = 8_000
REPLAYS = 5_000
LARGE = 40
ROUNDS = 3
ROWS = (1_000, 100_000, 1_000_000)
#: callers that fill a journal
FILLERS = 256
OWNER = Owner("acme", "billing")
KEYRING = Keyring((bytes(32),))
RESOURCE = "mcp/payments/tool/charge_card"
AUDIT = (
    {"event": "decision", "resource": RESOURCE, "action": "call", "effect": "allow",
     "principal": "agent:acme/billing", "rule": "policies/rules.csv:4", "request": "ab" * 32},
)  # fmt: skip
OUTCOME = Outcome(form="result", status=200, media="application/json", body=b"o" * 4096)
SMALL = Outcome(form="result", status=200, media="application/json", body=b"o" * 64)


@dataclass(frozen=True, slots=True)
class Measured:
    """Milliseconds, but for calls a second."""

    alone: float
    together: float
    together_p99: float
    calls_per_second: float
    cpu: float
    replay: float
    kib_64: float
    mib_1: float

    @staticmethod
    def middle(rounds: list[Measured]) -> Measured:
        """Return the median of each figure."""
        names = Measured.__dataclass_fields__
        return Measured(**{name: median(cast("float", getattr(one, name)) for one in rounds) for name in names})


def intent_of(run: RunRef, name: str, request: bytes = b"r" * 2048) -> Intent:
    step = Step(
        owner=OWNER, run=run, key=name, fingerprint=name.encode().ljust(32, b"."), kind="tool",
        resource=RESOURCE, action="call", effect="once",
    )  # fmt: skip
    return Intent(step=step, request=request, audit=AUDIT)


async def call(journal: Store | None, intent: Intent, outcome: Outcome = OUTCOME) -> None:
    """Make one call; without a journal, nothing but its values."""
    if journal is None:
        await asyncio.sleep(0)
        return
    began = cast("Began", await journal.begin(intent))
    await journal.settle(began, Settlement(outcome=outcome, audit=AUDIT))


async def times_of(action: Callable[[int], Awaitable[object]], count: int) -> list[float]:
    found: list[float] = []
    for number in range(count):
        start = time.perf_counter()
        await action(number)
        found.append((time.perf_counter() - start) * 1000)
    return found


def flush_milliseconds(folder: Path) -> float:
    descriptor = os.open(folder / "flush", os.O_RDWR | os.O_CREAT)
    found: list[float] = []
    for _ in range(200):
        start = time.perf_counter()
        os.pwrite(descriptor, b"f" * 4096, 0)
        os.fdatasync(descriptor)
        found.append((time.perf_counter() - start) * 1000)
    os.close(descriptor)
    return median(found)


async def measure(journal: Store | None, name: str) -> Measured:
    """Measure one round in a run of its own."""
    run = RunRef("none" if journal is None else (await journal.open_run(OWNER, None, {})).id, 1)
    alone = await times_of(lambda one: call(journal, intent_of(run, f"{name}-alone-{one}")), ALONE)
    sizes: list[list[float]] = []
    for size in (1 << 16, 1 << 20):
        large = Outcome(form="body", status=200, media="application/json", body=os.urandom(size))
        named = f"{name}-{size}"
        sizes.append(await times_of(large_call(journal, run, named, large), LARGE))
    replay = [0.0]
    if journal is not None:
        step = intent_of(run, f"{name}-alone-0").step
        replay = await times_of(lambda _: journal.look_up(step), REPLAYS)
    together: list[float] = []

    async def caller(number: int) -> None:
        named = f"{name}-{number}"
        together.extend(
            await times_of(lambda one: call(journal, intent_of(run, f"{named}-{one}")), TOGETHER_CALLS // TOGETHER)
        )

    start, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller(number) for number in range(TOGETHER)))
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return Measured(
        alone=median(alone), together=median(together), together_p99=quantiles(together, n=100)[98],
        calls_per_second=TOGETHER_CALLS / seconds, cpu=cpu / TOGETHER_CALLS * 1000, replay=median(replay),
        kib_64=median(sizes[0]), mib_1=median(sizes[1]),
    )  # fmt: skip


def large_call(journal: Store | None, run: RunRef, name: str, outcome: Outcome) -> Callable[[int], Awaitable[None]]:
    """Return what makes one call with a large outcome."""
    return lambda number: call(journal, intent_of(run, f"{name}-{number}"), outcome)


async def fill(journal: Store, rows: int, name: str) -> None:
    """Write `rows` calls, in runs of a thousand, as traffic does."""
    numbers = iter(range(rows))
    runs = [RunRef((await journal.open_run(OWNER, None, {})).id, 1) for _ in range(max(1, rows // 1000))]

    async def caller() -> None:
        for number in numbers:
            await call(journal, intent_of(runs[number % len(runs)], f"{name}-{number}", b"r" * 64), SMALL)

    await asyncio.gather(*(caller() for _ in range(FILLERS)))


async def compare(stores: dict[str, Opening | None]) -> dict[str, Measured]:
    """Measure each store in turn, several rounds; none disturbs another's."""
    found: dict[str, list[Measured]] = {}
    for number in range(ROUNDS):
        for store, opening in stores.items():
            journal = None if opening is None else await opening()
            found.setdefault(store, []).append(await measure(journal, f"{store}-{number}-{time.time_ns()}"))
            if journal is not None:
                await journal.aclose()
    return {store: Measured.middle(rounds) for store, rounds in found.items()}


def show(title: str, found: dict[str, Measured]) -> None:
    print(f"\n{title}")
    print(
        f"{'':16}{'1 caller':>10}{f'{TOGETHER} callers':>12}{'p99':>9}{'calls/s':>10}{'CPU':>8}"
        f"{'replay':>9}{'64 KiB':>9}{'1 MiB':>9}"
    )
    for store, one in found.items():
        print(
            f"{store:16}{one.alone:10.3f}{one.together:12.3f}{one.together_p99:9.2f}{one.calls_per_second:10,.0f}"
            f"{one.cpu:8.3f}{one.replay:9.4f}{one.kib_64:9.3f}{one.mib_1:9.2f}",
            flush=True,
        )


@contextmanager
def stores_in(folder: Path) -> Generator[dict[str, Opening | None]]:
    """Give every kind of store, empty."""

    def file(name: str, synchronous: Literal["FULL", "NORMAL"]) -> Opening:
        return lambda: open_sqlite(folder / f"{name}.db", keyring=KEYRING, synchronous=synchronous)

    stores: dict[str, Opening | None] = {
        "no journal": None, "SQLite FULL": file("full", "FULL"), "SQLite NORMAL": file("normal", "NORMAL"),
    }  # fmt: skip
    place = folder / "cluster"
    place.mkdir()
    try:
        with private_cluster(place) as cluster:
            url = cluster.create("bench")
            yield stores | {"PostgreSQL": lambda: open_postgres(url, keyring=KEYRING)}
    except PostgresMissing as missing:
        print(f"without PostgreSQL: {missing}")
        yield stores


async def main(folder: Path, rows: list[int]) -> None:
    """Measure the stores empty, then with more and more rows."""
    with stores_in(folder) as stores:
        show("milliseconds; empty journals", await compare(stores))
        standing = 0
        for wanted in rows:
            for store, opening in stores.items():
                if opening is not None:
                    journal = await opening()
                    await fill(journal, wanted - standing, f"{store}-{wanted}")
                    await journal.aclose()
            standing = wanted
            show(f"milliseconds; {wanted:,} calls stand in each journal", await compare(stores))


if __name__ == "__main__":
    # not the first argument's own folder: another account may run the database in it
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as made:
        Path(made).chmod(0o755)
        print(f"flush of 4 KiB on this disk: {flush_milliseconds(Path(made)):.3f} ms; load {os.getloadavg()[0]:.1f}")
        uvloop.run(main(Path(made), [int(one) for one in sys.argv[2:]] or list(ROWS)))
