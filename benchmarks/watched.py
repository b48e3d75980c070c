"""What watching costs: `python -m benchmarks.watched [rounds]`, on a machine that does nothing else.

First, how fast pages come from a journal of 100,000 calls and 10,000 runs. Then the data path's p50 with nobody
looking and while a console is open (its live stream, the page fetched again whenever it says so), the whole audit
is exported over and over and metrics are scraped, without a collector and with one; rounds interleaved, one run.
At most 5 % at p50 is what issue 9 allows.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import httpx
import uvloop

from benchmarks.load import measure
from benchmarks.run import Set, measure_warm, p, request_of, resent, workloads
from durable.stamp import now

if TYPE_CHECKING:
    from collections.abc import Generator

ROUNDS = 5
CALLS = {1: 1000, 32: 6000}
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


@contextmanager
def watched(parts: Set, token: str) -> Generator[None]:
    """Watch a gateway from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.watched", "--watch", str(parts.admin), token]
    watching = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        if watching.stdout is None or watching.stdout.readline() != "watching\n":
            raise RuntimeError("nobody watches")
        yield
        if watching.poll() is not None:
            raise RuntimeError("whoever watched has gone")
    finally:
        watching.terminate()
        watching.wait(10)


async def watch(port: int, token: str) -> None:
    """Keep a console open, export the audit and scrape metrics until told to stop."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=bearer(token), timeout=None) as client:

        async def console() -> None:
            async with client.stream("GET", "/events") as stream:
                print("watching", flush=True)
                async for line in stream.aiter_lines():
                    if line.startswith("event: changed"):
                        (await client.get("/")).raise_for_status()

        async def export() -> None:
            while True:
                async with client.stream("GET", "/audit/export") as stream:
                    async for _ in stream.aiter_bytes():
                        pass

        async def scrape() -> None:
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


async def compare(parts: Set, token: str, setting: str, rounds: int) -> None:
    """Print the p50 of each kind of call unwatched and watched, and what that costs."""
    for work in workloads(resent)[::2]:  # a chat and a tool
        await measure_warm(parts, work)
        for callers, calls in CALLS.items():
            found: list[tuple[float, float]] = []
            for number in range(rounds):
                through = "/mcp/echo" if work.path == "/mcp" else work.path
                offset = (number + 1) * 1_000_000 + callers * 10_000
                quiet = await measure(
                    parts.listen, request_of(work, through, parts.token, offset), callers=callers, calls=calls
                )
                with watched(parts, token):
                    busy = await measure(
                        parts.listen, request_of(work, through, parts.token, offset + 500_000), callers=callers,
                        calls=calls,
                    )  # fmt: skip
                found.append((p(quiet.whole, 50), p(busy.whole, 50)))
            before, after = median(one for one, _ in found), median(one for _, one in found)
            cost = median(100 * (one[1] / one[0] - 1) for one in found)
            print(
                f"{setting:14}{work.name:12}{callers:3} callers  unwatched {before:7.3f} ms  watched {after:7.3f} ms  "
                f"{cost:+6.1f} %", flush=True,
            )  # fmt: skip


async def main(rounds: int) -> None:
    parts = Set(synchronous="NORMAL", profile="off")
    try:
        token = watcher_of(parts)
        parts.stop()
        fill(parts.folder / "bench.db")
        parts.start()
        show_pages(parts, token)
        await compare(parts, token, "no collector", rounds)
    finally:
        parts.close()
    with collector() as port:
        parts = Set(synchronous="NORMAL", profile="off", more=f"telemetry: {{otlp: 'http://127.0.0.1:{port}'}}\n")
        try:
            token = watcher_of(parts)
            parts.stop()
            parts.start()
            await compare(parts, token, "collector", rounds)
        finally:
            parts.close()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--watch", port, token]:
            asyncio.run(watch(int(port), token))
        case ["--collect"]:
            asyncio.run(collect())
        case rest:
            uvloop.run(main(int(rest[0]) if rest else ROUNDS))
            print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
