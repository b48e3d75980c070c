"""What Oncegate adds to a call, against direct calls in the same run: `python -m benchmarks.run [rounds]`.

One gateway process, one mock upstream, rounds interleaved; identity, policy, journal and audit on. Each
row is the median over rounds: `added` is through the gateway minus direct, `first` the added time to the
first byte (of streams: to the first text), `times` the p50 as a multiple of direct. CPU is the gateway's
process tree, and `CPU x` its multiple of the same call with NORMAL and redaction off; on a busy machine the
last two say more than milliseconds do.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import uvloop

from benchmarks.load import Measured, measure
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 3
CALLS = {1: 300, 32: 2400}
#: Detection of texts never seen takes tens of milliseconds each.
CALLS_INSPECTED = {1: 100, 32: 320}
WORDS = (
    "pay", "the", "invoice", "of", "the", "customer", "in", "the", "north", "before", "the", "end", "of", "the",
    "month", "and", "tell", "the", "team", "about",
)  # fmt: skip

POLICY = """p, agent:bench, bench, model/**, call, -, allow, redact={profile}
p, agent:bench, bench, mcp/echo, list, -, allow, redact={profile}
p, agent:bench, bench, mcp/echo/**, call, -, allow, redact={profile}
"""
CONFIG = """version: 1
listen: 127.0.0.1:{listen}
admin: 127.0.0.1:{admin}
state: sqlite:///bench.db?synchronous={synchronous}
secret_key: file:bench.key
policies: policies
trust_domains: {{bench: {{api_keys_file: keys.yaml}}}}
models: {{mock: {{provider: openai_compatible, url: "http://127.0.0.1:{upstream}/v1", domain: bench}}}}
mcp_servers: {{echo: {{url: "http://127.0.0.1:{upstream}/mcp", domain: bench, tools: {{echo: {{effect: once}}}}}}}}
"""


class Workload(NamedTuple):
    name: str
    path: str
    body: Callable[[int], dict[str, object]]


#: What the CPU of all others is a multiple of.
PLAIN = "NORMAL, redaction off"
WORKS = ("chat plain", "chat stream", "tools/call")


def chat(text: Callable[[int], str], *, stream: bool) -> Callable[[int], dict[str, object]]:
    def body(number: int) -> dict[str, object]:
        message = {"role": "user", "content": text(number)}
        return {"model": "mock", "stream": stream, "messages": [message], "seed": number}

    return body


def tool(text: Callable[[int], str]) -> Callable[[int], dict[str, object]]:
    def body(number: int) -> dict[str, object]:
        params = {"name": "echo", "arguments": {"text": text(number), "number": number}}
        return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}

    return body


def resent(_: int) -> str:
    return (" ".join(WORDS) + ". ") * 8


def fresh(number: int) -> str:
    sentences = [" ".join((*WORDS[(number + place) % 20 :], f"item {number} {place}")) for place in range(8)]
    return ". ".join(sentences) + "."


def workloads(text: Callable[[int], str]) -> list[Workload]:
    return [
        Workload(WORKS[0], "/v1/chat/completions", chat(text, stream=False)),
        Workload(WORKS[1], "/v1/chat/completions", chat(text, stream=True)),
        Workload(WORKS[2], "/mcp", tool(text)),
    ]


def request_of(work: Workload, path: str, token: str, offset: int) -> Callable[[int], bytes]:
    def request(number: int) -> bytes:
        body = json.dumps(work.body(number + offset)).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            f"accept: application/json, text/event-stream\r\nauthorization: Bearer {token}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    return request


class Set:
    """The mock and one gateway with its own folder."""

    def __init__(
        self, *, synchronous: str, profile: str, pause_milliseconds: float | None = None, mock: str = "mock_upstream",
        more: str = "",
    ) -> None:  # fmt: skip
        self.calls = CALLS if profile == "off" else CALLS_INSPECTED
        self.folder = Path(tempfile.mkdtemp(prefix="oncegate-bench-"))
        pause = [] if pause_milliseconds is None else [str(pause_milliseconds)]
        command = [sys.executable, "-m", f"benchmarks.{mock}", *pause]
        self._mock = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self._mock.stdout is None:
            raise AssertionError("a pipe was asked for")
        self.upstream = int(self._mock.stdout.readline())
        self.listen, self.admin = free_port(), free_port()
        values = {"listen": self.listen, "admin": self.admin, "upstream": self.upstream, "synchronous": synchronous}
        (self.folder / "oncegate.yaml").write_text(CONFIG.format(**values) + more, encoding="utf-8")
        policies = self.folder / "policies"
        policies.mkdir()
        (policies / "bench.csv").write_text(POLICY.format(profile=profile), encoding="utf-8")
        shutil.copy(Path(__file__).parents[1] / "policies" / "redaction.yaml", policies)
        key = subprocess.run(["openssl", "rand", "-base64", "32"], capture_output=True, text=True, check=True).stdout
        (self.folder / "bench.key").write_text(key, encoding="utf-8")
        (self.folder / "bench.key").chmod(0o600)
        self.token = self.oncegate("token", "create", "--agent", "bench", "--domain", "bench").strip().split()[-1]
        self.start()

    def start(self) -> None:
        """Serve, and return once it does."""
        self._gateway = subprocess.Popen(
            [sys.executable, "-m", "gateway.cli", "serve", "-c", str(self.folder / "oncegate.yaml")],
            stderr=(self.folder / "gateway.log").open("w"),
        )
        self._wait()

    def stop(self) -> None:
        """Serve no more; the folder stays."""
        self._gateway.terminate()
        self._gateway.wait(20)

    @property
    def pid(self) -> int:
        return self._gateway.pid

    def close(self) -> None:
        self.stop()
        self._mock.terminate()
        shutil.rmtree(self.folder, ignore_errors=True)

    def cpu_seconds(self) -> float:
        """Return user and system time of the gateway and its children."""
        return tree_cpu_seconds(self._gateway.pid)

    def oncegate(self, *words: str) -> str:
        command = [sys.executable, "-m", "gateway.cli", *words, "-c", str(self.folder / "oncegate.yaml")]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def _wait(self) -> None:
        until = time.monotonic() + 180
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.listen}/readyz", timeout=2) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise RuntimeError((self.folder / "gateway.log").read_text(encoding="utf-8"))


class Row(NamedTuple):
    setting: str
    work: str
    callers: int
    direct_p50: float
    added_p50: float
    added_p99: float
    added_first_p50: float
    times_direct: float
    direct_calls_per_second: float
    calls_per_second: float
    cpu_ms: float


async def compare(parts: Set, setting: str, work: Workload, callers: int, rounds: int) -> Row:
    found: list[tuple[float, ...]] = []
    calls = parts.calls[callers]
    through = "/mcp/echo" if work.path == "/mcp" else work.path
    for number in range(rounds):
        # no two workloads or rounds share a text: what was scanned once is not new
        offset = (WORKS.index(work.name) * (rounds + 1) + number + 1) * 100_000 + callers * 3_000
        direct = await measure(parts.upstream, request_of(work, work.path, "-", offset), callers=callers, calls=calls)
        before = parts.cpu_seconds()
        request = request_of(work, through, parts.token, offset)
        gateway = await measure(parts.listen, request, callers=callers, calls=calls)
        cpu = (parts.cpu_seconds() - before) / calls * 1000
        found.append((
            p(direct.whole, 50), p(gateway.whole, 50) - p(direct.whole, 50), p(gateway.whole, 99) - p(direct.whole, 99),
            p(gateway.first, 50) - p(direct.first, 50), p(gateway.whole, 50) / p(direct.whole, 50),
            direct.calls_per_second, gateway.calls_per_second, cpu,
        ))  # fmt: skip
    return Row(setting, work.name, callers, *(median(figures) for figures in zip(*found, strict=True)))


async def main(rounds: int) -> list[Row]:
    settings = [
        (PLAIN, "NORMAL", "off", resent),
        ("FULL, redaction off", "FULL", "off", resent),
        ("NORMAL, redaction on, resent text", "NORMAL", "standard", resent),
        ("NORMAL, redaction on, new text", "NORMAL", "standard", fresh),
    ]
    rows: list[Row] = []
    plain: dict[tuple[str, int], float] = {}
    print(
        f"{'setting':36}{'call':13}{'c':>3} {'direct':>8} {'added p50':>10} {'p99':>8} {'first':>8} {'times':>6} "
        f"{'direct/s':>8} {'calls/s':>8} {'CPU ms':>7} {'CPU x':>6}"
    )
    for setting, synchronous, profile, text in settings:
        parts = Set(synchronous=synchronous, profile=profile)
        try:
            for work in workloads(text):
                for callers in parts.calls:
                    await measure_warm(parts, work)
                    row = await compare(parts, setting, work, callers, rounds)
                    rows.append(row)
                    print(shown(row, plain.setdefault((row.work, callers), row.cpu_ms)), flush=True)
        finally:
            parts.close()
    return rows


def shown(row: Row, plain_cpu_ms: float) -> str:
    figures = f"{row.added_p99:8.3f} {row.added_first_p50:8.3f} {row.times_direct:6.1f}"
    cpu = f"{row.cpu_ms:7.3f} {row.cpu_ms / plain_cpu_ms if plain_cpu_ms else 0:6.2f}"
    return (
        f"{row.setting:36}{row.work:13}{row.callers:3} {row.direct_p50:8.3f} {row.added_p50:10.3f} {figures} "
        f"{row.direct_calls_per_second:8.0f} {row.calls_per_second:8.0f} {cpu}"
    )


async def measure_warm(parts: Set, work: Workload) -> Measured:
    through = "/mcp/echo" if work.path == "/mcp" else work.path
    return await measure(parts.listen, request_of(work, through, parts.token, 0), callers=1, calls=20)


def tree_cpu_seconds(pid: int) -> float:
    """Return user and system time of a process and its children (proc(5))."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
    ticks = 0
    for one in (pid, *(int(child) for child in listed.split())):
        fields = Path(f"/proc/{one}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def p(values: list[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


if __name__ == "__main__":
    found = uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))
    Path(".build").mkdir(exist_ok=True)
    # figures of a busy machine say little about the gateway: the load stands beside them
    load = os.getloadavg()[0]
    result = {"load": load, "processors": os.cpu_count(), "rows": [row._asdict() for row in found]}
    Path(".build/bench.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    print(f"milliseconds; medians of rounds; load {load:.1f} on {os.cpu_count()} processors; .build/bench.json")
