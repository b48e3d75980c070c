"""A gateway of the rig: its own folder and process, over a file or a database that it may share."""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import httpx

from tests import keys
from tests.faults.rig.armed import serve_armed
from tests.ports import free_ports
from tests.serving import oncegate

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from multiprocessing.context import ForkServerProcess
    from pathlib import Path

AGENTS: Final = ("billing", "shipping")
LEASE_SECONDS: Final = 2.0
_READY_SECONDS_MAX: Final = 120.0
_FORKING: Final = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(["tests.faults.rig.preloaded"])

_RULES: Final = """\
p, role:clerk, acme, mcp/effects, list, -, allow, -
p, role:clerk, acme, mcp/effects/**, *, -, allow, redact=off
p, role:clerk, acme, model/rig, call, -, allow, redact=off
p, role:clerk, acme, model/rig/hosted/**, call, -, allow, redact=off
p, role:clerk, acme, run/*, create, -, allow, -
g, agent:billing, role:clerk, acme
g, agent:shipping, role:clerk, acme
"""
_PROFILES: Final = '"off": {inspect: false}\n'
_CONFIG: Final = """\
version: 1
listen: 127.0.0.1:{port}
admin: 127.0.0.1:{admin}
state: {state}
lease: {lease:g}s
secret_key: file:oncegate.key
policies: policies
trust_domains: {{acme: {{api_keys_file: keys.yaml}}}}
models:
  rig: {{provider: openai_compatible, url: "{upstream}/v1", domain: acme}}
mcp_servers:
  effects:
    url: {upstream}/mcp
    domain: acme
    tools: {{pay: {{effect: once}}, put: {{effect: keyed}}, look: {{effect: safe}}}}
redaction: {{default_profile: "off"}}
"""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What every gateway of a rig shares: the secret key and the agents' keys."""

    folder: Path
    tokens: Mapping[str, str]


def new_secrets(folder: Path) -> Secrets:
    """Return fresh secrets, written below `folder`."""
    folder.mkdir()
    (folder / "oncegate.key").write_bytes(b64encode(os.urandom(32)))
    (folder / "oncegate.key").chmod(0o600)
    tokens = {agent: keys.add(folder / "keys.yaml", agent) for agent in AGENTS}
    return Secrets(folder, tokens)


class Gate:
    """One gateway; it may be started, killed, paused and started again."""

    def __init__(self, folder: Path, shared: Secrets, *, state: str, upstream: str, lease_seconds: float) -> None:
        shutil.copytree(shared.folder, folder)
        (folder / "policies").mkdir()
        (folder / "policies" / "rules.csv").write_text(_RULES, encoding="utf-8")
        (folder / "policies" / "redaction.yaml").write_text(_PROFILES, encoding="utf-8")
        self.folder = folder
        self.port, admin = free_ports(2)
        self.config = folder / "oncegate.yaml"
        settings = {"port": self.port, "admin": admin, "state": state, "upstream": upstream}
        self.config.write_text(_CONFIG.format(lease=lease_seconds, **settings), encoding="utf-8")
        self._armed = folder / "armed"
        self._log = folder / "gateway.log"
        self.process: ForkServerProcess | None = None

    @property
    def url(self) -> str:
        """Where agents reach it."""
        return f"http://127.0.0.1:{self.port}"

    def spawn(self, *, file_bytes_max: int | None = None) -> None:
        """Start the process, without waiting for it; no file of it grows beyond `file_bytes_max`."""
        self.process = _FORKING.Process(
            target=serve_armed, args=(self.config, self._armed, self._log, file_bytes_max), daemon=True
        )
        self.process.start()

    def wait_until_ready(self) -> None:
        """Wait until it serves."""
        until, pause = time.monotonic() + _READY_SECONDS_MAX, threading.Event()
        while time.monotonic() < until:
            if self._serves():
                return
            if self.process is None or not self.process.is_alive():
                break
            pause.wait(0.02)
        raise AssertionError(self.said)

    def _serves(self) -> bool:
        asking = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            asking.request("GET", "/readyz")
            return asking.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            asking.close()

    def start(self) -> None:
        """Start the process and wait until it serves."""
        self.spawn()
        self.wait_until_ready()

    @property
    def said(self) -> str:
        """What it wrote to its log."""
        return self._log.read_text(encoding="utf-8")

    def arm(self, point: str) -> None:
        """Let it kill itself when it next reaches `point`."""
        beside = self._armed.with_suffix(".new")
        beside.write_text(point, encoding="ascii")
        beside.rename(self._armed)

    def shoot(self) -> None:
        """Send it SIGKILL, wherever it is, without waiting: any thread may, but only one may wait for its end."""
        self._signal(signal.SIGKILL)

    def kill(self) -> None:
        """End it with SIGKILL, wherever it is."""
        self.shoot()
        self.wait_until_dead()

    def wait_until_dead(self) -> None:
        """Wait until it was killed, by itself or by others."""
        assert self.exit_status(60) == -signal.SIGKILL, self.said

    def exit_status(self, seconds_max: float) -> int | None:
        """Return the status it ends with in time, `None` when it lives on."""
        assert self.process is not None
        self.process.join(seconds_max)
        return self.process.exitcode

    def pause(self) -> None:
        """Stop it between two instructions."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on as if nothing had been."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it in good order where it lives."""
        if self.process is not None and self.process.is_alive():
            self.resume()
            self.process.terminate()
            if self.exit_status(15) is None:
                self.process.kill()
                self.process.join(60)

    def open_run(self, token: str, run: str) -> dict[str, object]:
        """Open a run, or its next attempt; returns what the gateway says of it. Raises `httpx.HTTPError`."""
        answer = httpx.post(
            f"{self.url}/runs", json={"id": run}, headers={"authorization": f"Bearer {token}"}, timeout=60,
            trust_env=False,
        )  # fmt: skip
        answer.raise_for_status()
        return cast("dict[str, object]", answer.json())

    def oncegate(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command on it."""
        return oncegate(*words, "-c", str(self.config))

    def calls(self, *options: str) -> list[dict[str, object]]:
        """Return what it lists."""
        done = self.oncegate("calls", "list", "--json", "--limit", "1000", *options)
        assert done.returncode == 0, done.stderr
        return cast("list[dict[str, object]]", json.loads(done.stdout))

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        assert self.process.pid is not None
        os.kill(self.process.pid, number)
