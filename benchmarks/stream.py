"""What a gateway adds to a streamed answer: Oncegate and nginx before the same upstream, in one run.

`python -m benchmarks.stream [rounds]`. The upstream writes 103 events 4 ms apart, as a model does (`paced`), or one by
one as fast as it can (`burst`), to one caller, to two, and to 16 that begin at the same moment; redaction is off, the
journal `NORMAL`. `first` is the p50 to the first byte, `added` that minus the direct one of the same round; CPU is the
process tree's time for each event, what the call's beginning and end cost included, and `x nginx` its ratio to nginx's
of the same round. Medians over interleaved rounds.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median

import uvloop

from benchmarks.load import measure
from benchmarks.mcp import NGINX_PROGRAM, nginx
from benchmarks.mock_upstream import CHUNKS
from benchmarks.run import PLAIN, Set, Workload, chat, p, request_of, resent, tree_cpu_seconds

ROUNDS = 3
#: Milliseconds between two events, and calls by the number of callers.
WAYS_OF_WRITING = {"paced": (4.0, {1: 12, 2: 16, 16: 160}), "burst": (0.0, {1: 60, 2: 60, 16: 240})}
WORK = Workload("chat stream", "/v1/chat/completions", chat(resent, stream=True))


async def main(rounds: int) -> list[dict[str, object]]:
    """Measure and print; returns the rows."""
    if NGINX_PROGRAM is None:
        print("nginx is not here, so its row is missing: install it to compare with a plain proxy")
    print(f"{PLAIN}, {len(CHUNKS)} events")
    print(
        f"{'writing':8} {'way':10} {'callers':>7} {'first ms':>9} {'added ms':>9} {'CPU us/event':>13} {'x nginx':>8}"
    )
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
                    print("{writing:8} {way:10} {callers:7} {first:9.3f} {added:9.3f} {cpu_us:13.1f} "
                          "{to_nginx:8.1f}".format(**row), flush=True)  # fmt: skip
    return rows


def shown_of(found: dict[str, list[tuple[float, float, float]]]) -> list[dict[str, object]]:
    """Return the medians of each way, with the median of its rounds' ratios to nginx (0 without one)."""
    rows: list[dict[str, object]] = []
    for name, figures in found.items():
        first, added, cpu = (median(column) for column in zip(*figures, strict=True))
        ratios = [own[2] / other[2] for own, other in zip(figures, found.get("nginx", ()), strict=False) if other[2]]
        ratio = median(ratios) if ratios else 0.0
        rows.append({"way": name, "first": first, "added": added, "cpu_us": cpu, "to_nginx": ratio})
    return rows


async def compared(
    ways: dict[str, tuple[int, int]], token: str, callers: int, calls: int, rounds: int
) -> dict[str, list[tuple[float, float, float]]]:
    """Return for each way and round: milliseconds to the first byte, those added, microseconds of CPU an event."""
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        direct = 0.0
        for name, (port, pid) in ways.items():
            request = request_of(WORK, WORK.path, token, (number + 1) * 100_000 + callers * 1000)
            before = tree_cpu_seconds(pid) if pid else 0.0
            got = await measure(port, request, callers=callers, calls=calls)
            cpu = (tree_cpu_seconds(pid) - before if pid else 0.0) / (calls * len(CHUNKS)) * 1e6
            first = p(got.first, 50)
            direct = first if name == "direct" else direct
            if number:  # the first round warms up
                found[name].append((first, first - direct, cpu))
    return found


if __name__ == "__main__":
    shown = uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))
    Path(".build").mkdir(exist_ok=True)
    Path(".build/bench-stream.json").write_text(json.dumps(shown, indent=1), encoding="utf-8")
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
    print(f"milliseconds; medians of rounds; {load}; .build/bench-stream.json")
