"""What a gateway adds to a streamed answer: Oncegate and nginx before the same paced upstream, in one run.

`python -m benchmarks.stream [rounds]`. The upstream writes 104 events 4 ms apart, as a model does, to one caller and
to 16 that begin at the same moment; redaction is off, the journal `NORMAL`. `first` is the p50 to the first byte,
`added` that minus the direct one of the same round; CPU is the process tree's time for each event, what the call's
beginning and end cost included. Medians over interleaved rounds.
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
#: Calls by the number of callers.
CALLS = {1: 12, 16: 160}
PAUSE_MILLISECONDS = 4.0
WORK = Workload("chat stream", "/v1/chat/completions", chat(resent, stream=True))


async def main(rounds: int) -> list[dict[str, object]]:
    """Measure and print; returns the rows."""
    rows: list[dict[str, object]] = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="oncegate-bench-")))
        parts = Set(synchronous="NORMAL", profile="off", pause_milliseconds=PAUSE_MILLISECONDS)
        stack.callback(parts.close)
        ways: dict[str, tuple[int, int]] = {"direct": (parts.upstream, 0), "oncegate": (parts.listen, parts.pid)}
        if NGINX_PROGRAM is None:
            print("nginx is not here, so its row is missing: install it to compare with a plain proxy")
        else:
            port = stack.enter_context(nginx(NGINX_PROGRAM, f"http://127.0.0.1:{parts.upstream}", folder))
            ways["nginx"] = (port, int((folder / "nginx.pid").read_text(encoding="utf-8")))
        print(f"{PLAIN}, {len(CHUNKS)} events {PAUSE_MILLISECONDS:g} ms apart")
        print(f"{'way':12} {'callers':>7} {'first ms':>9} {'added ms':>9} {'CPU us/event':>13}")
        for callers, calls in CALLS.items():
            found = await compared(ways, parts.token, callers, calls, rounds)
            for name, figures in found.items():
                first, added, cpu = (median(column) for column in zip(*figures, strict=True))
                rows.append({"way": name, "callers": callers, "first": first, "added": added, "cpu_us": cpu})
                print(f"{name:12} {callers:7} {first:9.3f} {added:9.3f} {cpu:13.1f}", flush=True)
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
