"""What a gateway adds to an MCP `tools/call`: Oncegate, FastMCP's proxy and nginx before the same server, in one run.

`python -m benchmarks.mcp [rounds]`, before two servers: the tests' fixture (the official SDK, Python), which uses as
much CPU as a gateway does, and a quick one, before which a gateway's own cost shows. FastMCP is installed into
`.build/fastmcp` the first time; nginx is measured where it is on PATH. `added` is p50 minus the direct p50 of the
same round, the median over rounds; rounds are interleaved. Oncegate decides, journals and audits each call (FULL: each
call is flushed to disk twice). `direct, idle` asks with 4 ms between calls: a server behind any gateway is asked as
seldom as that, and a process that was idle answers slower than one that was not.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import uvloop

from benchmarks.load import measure
from benchmarks.run import p
from tests.mcp.stand import process, stand
from tests.mcp.wire import called, headers_for
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

ROUNDS = 3
CALLS = {1: 200, 16: 800}
#: Tens of milliseconds each.
CALLS_SLOW = {1: 30, 16: 96}
FASTMCP = "fastmcp==4.1.2"
POLICY = "".join(
    f"p, role:any, *, mcp/{name}, list, -, allow, -\np, role:any, *, mcp/{name}/**, *, -, allow, redact=off\n"
    for name in ("everything", "quick")
)
#: Debian's is in a folder that is not on everybody's PATH.
NGINX_PROGRAM = shutil.which("nginx", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin")))
PROXY = """import sys; from fastmcp.server import create_proxy
create_proxy(sys.argv[1]).run(transport="http", host="127.0.0.1", port=int(sys.argv[2]), show_banner=False)
"""
NGINX = """daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream server {{ server {upstream}; keepalive 64; }}
  server {{ listen 127.0.0.1:{port}; location / {{
    proxy_pass http://server; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_set_header Host $http_host; proxy_buffering off; }} }}
}}
"""


@dataclass(frozen=True)
class Way:
    """How the server is asked: directly, or through what."""

    port: int
    path: str
    calls: dict[int, int] = field(default_factory=lambda: CALLS)
    pause_seconds: float = 0.0


def request_of(port: int, path: str, offset: int) -> Callable[[int], bytes]:
    def request(number: int) -> bytes:
        message: dict[str, Any] = called("echo", {"word": f"w{number + offset}"}, ident=number)
        body = json.dumps(message).encode()
        fields = headers_for(message) | {"host": f"127.0.0.1:{port}", "content-length": str(len(body))}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body

    return request


@contextlib.contextmanager
def fastmcp(direct: str, folder: Path) -> Generator[int]:
    home = Path(".build/fastmcp").resolve()
    if not (home / "bin" / "fastmcp").exists():
        venv.create(home, with_pip=True)
        subprocess.run([home / "bin" / "python", "-m", "pip", "install", "-q", FASTMCP], check=True)
    port = free_port()
    with process([str(home / "bin" / "python"), "-c", PROXY, direct, str(port)], folder / "fastmcp.log"):
        wait(port)
        yield port


@contextlib.contextmanager
def nginx(program: str, direct: str, folder: Path) -> Generator[int]:
    """Run nginx before the server at `direct` until the block ends; gives its port, its pid is in `nginx.pid`."""
    port = free_port()
    authority = direct.removeprefix("http://").partition("/")[0]
    path = folder / "nginx.conf"
    path.write_text(NGINX.format(folder=folder, upstream=authority, port=port), encoding="utf-8")
    with process([program, "-p", str(folder), "-c", str(path)], folder / "nginx.out"):
        wait(port)
        yield port


def wait(port: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"nothing listens on port {port}")


async def main(rounds: int) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="oncegate-bench-")))
        quick = stack.enter_context(mock())
        more = f"  quick: {{url: '{quick}', tools: {{echo: {{effect: once}}}}}}\n"
        tools = "{echo: {effect: once}}"
        stood = stack.enter_context(stand(folder, policy=POLICY, tools=tools, servers=more))
        print(f"{'server':12}{'way':16}{'c':>3} {'p50':>9} {'p99':>9} {'added p50':>10} {'calls/s':>9}")
        if NGINX_PROGRAM is None:
            print("nginx is not here, so its rows are missing: install it to compare with a plain proxy")
        for server, direct in (("everything", stood.direct), ("quick", quick)):
            with contextlib.ExitStack() as these:
                ways = {
                    "direct": Way(port_of(direct), "/mcp"),
                    "direct, idle": Way(port_of(direct), "/mcp", pause_seconds=0.004),
                    "oncegate": Way(port_of(stood.gateway), f"/mcp/{server}"),
                }
                (own := folder / server).mkdir()
                if NGINX_PROGRAM is not None:
                    ways["nginx"] = Way(these.enter_context(nginx(NGINX_PROGRAM, direct, own)), "/mcp")
                ways["fastmcp proxy"] = Way(these.enter_context(fastmcp(direct, own)), "/mcp", calls=CALLS_SLOW)
                for callers in CALLS:
                    for row in await compared(ways, callers, rounds):
                        rows.append({"server": server, "callers": callers, **row})
                        print(f"{server:12}{row['way']:16}{callers:3} {row['p50']:9.3f} {row['p99']:9.3f} "
                              f"{row['added']:10.3f} {row['rate']:9.0f}", flush=True)  # fmt: skip
    return rows


async def compared(ways: dict[str, Way], callers: int, rounds: int) -> list[dict[str, Any]]:
    """Return a row for each way: medians over the rounds."""
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        direct = 0.0
        for name, way in ways.items():
            if way.pause_seconds and callers > 1:
                continue
            request = request_of(way.port, way.path, (number + 1) * 100_000 + callers * 5000)
            got = await measure(
                way.port, request, callers=callers, calls=way.calls[callers], pause_seconds=way.pause_seconds
            )
            half = p(got.whole, 50)
            direct = half if name == "direct" else direct
            if number:  # the first round warms up
                found[name].append((half, p(got.whole, 99), half - direct, got.calls_per_second))
    rows: list[dict[str, Any]] = []
    for name, figures in found.items():
        if figures:
            half, worst, added, rate = (median(column) for column in zip(*figures, strict=True))
            rows.append({"way": name, "p50": half, "p99": worst, "added": added, "rate": rate})
    return rows


@contextlib.contextmanager
def mock() -> Generator[str]:
    """Run the quick server until the block ends; gives its URL."""
    command = [sys.executable, "-m", "benchmarks.mock_upstream"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdin is not None
        assert serving.stdout is not None
        yield f"http://127.0.0.1:{int(serving.stdout.readline())}/mcp"
        serving.stdin.close()


def port_of(url: str) -> int:
    return int(url.removeprefix("http://").partition("/")[0].rpartition(":")[2])


if __name__ == "__main__":
    found = uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))
    load = os.getloadavg()[0]
    Path(".build").mkdir(exist_ok=True)
    result = {"load": load, "processors": os.cpu_count(), "rows": found}
    Path(".build/bench-mcp.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    print(f"milliseconds; medians of rounds; load {load:.1f} on {os.cpu_count()} processors; .build/bench-mcp.json")
