"""What a gateway adds to a streamed answer: Oncegate and nginx before the same upstream, in one run.

`python -m benchmarks.stream [rounds]`. The upstream writes events 4 ms apart, as a model does (`paced`), one by one as
fast as it can (`burst`), or all in one piece (`at once`), to one caller and to 16 that begin at the same moment;
redaction is off, the journal `NORMAL`. `first` is the p50 to the first byte, `added` that minus the direct one of the
same round; CPU is the process tree's. An `event` of a stream of 103 carries its part of what the call's beginning
and end cost; a `further` one is what each costs by which a stream of 603 is longer. `x nginx` are the ratios to
nginx's of the same round. Medians over interleaved rounds.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import uvloop

from benchmarks.load import measure
from benchmarks.mcp import NGINX_PROGRAM, nginx
from benchmarks.mock_upstream import chunks
from benchmarks.run import PLAIN, Set, Workload, chat, p, request_of, resent, tree_cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 3
#: Milliseconds between two events, and calls by the number of callers.
WAYS_OF_WRITING: dict[str, tuple[float | None, dict[int, int]]] = {
    "paced": (4.0, {1: 8, 16: 96}), "burst": (0.0, {1: 60, 16: 240}), "at once": (None, {1: 100, 16: 320}),
}  # fmt: skip
SHORT, LONG = 100, 600
LINE = (
    "{writing:8} {way:10} {callers:7} {first:9.3f} {added:9.3f} {event:8.1f} {event_to_nginx:8.1f} "
    "{further:8.1f} {further_to_nginx:8.1f}"
)


def work(deltas: int) -> Workload:
    """Return the request of a stream with so many pieces of text."""
    plain = chat(resent, stream=True)

    def body(number: int) -> dict[str, object]:
        return {**plain(number), "max_tokens": deltas}

    return Workload("chat stream", "/v1/chat/completions", body)


class Found(NamedTuple):
    """One way in one round: milliseconds to the first byte and those added, microseconds of CPU."""

    first: float
    added: float
    event: float
    further: float


async def main(rounds: int) -> list[dict[str, object]]:
    """Measure and print; returns the rows."""
    if NGINX_PROGRAM is None:
        print("nginx is not here, so its row is missing: install it to compare with a plain proxy")
    print(f"{PLAIN}, {len(chunks(SHORT))} and {len(chunks(LONG))} events; CPU in microseconds")
    print(f"{'writing':8} {'way':10} {'callers':>7} {'first ms':>9} {'added ms':>9} {'event':>8} {'x nginx':>8} "
          f"{'further':>8} {'x nginx':>8}")  # fmt: skip
    rows: list[dict[str, object]] = []
    for writing, (pause, calls_of) in WAYS_OF_WRITING.items():
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="oncegate-bench-")))
            parts = Set(synchronous="NORMAL", profile="off", pause_milliseconds=pause)
            stack.callback(parts.close)
            ways: dict[str, tuple[int, int]] = {"direct": (parts.upstream, 0), "oncegate": (parts.listen, parts.pid)}
            if NGINX_PROGRAM is not None:
                port = stack.enter_context(nginx(NGINX_PROGRAM, f"http://127.0.0.1:{parts.upstream}", folder))
                ways["nginx"] = (port, int((folder / "nginx.pid").read_text(encoding="utf-8")))
            for callers, calls in calls_of.items():
                found = await compared(ways, parts.token, callers, calls, rounds)
                rows += [{"writing": writing, "callers": callers, **row} for row in shown_of(found)]
                for row in rows[-len(found) :]:
                    print(LINE.format(**row), flush=True)
    return rows


def shown_of(found: dict[str, list[Found]]) -> list[dict[str, object]]:
    """Return the medians of each way, with the medians of its rounds' ratios to nginx (0 without one)."""
    rows: list[dict[str, object]] = []
    for name, rounds in found.items():
        row: dict[str, object] = {"way": name}
        for at, figure in enumerate(Found._fields):
            row[figure] = median(one[at] for one in rounds)
            pairs = zip(rounds, found.get("nginx", ()), strict=False)
            ratios = [own[at] / other[at] for own, other in pairs if other[at] > 0]
            row[f"{figure}_to_nginx"] = median(ratios) if ratios else 0.0
        rows.append(row)
    return rows


async def compared(
    ways: dict[str, tuple[int, int]], token: str, callers: int, calls: int, rounds: int
) -> dict[str, list[Found]]:
    """Return what each way took in each round; the first one, not among them, warms up."""
    found: dict[str, list[Found]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        direct = 0.0
        for name, (port, pid) in ways.items():
            offset = (number + 1) * 100_000 + callers * 1000
            first, short = await streamed(port, pid, request_of(work(SHORT), work(SHORT).path, token, offset),
                                          callers, calls)  # fmt: skip
            _, long = await streamed(port, pid, request_of(work(LONG), work(LONG).path, token, offset),
                                     callers, max(callers, calls // 3))  # fmt: skip
            direct = first if name == "direct" else direct
            if number:
                further = (long - short) / (LONG - SHORT)
                found[name].append(Found(first, first - direct, short / len(chunks(SHORT)), further))
    return found


async def streamed(
    port: int, pid: int, request: Callable[[int], bytes], callers: int, calls: int
) -> tuple[float, float]:
    """Return milliseconds to the first byte (p50) and microseconds of CPU a call; none of no process."""
    before = tree_cpu_seconds(pid) if pid else 0.0
    got = await measure(port, request, callers=callers, calls=calls)
    return p(got.first, 50), (tree_cpu_seconds(pid) - before if pid else 0.0) / calls * 1e6


if __name__ == "__main__":
    shown = uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))
    Path(".build").mkdir(exist_ok=True)
    Path(".build/bench-stream.json").write_text(json.dumps(shown, indent=1), encoding="utf-8")
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
    print(f"milliseconds; medians of rounds; {load}; .build/bench-stream.json")
