"""Real processes for MCP tests: the fixture, and the gateway in front of it."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.ports import free_port
from tests.serving import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from tests.serving import Running

TOP: Final = Path(__file__).parent.parent.parent
START_SECONDS_MAX: Final = 120.0

POLICY: Final = """\
p, role:any, *, mcp/everything, list, -, allow, -
p, role:any, *, mcp/everything/**, *, -, allow, redact=off
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """What runs: URLs end in `/mcp` or `/mcp/<server>`. `folder` holds configuration, state and logs."""

    direct: str
    gateway: str
    folder: Path
    effects: Path
    pid: int

    def server(self, name: str) -> str:
        """Return the gateway's URL for a server."""
        return f"{self.gateway}/mcp/{name}"

    @property
    def joined(self) -> str:
        """The gateway's URL for all servers as one."""
        return f"{self.gateway}/mcp"

    def counted(self) -> list[str]:
        """Return the effects so far."""
        return self.effects.read_text(encoding="utf-8").splitlines() if self.effects.exists() else []


@contextlib.contextmanager
def stand(
    folder: Path, *, policy: str = POLICY, servers: str = "", tools: str = "{}", era: str = "auto"
) -> Generator[Stand]:
    """Run the fixture and the gateway in `folder` until the block ends; `servers` are further YAML lines."""
    effects = folder / "effects.txt"
    with fixture(effects) as direct, contextlib.ExitStack() as stack:
        old = ""
        if "@old@" in servers:
            old = stack.enter_context(fixture(folder / "old.txt", "tests.mcp.fixture_old")).replace("/mcp", "/sse")
        servers = (
            f"  everything: {{url: '{direct}', tools: {tools}, era: {era}}}\n"
            f"{servers.replace('@direct@', direct).replace('@old@', old)}"
        )
        write(folder, policy=policy, servers=servers)
        url, pid = stack.enter_context(gateway(folder))
        yield Stand(direct=direct, gateway=url, folder=folder, effects=effects, pid=pid)


def write(folder: Path, *, policy: str, servers: str, more: str = "") -> None:
    """Write a configuration of these MCP servers, with its policies and key; `more` are further sections.

    Nothing is redacted where no line says so."""
    port, admin = free_port(), free_port()
    if "redact=" not in policy and "redaction:" not in more:
        more += "redaction: {default_profile: 'off'}\n"  # else each gateway would load the language model
    (folder / "policies").mkdir()
    shutil.copy(TOP / "policies" / "redaction.yaml", folder / "policies" / "redaction.yaml")
    (folder / "policies" / "mcp.csv").write_text(policy, encoding="utf-8")
    (folder / "oncegate.key").write_bytes(b64encode(secrets.token_bytes(32)))
    (folder / "oncegate.key").chmod(0o600)
    (folder / "oncegate.yaml").write_text(
        f"version: 1\ndevelopment: true\nlisten: 127.0.0.1:{port}\nadmin: 127.0.0.1:{admin}\n"
        f"state: sqlite:///oncegate.db\nsecret_key: file:oncegate.key\npolicies: policies\n"
        f"{more}mcp_servers:\n{servers}",
        encoding="utf-8",
    )


@contextlib.contextmanager
def gateway(folder: Path, *, environment: Mapping[str, str] | None = None) -> Generator[tuple[str, int]]:
    """Run the gateway of the configuration in `folder` until the block ends; yields its URL and process id."""
    listen = (folder / "oncegate.yaml").read_text(encoding="utf-8").partition("listen: ")[2].partition("\n")[0]
    with serving(folder, environment=environment) as running:
        wait_until_ready(f"http://{listen}/readyz", folder / "gateway.log")
        yield f"http://{listen}", running.pid
        running.terminate()
        running.wait(60)
    said = (folder / "gateway.log").read_text(encoding="utf-8")
    assert "was destroyed but it is pending" not in said  # a stream that was left holds nothing
    assert "never retrieved" not in said


@contextlib.contextmanager
def serving(folder: Path, *, environment: Mapping[str, str] | None = None) -> Generator[Running]:
    """Run the gateway of the configuration in `folder` with its output in `gateway.log`; ends it with the block."""
    known = os.environ | {"PYTHONPATH": str(TOP), **(environment or {})}
    with (folder / "gateway.log").open("ab") as output:
        running = serve(folder / "oncegate.yaml", output, environment=known)
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait(10)


@contextlib.contextmanager
def fixture(effects: Path, module: str = "tests.mcp.fixture_server") -> Generator[str]:
    """Run the fixture over HTTP; yields its URL."""
    command = [sys.executable, "-m", module, "--port", "0", "--effects", str(effects)]
    child = subprocess.Popen(
        command, cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    with child:
        try:
            assert child.stdout is not None
            yield f"http://127.0.0.1:{int(child.stdout.readline())}/mcp"
        finally:
            child.terminate()


@contextlib.contextmanager
def process(
    command: Sequence[str], log: Path, *, environment: Mapping[str, str] | None = None
) -> Generator[subprocess.Popen[bytes]]:
    """Run `command` with its output in `log`; ends it with the block."""
    with log.open("ab") as output:
        known = os.environ | {"PYTHONPATH": str(TOP), **(environment or {})}
        child = subprocess.Popen(command, cwd=TOP, env=known, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    with child:
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()


def eventually(holds: Callable[[], bool], *, seconds_max: float = 60.0) -> bool:
    """Return whether `holds` comes true in time."""
    until = time.monotonic() + seconds_max
    moment = threading.Event()
    while not holds():
        if time.monotonic() > until:
            return False
        moment.wait(0.02)
    return True


def wait_until_ready(url: str, log: Path, *, answers_anything: bool = False) -> None:
    """Wait until `url` answers 200, or whatever it may be."""
    until = time.monotonic() + START_SECONDS_MAX
    moment = threading.Event()
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - loopback
                if answer.status == 200:
                    return
        except urllib.error.HTTPError as error:
            with error:
                if answers_anything:
                    return
        except OSError:
            pass  # nobody listens there yet
        moment.wait(0.05)
    raise AssertionError(log.read_text(encoding="utf-8"))
