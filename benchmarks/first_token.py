"""How much later the first token of a stream arrives because of redaction, in one run: direct, off, on.

`python -m benchmarks.first_token [calls]`: so many, or as many as two minutes allow. The upstream writes prose never
seen before, four characters every 10 ms (100 tokens a second), sentences with and without names and numbers. Redaction
holds text back to the end of its segment (a sentence), so what is added is mostly the model's own time to write the
first sentence; `text` is the length of what arrives first. One caller, the three ways in turns, journal `NORMAL`;
milliseconds.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple, cast

import httpx

from benchmarks.run import Set, p

CALLS = 40
#: The first calls of each way are not counted.
WARM_UP = 3
#: Whatever the machine has to do besides, this much of it; at least so many calls count.
SECONDS_MAX = 120.0
CALLS_MIN = 10
PAUSE_MILLISECONDS = 10.0


class Heard(NamedTuple):
    first: float
    last: float
    characters: int


def hear(client: httpx.Client, url: str, token: str, number: int) -> Heard:
    """Return when the first and the last text of an answer arrived, and how long the first was."""
    body = {"model": "mock", "stream": True, "messages": [{"role": "user", "content": f"Tell me of number {number}."}]}
    begun, first, last, characters = time.perf_counter(), 0.0, 0.0, 0
    headers = {"authorization": f"Bearer {token}"}
    with client.stream("POST", f"{url}/v1/chat/completions", json=body, headers=headers) as answer:
        if not answer.is_success:
            raise RuntimeError(f"{url}: {answer.status_code} {answer.read().decode()[:500]}")
        for line in answer.iter_lines():
            if not line.startswith("data: {"):
                continue
            choices = cast("list[dict[str, dict[str, str]]]", json.loads(line[6:])["choices"])
            if text := choices[0]["delta"].get("content"):
                last = (time.perf_counter() - begun) * 1000
                first, characters = first or last, characters or len(text)
    if not characters:
        raise RuntimeError(f"{url}: an answer without a text")
    return Heard(first, last, characters)


def main(calls: int) -> None:
    plain = Set(synchronous="NORMAL", profile="off", pause_milliseconds=PAUSE_MILLISECONDS, mock="talking_upstream")
    redacting = Set(
        synchronous="NORMAL", profile="standard", pause_milliseconds=PAUSE_MILLISECONDS, mock="talking_upstream"
    )
    ways = {
        "direct": (f"http://127.0.0.1:{plain.upstream}", plain.token),
        "redaction off": (f"http://127.0.0.1:{plain.listen}", plain.token),
        "redaction on": (f"http://127.0.0.1:{redacting.listen}", redacting.token),
    }
    heard: dict[str, list[Heard]] = {name: [] for name in ways}
    try:
        with httpx.Client(timeout=60) as client:
            until = time.monotonic() + SECONDS_MAX
            for number in range(calls + WARM_UP):
                if time.monotonic() > until and number >= CALLS_MIN + WARM_UP:
                    break
                for name, (url, token) in ways.items():
                    got = hear(client, url, token, number)
                    if number >= WARM_UP:
                        heard[name].append(got)
    finally:
        plain.close()
        redacting.close()
    base = median(one.first for one in heard["direct"])
    print(f"{'way':14} {'added p50':>10} {'added p95':>10} {'text':>6} {'last token added p50':>21}")
    rows: list[dict[str, object]] = []
    for name, found in heard.items():
        added = [one.first - base for one in found]
        late = median(one.last for one in found) - median(one.last for one in heard["direct"])
        row: dict[str, object] = {
            "way": name, "p50": p(added, 50), "p95": p(added, 95), "text": median(one.characters for one in found),
            "last": late,
        }  # fmt: skip
        rows.append(row)
        print(f"{name:14} {row['p50']:10.1f} {row['p95']:10.1f} {row['text']:6.0f} {late:21.1f}", flush=True)
    Path(".build").mkdir(exist_ok=True)
    Path(".build/bench-first-token.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(f"{len(heard['direct'])} calls each way, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else CALLS)
