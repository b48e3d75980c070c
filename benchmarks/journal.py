"""What the journal adds to a call: `python -m benchmarks.journal [folder]` prints milliseconds and calls a second.

A call is `begin` and `settle` with a 2 KiB request, a 4 KiB outcome and two audit records; the upstream
is nothing, so every figure is pure overhead. The raw flush of the same disk stands beside it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Literal, cast

import uvloop

from durable.seal import Keyring
from durable.sqlite import open_sqlite
from durable.step import Began, Intent, Outcome, Owner, RunRef, Settlement, Step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from durable.store import Store

ALONE = 400
TOGETHER = 32
TOGETHER_CALLS = 12_000
REPLAYS = 5_000
ROUNDS = 3
OWNER = Owner("acme", "billing")
AUDIT = (
    {"event": "decision", "resource": "mcp/payments/tool/charge_card", "action": "call", "effect": "allow",
     "principal": "agent:acme/billing", "rule": "policies/rules.csv:4", "request": "ab" * 32},
)  # fmt: skip
OUTCOME = Outcome(form="result", status=200, media="application/json", body=b"o" * 4096)


def intent_of(run: RunRef, name: str) -> Intent:
    step = Step(
        owner=OWNER, run=run, key=name, fingerprint=name.encode().ljust(32, b"."), kind="tool",
        resource="mcp/payments/tool/charge_card", action="call", effect="once",
    )  # fmt: skip
    return Intent(step=step, request=b"r" * 2048, audit=AUDIT)


async def call(journal: Store, intent: Intent, outcome: Outcome = OUTCOME) -> None:
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


async def measure(path: Path, synchronous: Literal["FULL", "NORMAL"]) -> str:
    journal = await open_sqlite(path, keyring=Keyring((bytes(32),)), synchronous=synchronous)
    run = RunRef((await journal.open_run(OWNER, None, {})).id, 1)
    alone = await times_of(lambda number: call(journal, intent_of(run, f"alone-{number}")), ALONE)
    step = intent_of(run, "alone-0").step
    replay = await times_of(lambda _: journal.look_up(step), REPLAYS)
    big = Outcome(form="body", status=200, media="application/json", body=os.urandom(1 << 20))
    large = await times_of(lambda number: call(journal, intent_of(run, f"large-{number}"), big), 30)
    together: list[float] = []

    async def caller(number: int) -> None:
        together.extend(
            await times_of(lambda one: call(journal, intent_of(run, f"{number}-{one}")), TOGETHER_CALLS // TOGETHER)
        )

    start, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller(number) for number in range(TOGETHER)))
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    wal = path.with_name(path.name + "-wal").stat().st_size / (1 << 20)
    await journal.aclose()
    return (
        f"{synchronous:6} alone p50 {median(alone):.2f} ms | "
        f"{TOGETHER} callers {TOGETHER_CALLS / seconds:,.0f} calls/s, "
        f"p99 {quantiles(together, n=100)[98]:.1f} ms, CPU {cpu / TOGETHER_CALLS * 1000:.3f} ms/call | "
        f"replay {median(replay):.4f} ms | 1 MiB outcome {median(large):.1f} ms | WAL {wal:.0f} MiB"
    )  # fmt: skip


def main() -> None:
    place = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory(dir=place) as name:
        folder = Path(name)
        print(f"flush of 4 KiB on this disk: {flush_milliseconds(folder):.3f} ms")
        for number in range(ROUNDS):
            for synchronous in ("FULL", "NORMAL"):
                print(uvloop.run(measure(folder / f"{synchronous}-{number}.db", synchronous)), flush=True)


if __name__ == "__main__":
    main()
