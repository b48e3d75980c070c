"""What watching costs: `python -m benchmarks.watched [rounds]`, on a machine that does nothing else.

First, how fast pages come from a journal of 100,000 calls and 10,000 runs. Then the data path in blocks of about a
second, each way once in every triple and in an order by chance: a gateway nobody looks at; one that exports to a
collector; and the same one while a console is open (its live stream, the page fetched again whenever it says so), the
whole audit is exported over and over and metrics are scraped. Each triple gives ratios; their medians are printed with
95 % intervals by bootstrap, at p50 and in the gateway's processor time a call, which a busy machine moves less.
At most 5 % at p50 is what issue 9 allows; `rounds` bounds the triples (8 minutes where 40 of each kind are enough).
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import httpx
import uvloop

from benchmarks.load import measure
from benchmarks.run import Set, p, request_of, resent, workloads
from durable.stamp import now

if TYPE_CHECKING:
    from collections.abc import Generator

    from benchmarks.run import Workload

ROUNDS = 120
CALLERS = (1, 32)
BLOCK_SECONDS = 1.0
#: For what watching began or ended to be under way.
SETTLE_SECONDS = 0.2
#: It is measured until the interval is no wider than this to either side, in per cent; with triples at least.
RESOLVED = 2.0
LEAST = 30
WAYS = ("plain", "exporting", "watched")
COMPARED = {"export": ("exporting", "plain"), "watching": ("watched", "exporting"), "both": ("watched", "plain")}
KEPT_CALLS, KEPT_RUNS = 100_000, 10_000
SCRAPE_SECONDS = 5.0
PAGES = (
    "/",
    "/calls",
    "/calls?state=in_doubt",
    "/runs",
    "/runs?before=run_9000",
    "/runs/run_5000",
    "/audit",
    "/metrics",
)
ROLES = "\ng, agent:watcher, role:viewer, bench\n"
CALL = (
    'INSERT INTO call (id, place, run, domain, agent, "user", run_attempt, fingerprint, occurrence, step, kind, '
    "resource, action, effect, state, attempt, instance, epoch, digests, milliseconds_max, intent_time, sent_time, "
    "sealed_request) VALUES (?, ?, ?, 'bench', 'bench', '-', 1, ?, 1, ?, 'model', 'model/mock', 'call', 'safe', ?, 1, "
    "'i0', 1, '', 1000, ?, ?, x'00')"
)
RUN = (
    'INSERT INTO run (id, domain, agent, "user", state, attempt, created, updated, details, sealed_keys, kind, labels) '
    "VALUES (?, 'bench', 'bench', '-', 'finished', 1, ?, ?, '{}', x'00', 'open', '[]')"
)


def fill(path: Path) -> None:
    """Put calls and runs into a journal whose gateway does not run."""
    start, each = now() - KEPT_CALLS, KEPT_CALLS // KEPT_RUNS
    with closing(sqlite3.connect(path)) as database:
        database.executemany(RUN, ((f"run_{n}", start + n * each, start + (n + 1) * each) for n in range(KEPT_RUNS)))
        database.executemany(CALL, (
            (f"call_{start + n:013x}{n:016x}", n.to_bytes(8, "big"), f"run_{n // each}", n.to_bytes(8, "big"),
             n % each + 1, "doubt" if n % 1000 == 0 else "done", start + n, start + n)
            for n in range(KEPT_CALLS)
        ))  # fmt: skip
        database.commit()


def show_pages(parts: Set, token: str) -> None:
    """Print how fast pages come, each the first of its kind and then the median of ten."""
    with httpx.Client(base_url=f"http://127.0.0.1:{parts.admin}", headers=bearer(token), timeout=60) as client:
        client.get("/login")  # templates are read
        for path in PAGES:
            taken: list[float] = []
            for _ in range(11):
                begun = time.perf_counter()
                client.get(path).raise_for_status()
                taken.append((time.perf_counter() - begun) * 1000)
            print(f"{path:28} first {taken[0]:8.1f} ms   then {median(taken[1:]):8.1f} ms", flush=True)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


class Watcher:
    """Who watches a gateway, in a process of its own, and stops and begins again when told."""

    def __init__(self, parts: Set, token: str) -> None:
        command = [sys.executable, "-m", "benchmarks.watched", "--watch", str(parts.admin), token]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def say(self, word: str) -> None:
        """Have it watch (`on`) or not (`off`), and return once it does."""
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("pipes were asked for")
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        if self._process.stdout.readline() != f"{word}\n":
            raise RuntimeError("whoever watched has gone")

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)


async def watch(port: int, token: str) -> None:
    """Watch and stop as the lines of standard input say."""
    loop = asyncio.get_running_loop()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=bearer(token), timeout=None) as client:
        looking: asyncio.Task[None] | None = None
        while word := await loop.run_in_executor(None, sys.stdin.readline):
            if looking is not None:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)
                looking = None
            if word == "on\n":
                begun = asyncio.Event()
                looking = asyncio.create_task(_look(client, begun))
                await begun.wait()
            print(word, end="", flush=True)


async def _look(client: httpx.AsyncClient, begun: asyncio.Event) -> None:
    """Keep a console open, export the audit over and over, and scrape metrics."""

    async def console() -> None:
        async with client.stream("GET", "/events") as stream:
            begun.set()
            async for line in stream.aiter_lines():
                if line.startswith("event: changed"):
                    (await client.get("/")).raise_for_status()

    async def export() -> None:
        while True:
            async with client.stream("GET", "/audit/export") as stream:
                async for _ in stream.aiter_bytes():
                    pass

    async def scrape() -> None:
        # blocks are shorter than the time between two scrapes: some have one, as many as there would be
        await asyncio.sleep(random.uniform(0, SCRAPE_SECONDS))
        while True:
            (await client.get("/metrics")).raise_for_status()
            await asyncio.sleep(SCRAPE_SECONDS)

    await asyncio.gather(console(), export(), scrape())


async def collect() -> None:
    """Take whatever an OTLP exporter sends."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
                )
                await reader.readexactly(length)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def collector() -> Generator[int]:
    running = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.watched", "--collect"], stdout=subprocess.PIPE, text=True
    )
    try:
        if running.stdout is None:
            raise AssertionError("a pipe was asked for")
        yield int(running.stdout.readline())
    finally:
        running.terminate()
        running.wait(10)


