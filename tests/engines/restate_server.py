"""Restate's own server, brought by npm: one process in its own folder, on loopback, on free ports, telling nobody."""

from __future__ import annotations

import contextlib
import os
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

from tests.engines.above import SECONDS_MAX, kill
from tests.mcp.conformance import environment
from tests.ports import free_port
from tests.runs.stand import TOP, eventually

if TYPE_CHECKING:
    from pathlib import Path


def installed() -> str:
    """Bring the server, quick when it is there; returns its path."""
    done = subprocess.run([TOP / "scripts" / "engines"], check=True, env=environment(), stdout=subprocess.PIPE)
    return done.stdout.decode().strip()


@dataclass
class RestateServer:
    """The server; killed and started again it goes on with what it kept in `folder`."""

    folder: Path
    ingress: int = field(default_factory=free_port)
    admin: int = field(default_factory=free_port)
    node: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it serves."""
        said = {
            "RESTATE_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "1",
            "RESTATE_LISTEN_MODE": "tcp",
            "RESTATE_BIND_IP": "127.0.0.1",
            "RESTATE_ADVERTISED_HOST": "127.0.0.1",
            "RESTATE_BIND_ADDRESS": f"127.0.0.1:{self.node}",
            "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{self.ingress}",
            "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{self.admin}",
            "RESTATE_NODE_NAME": "one",
            "RESTATE_DEFAULT_NUM_PARTITIONS": "1",
            "RESTATE_ROCKSDB_TOTAL_MEMORY_SIZE": "128MiB",
            "RESTATE_DEFAULT_RETRY_POLICY__MAX_INTERVAL": "500ms",
        }
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [installed(), "--no-logo", "--base-dir", self.folder / "restate"],
                env=os.environ | said, cwd=self.folder, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        for url in (f"{self.admin_url}/health", f"{self.ingress_url}/restate/health"):
            eventually(lambda url=url: _healthy(url), SECONDS_MAX)

    def kill(self) -> None:
        """End it as a crash does."""
        if self.process is not None:
            kill(self.process)

    @property
    def ingress_url(self) -> str:
        """Where workflows are asked for."""
        return f"http://127.0.0.1:{self.ingress}"

    @property
    def admin_url(self) -> str:
        """Where workers are registered."""
        return f"http://127.0.0.1:{self.admin}"

    def register(self, port: int) -> None:
        """Make the worker at that port known; waits until it serves."""
        asked = {"uri": f"http://127.0.0.1:{port}", "use_http_11": True}
        eventually(lambda: _sent(f"{self.admin_url}/deployments", asked) is not None, SECONDS_MAX)

    def submit(self, workflow: str) -> None:
        """Start a workflow and do not wait."""
        assert httpx.post(f"{self.ingress_url}/order/{workflow}/run/send", timeout=60).is_success

    def result(self, workflow: str) -> object:
        """Wait for what it comes to."""
        answer = httpx.get(f"{self.ingress_url}/restate/workflow/order/{workflow}/attach", timeout=SECONDS_MAX)
        assert answer.is_success, answer.text
        return answer.json()


def _healthy(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(url, timeout=2).is_success
    return False


def _sent(url: str, content: object) -> httpx.Response | None:
    with contextlib.suppress(httpx.TransportError):
        answer = httpx.post(url, json=content, timeout=60)
        return answer if answer.is_success else None
    return None
