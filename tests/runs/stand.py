"""Real gateway processes, one or two on one journal, with a scripted model, a tool that counts, and agents."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, cast

import httpx

from tests import keys
from tests.mcp.introduced import introduced
from tests.ports import free_port
from tests.serving import oncegate, serve

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Generator

    from tests.serving import Running

TOP = Path(__file__).parents[2]
START_SECONDS_MAX = 120
POLICIES = """p, role:any, acme, model/*, call, -, allow, redact=off
p, role:any, acme, mcp/pay/**, *, -, allow, redact=off
p, role:any, acme, run/*, create, -, allow, redact=off
p, agent:boss, acme, run/careful, create, -, allow, redact=standard;restore=*@agent
"""
_CONFIG = """version: 1
listen: 127.0.0.1:{port}
admin: 127.0.0.1:{admin}
state: {state}
lease: {lease}
secret_key: file:oncegate.key
policies: policies
trust_domains: {{acme: {{api_keys_file: keys.yaml}}}}
models:
  one: {{provider: openai_compatible, url: "{model}", domain: acme, price: {{input: 1000.0, output: 1000.0}}}}
  two: {{provider: openai_compatible, url: "{model}", upstream_model: second, domain: acme}}
mcp_servers:
  pay: {{url: "{tool}", domain: acme, tools: {{look: {{effect: safe}}}}}}
redaction: {{default_profile: "off"}}
{more}"""


class Tool:
    """An MCP server with tools that only count: each call is an effect. `hold` makes the next one wait."""

    def __init__(self) -> None:
        self.effects: list[dict[str, object]] = []
        self.hold: threading.Event | None = None
        self.came = threading.Condition()
        tool = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if (said := introduced(asked, "charge", "look")) is not None:
                    self._say(said)
                    return
                with tool.came:
                    tool.effects.append(asked["params"]["arguments"])
                    number = len(tool.effects)
                    hold, tool.hold = tool.hold, None
                    tool.came.notify_all()
                if hold is not None:
                    hold.wait(60)
                result = {"content": [{"type": "text", "text": f"charge {number}"}]}
                self._say({"jsonrpc": "2.0", "id": asked["id"], "result": result})

            def _say(self, message: dict[str, object]) -> None:
                content = json.dumps(message).encode()
                with contextlib.suppress(OSError):
                    self.send_response(200)
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

            def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - the standard library's name
                del format

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                del request, client_address

        self._server = Quiet(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/mcp"

    def wait_effects(self, number: int, seconds_max: float = 60.0) -> None:
        """Wait until there were that many."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.effects) >= number, seconds_max), self.effects

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Gateway:
    """One gateway process in `folder`; several share `state`, keys and policies."""

    folder: Path
    port: int
    process: Running | None = None

    @property
    def url(self) -> str:
        """The agents' listener."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it serves."""
        with (self.folder / "gateway.log").open("ab") as log:
            self.process = serve(self.folder / "oncegate.yaml", log)
        until, pause = time.monotonic() + START_SECONDS_MAX, threading.Event()
        while time.monotonic() < until and self.process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/readyz", timeout=2).status_code == 200:
                    return
            pause.wait(0.05)
        raise AssertionError((self.folder / "gateway.log").read_text())

    def kill(self) -> None:
        """End it as a crash does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(60)

    def pause(self) -> None:
        """Suspend it."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End its suspension."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it in order."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    def oncegate(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command against it."""
        return oncegate(*words, "-c", str(self.folder / "oncegate.yaml"))

    def json(self, *words: str) -> object:
        """Return what a command prints as JSON."""
        done = self.oncegate(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@dataclass
class Agent:
    """An agent's client: with its key, or with a run token."""

    url: str
    token: str
    headers: dict[str, str] = field(default_factory=dict[str, str])

    def post(self, path: str, content: object, **headers: str) -> httpx.Response:
        """Send JSON."""
        named = {"authorization": f"Bearer {self.token}", "accept": "application/json", **self.headers, **headers}
        return httpx.post(f"{self.url}{path}", json=content, headers=named, timeout=60)

    def get(self, path: str) -> httpx.Response:
        """Ask."""
        return httpx.get(f"{self.url}{path}", headers={"authorization": f"Bearer {self.token}"}, timeout=60)

    def chat(self, text: str, *more: dict[str, object], model: str = "one") -> httpx.Response:
        """Ask the model."""
        messages = [{"role": "user", "content": text}, *more]
        return self.post("/v1/chat/completions", {"model": model, "messages": messages})

    def charge(self, amount: object, tool: str = "charge") -> str:
        """Use the tool; returns its text, or the text of the refusal."""
        message = {
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": tool, "arguments": {"amount": amount}},
        }  # fmt: skip
        answer = self.post("/mcp/pay", message, **{"mcp-protocol-version": "2025-06-18"}).json()
        return cast("str", answer["result"]["content"][0]["text"]) if "result" in answer else json.dumps(answer)


@contextlib.contextmanager
def gateways(
    folder: Path, *, model: str, tool: str, state: str | None = None, count: int = 1, more: str = "",
    policies: str = "", lease: str = "60s",
) -> Generator[list[Gateway]]:  # fmt: skip
    """Give gateways, not started; `state` is a database they share, `more` further configuration.

    `lease` is one that no busy machine misses, unless a test waits for its end.
    """
    made: list[Gateway] = []
    key = base64.b64encode(os.urandom(32))
    for number in range(count):
        own = folder / f"gateway{number}"
        (own / "policies").mkdir(parents=True)
        (own / "policies" / "rules.csv").write_text(POLICIES + policies, encoding="utf-8")
        profiles = '"off": {inspect: false}\nstandard: {default: placeholder}\n'
        if "standard" not in policies:  # else nobody needs the language model
            rules = "".join(line for line in POLICIES.splitlines(keepends=True) if "standard" not in line)
            (own / "policies" / "rules.csv").write_text(rules + policies, encoding="utf-8")
            profiles = '"off": {inspect: false}\n'
        (own / "policies" / "redaction.yaml").write_text(profiles, encoding="utf-8")
        (own / "oncegate.key").write_bytes(key)
        (own / "oncegate.key").chmod(0o600)
        port = free_port()
        config = _CONFIG.format(
            port=port, admin=free_port(), state=state or "sqlite:///oncegate.db?synchronous=NORMAL", model=model,
            tool=tool, more=more, lease=lease,
        )  # fmt: skip
        (own / "oncegate.yaml").write_text(config, encoding="utf-8")
        made.append(Gateway(own, port))
    try:
        yield made
    finally:
        for one in made:
            with contextlib.suppress(ProcessLookupError):
                one.go_on() if one.process is not None and one.process.poll() is None else None
            one.stop()


def key_of(gateways_made: list[Gateway], agent: str) -> str:
    """Return a new key of an agent, known to all of them."""
    first, *others = gateways_made
    key = keys.add(first.folder / "keys.yaml", agent)
    for other in others:
        (other.folder / "keys.yaml").write_bytes((first.folder / "keys.yaml").read_bytes())
        (other.folder / "keys.yaml").chmod(0o600)
    return key


def eventually(look: Callable[[], object], seconds_max: float = 60.0) -> object:
    """Return the first true value that `look` gives, asked again and again."""
    until, pause = time.monotonic() + seconds_max, threading.Event()
    while not (found := look()):
        assert time.monotonic() < until, "it did not come true in time"
        pause.wait(0.05)
    return found