def watcher_of(parts: Set) -> str:
    """Return the token of somebody who may look, and put the roles into the policies."""
    shipped = (Path(__file__).parents[1] / "policies" / "admin.csv").read_text(encoding="utf-8")
    lines = shipped.replace("g, agent:operator", "# ") + ROLES
    (parts.folder / "policies" / "admin.csv").write_text(lines, encoding="utf-8")
    return parts.oncegate("token", "create", "--agent", "watcher", "--domain", "bench", "--admin").strip().split()[-1]


@dataclass(frozen=True, slots=True)
class Block:
    """About a second of calls: their p50 in milliseconds, and the gateway's processor time a call in microseconds."""

    p50: float
    processor: float


async def block(parts: Set, work: Workload, place: tuple[int, int], calls: int) -> Block:
    """Measure one block; `place` is callers and the number of its first call. Its first tenth is warm-up."""
    callers, first = place
    through = "/mcp/echo" if work.path == "/mcp" else work.path
    before = parts.cpu_seconds()
    found = await measure(parts.listen, request_of(work, through, parts.token, first), callers=callers, calls=calls)
    spent = parts.cpu_seconds() - before
    return Block(p(found.whole[calls // 10 :], 50), 1e6 * spent / calls)


class Sides:
    """A gateway nobody looks at, and one with a collector that is watched at times."""

    def __init__(self, plain: Set, exporting: Set, watcher: Watcher) -> None:
        self._plain, self._exporting, self._watcher = plain, exporting, watcher
        self._number = 0

    async def triple(self, work: Workload, callers: int, calls: int) -> dict[str, Block]:
        """Measure each way once, in an order by chance."""
        ways = list(WAYS)
        random.shuffle(ways)
        found: dict[str, Block] = {}
        for way in ways:
            parts = self._plain if way == "plain" else self._exporting
            self._watcher.say("on" if way == "watched" else "off")
            self._number += calls
            await asyncio.sleep(SETTLE_SECONDS)
            found[way] = await block(parts, work, (callers, self._number), calls)
        self._watcher.say("off")
        return found


def interval(ratios: list[float]) -> tuple[float, float, float]:
    """Return the median of ratios in per cent above one, and its 95 % interval by bootstrap."""
    chance = random.Random(0)
    medians = sorted(median(chance.choices(ratios, k=len(ratios))) for _ in range(2000))
    low, high = medians[50], medians[-51]
    return 100 * (median(ratios) - 1), 100 * (low - 1), 100 * (high - 1)


async def compare(sides: Sides, work: Workload, callers: int, most: int) -> None:
    """Print what export, watching and both cost one kind of call, measured until it is known to `RESOLVED` %."""
    rate = 1000 * callers / (await sides.triple(work, callers, 40 * callers))["plain"].p50
    calls = max(20 * callers, int(rate * BLOCK_SECONDS))
    found: list[dict[str, Block]] = []
    for number in range(1, most + 1):
        found.append(await sides.triple(work, callers, calls))
        if number >= LEAST and number % 10 == 0:
            _, low, high = interval([one["watched"].p50 / one["plain"].p50 for one in found])
            if high - low <= 2 * RESOLVED:
                break
    print(f"{work.name}, {callers} callers, {len(found)} triples of {calls} calls", flush=True)
    for name, (busy, quiet) in COMPARED.items():
        for what in ("p50", "processor"):
            ratios = [getattr(one[busy], what) / getattr(one[quiet], what) for one in found]
            middle, low, high = interval(ratios)
            values = [median(getattr(one[way], what) for one in found) for way in (quiet, busy)]
            unit = "ms" if what == "p50" else "us a call"
            print(
                f"  {name:16}{what:10}{values[0]:9.3f} -> {values[1]:9.3f} {unit:10}{middle:+6.1f} % "
                f"[{low:+.1f}, {high:+.1f}]", flush=True,
            )  # fmt: skip


async def main(most: int) -> None:
    with collector() as port:
        plain = Set(synchronous="NORMAL", profile="off")
        exporting = Set(synchronous="NORMAL", profile="off", more=f"telemetry: {{otlp: 'http://127.0.0.1:{port}'}}\n")
        tokens: list[str] = []
        for parts in (plain, exporting):
            tokens.append(watcher_of(parts))
            parts.stop()
            fill(parts.folder / "bench.db")
            parts.start()
        watcher = Watcher(exporting, tokens[1])
        try:
            show_pages(plain, tokens[0])
            sides = Sides(plain, exporting, watcher)
            for work in workloads(resent)[::2]:  # a chat and a tool
                for callers in CALLERS:
                    await compare(sides, work, callers, most)
        finally:
            watcher.close()
            plain.close()
            exporting.close()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--watch", port, token]:
            asyncio.run(watch(int(port), token))
        case ["--collect"]:
            asyncio.run(collect())
        case rest:
            uvloop.run(main(int(rest[0]) if rest else ROUNDS))
            print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
