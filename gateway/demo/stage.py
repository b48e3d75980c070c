"""Where the demo plays: a folder, the gateway and the demo's servers as processes, and the commands people use."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

import httpx

from gateway.shipped import demo_config

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_START_SECONDS_MAX: Final = 120.0
_STOP_SECONDS_MAX: Final = 20.0
_COMMAND_SECONDS_MAX: Final = 120.0
_LOOK_SECONDS: Final = 0.05

Record = dict[str, object]


class StageError(Exception):
    """The demo cannot go on; the message says what was expected and where to look."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Loopback ports: the gateway's two, the demo servers' two. 0 is any free one."""

    listen: int = 0
    admin: int = 0
    model: int = 0
    payments: int = 0


@dataclass(slots=True)
class Stage:
    """One demo's folder and processes; `close` ends all of them."""

    folder: Path
    ports: Ports
    traces: bool = False
    token: str = ""
    gateway: subprocess.Popen[bytes] | None = None
    _servers: list[subprocess.Popen[bytes]] = field(default_factory=list["subprocess.Popen[bytes]"])
    _groups: list[int] = field(default_factory=list[int])

    @property
    def url(self) -> str:
        """The agents' listener."""
        return f"http://127.0.0.1:{self.ports.listen}"

    @property
    def ledger(self) -> Path:
        """The payments server's effects."""
        return self.folder / "payments-ledger.jsonl"

    @property
    def model_log(self) -> Path:
        """All the model was sent."""
        return self.folder / "model-saw.jsonl"

    @property
    def trace_log(self) -> Path:
        """All that was exported as traces."""
        return self.folder / "traces.bin"

    @property
    def gateway_log(self) -> Path:
        """The gateway's standard output and error."""
        return self.folder / "gateway.log"

    @property
    def hold(self) -> Path:
        """While this file exists, charges happen but are not answered."""
        return self.folder / "hold"

    @property
    def config(self) -> Path:
        """The gateway's configuration."""
        return self.folder / "oncegate.yaml"

    def prepare(self) -> None:
        """Write configuration, keys and policies as `oncegate init` does, start the demo's servers, make a token."""
        self.oncegate("init", str(self.folder))
        upstream_key = self.folder / "upstream.key"
        _write_private(upstream_key, secrets.token_hex(16))
        kept = ["--key-file", str(upstream_key), "--port"]
        model = self._serve("model_server", *kept, str(self.ports.model), "--log", str(self.model_log))
        files = ["--ledger", str(self.ledger), "--hold", str(self.hold)]
        payments = self._serve("payments_server", *kept, str(self.ports.payments), *files)
        sink = self._serve("trace_sink", "--log", str(self.trace_log)) if self.traces else None
        self.ports = Ports(self.ports.listen or _free_port(), self.ports.admin or _free_port(), model, payments)
        self.config.write_text(self._configuration(sink), encoding="utf-8")
        self.token = self.key_of("billing")
        _write_private(self.folder / "billing.token", self.token)

    def key_of(self, agent: str, *more: str) -> str:
        """Return a new key of an agent of the demo; with `--admin` one for the console."""
        command = ("token", "create", "--agent", agent, "--domain", "demo", *more, "-c", str(self.config), "--json")
        return str(cast("Record", self.oncegate_json(*command))["key"])

    def start_gateway(self) -> None:
        """Start the gateway and wait until it answers. Raises `StageError`."""
        command = (sys.executable, "-m", "gateway.cli", "serve", "-c", str(self.config))
        with self.gateway_log.open("ab") as log:
            self.gateway = subprocess.Popen(  # noqa: S603 - our own command
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._groups.append(self.gateway.pid)
        self.wait(self._answers, "the gateway answers", _START_SECONDS_MAX)

    def kill_gateway(self) -> None:
        """End the gateway with SIGKILL: it gets no chance to write anything."""
        self._end_gateway(signal.SIGKILL)

    def stop_gateway(self) -> None:
        """End the gateway as an operator does."""
        self._end_gateway(signal.SIGTERM)

    def close(self) -> None:
        """End everything."""
        if self.gateway is not None:
            self._end_gateway(signal.SIGTERM)
        # a gateway ended by SIGKILL cannot end its own children
        for group in self._groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        for server in self._servers:
            if server.stdin is not None:
                server.stdin.close()
            _end(server)
            if server.stdout is not None:
                server.stdout.close()

    def oncegate(self, *arguments: str, may_fail: bool = False) -> subprocess.CompletedProcess[str]:
        """Run an `oncegate` command. Raises `StageError` when it fails and may not."""
        done = subprocess.run(  # noqa: S603 - our own command
            (sys.executable, "-m", "gateway.cli", *arguments),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=_COMMAND_SECONDS_MAX,
        )  # fmt: skip
        if done.returncode and not may_fail:
            raise StageError(f"`oncegate {' '.join(arguments[:2])}` failed: {done.stderr.strip()}")
        return done

    def oncegate_json(self, *arguments: str) -> object:
        """Run an `oncegate` command and return the JSON it prints."""
        return json.loads(self.oncegate(*arguments).stdout)

    def start_agent(self, task: str, variables: Mapping[str, str]) -> subprocess.Popen[str]:
        """Start the agent on `task` under `oncegate run`, as an agent's owner elsewhere would."""
        command = (
            *(sys.executable, "-m", "gateway.cli", "run", "--url", self.url),
            *("--token", f"file:{self.folder / 'billing.token'}", "--attempts", "12", "--"),
            *(sys.executable, "-m", "gateway.demo.agent", task),
        )
        return subprocess.Popen(  # noqa: S603 - our own command
            command, env=os.environ | dict(variables), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def charges(self) -> list[Record]:
        """Return the charges in the payments server's ledger."""
        return [entry for entry in read_lines(self.ledger) if entry["kind"] == "charge"]

    def wait(self, holds: Callable[[], bool], what: str, seconds_max: float = 30.0) -> None:
        """Wait until `holds`. Raises `StageError` after `seconds_max`, or when the gateway has ended."""
        deadline = time.monotonic() + seconds_max
        while not holds():
            if self.gateway is not None and self.gateway.poll() is not None:
                tail = self.gateway_log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
                raise StageError(f"the gateway ended with {self.gateway.returncode}: {' / '.join(tail)}")
            if time.monotonic() > deadline:
                raise StageError(f"waited {seconds_max:g} s in vain until {what}; see {self.gateway_log}")
            time.sleep(_LOOK_SECONDS)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=2, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def _configuration(self, sink: int | None) -> str:
        text = demo_config()
        for shipped, chosen in zip((8080, 8081, 8082, 8083), self._ports(), strict=True):
            text = text.replace(f"127.0.0.1:{shipped}", f"127.0.0.1:{chosen}")
        if sink is not None:
            text += f'\ntelemetry: {{otlp: "http://127.0.0.1:{sink}"}}\n'
        return text

    def _ports(self) -> Sequence[int]:
        return self.ports.listen, self.ports.admin, self.ports.model, self.ports.payments

    def _serve(self, module: str, *arguments: str) -> int:
        with (self.folder / "demo-servers.log").open("ab") as log:
            server = subprocess.Popen(  # noqa: S603 - our own command
                (sys.executable, "-m", f"gateway.demo.{module}", *arguments),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        self._servers.append(server)
        line = b"" if server.stdout is None else server.stdout.readline()
        if not line.strip().isdigit():
            raise StageError(f"the demo's {module} did not start; see {self.folder / 'demo-servers.log'}")
        return int(line)

    def _end_gateway(self, number: signal.Signals) -> None:
        gateway, self.gateway = self.gateway, None
        if gateway is not None:
            _end(gateway, number)


def read_lines(path: Path) -> list[Record]:
    """Return the JSON objects of a file, one a line; none when there is no file."""
    if not path.exists():
        return []
    return [cast("Record", json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def _end(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> None:
    if process.poll() is None:
        process.send_signal(number)
    try:
        process.wait(_STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text + "\n")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
