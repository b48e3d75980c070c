"""A real gateway process with its own folder, policies, keys and database."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import httpx

from tests import keys
from tests.ports import free_port
from tests.serving import oncegate, serve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.serving import Running

HERE = Path(__file__).parents[2]
START_SECONDS_MAX = 120
POLICIES = """p, role:clerk, acme, model/allowed, call, -, allow, redact=off
p, role:clerk, acme, model/careful, call, -, allow, redact=standard;restore=*@agent
p, role:clerk, acme, model/closed, call, -, allow, redact=closed
p, role:any, acme, run/*, create, -, allow, -
g, agent:billing, role:clerk, acme
g, agent:shipping, role:clerk, acme
"""
PROFILES = """
"off": {inspect: false}
standard: {default: placeholder}
closed: {default: block}
"""
CONFIG = """version: 1
listen: 127.0.0.1:%(port)d
admin: 127.0.0.1:%(admin)d
state: sqlite:///oncegate.db?synchronous=NORMAL
secret_key: file:oncegate.key
policies: policies
trust_domains: {acme: {api_keys_file: keys.yaml}}
models:
  allowed: {provider: openai_compatible, url: "%(upstream)s", credential: "file:upstream.key", upstream_model: up,
            domain: acme, price: {input: 1.0, output: 2.0}}
  careful: {provider: openai_compatible, url: "%(upstream)s", domain: acme}
  closed: {provider: openai_compatible, url: "%(upstream)s", domain: acme}
  forbidden: {provider: openai_compatible, url: "%(upstream)s", domain: acme}
redaction: {default_profile: "off"}
limits: {body: 64KiB}
resilience: {"model/**": {timeout: 10s}}
"""


class RunningGateway:
    """Start, kill and start again: the folder stays."""

    def __init__(self, folder: Path, upstream: str, *, inspects: bool = True) -> None:
        self.folder = folder
        self.port = free_port()
        self.admin_port = free_port()
        values: Mapping[str, object] = {"port": self.port, "admin": self.admin_port, "upstream": upstream}
        self.config = folder / "oncegate.yaml"
        self.config.write_text(CONFIG % values, encoding="utf-8")
        (folder / "policies").mkdir()
        # without a profile that inspects, the gateway starts without the language model
        kept = (
            POLICIES
            if inspects
            else "".join(line for line in POLICIES.splitlines(keepends=True) if "restore" not in line)
        )
        self.write_policies(kept if inspects else kept.replace("redact=closed", "-"))
        profiles = PROFILES if inspects else PROFILES[: PROFILES.index("standard")]
        (folder / "policies" / "redaction.yaml").write_text(profiles, encoding="utf-8")
        for name, secret in (("oncegate.key", base64.b64encode(os.urandom(32))), ("upstream.key", b"upstream-secret")):
            (folder / name).write_bytes(secret)
            (folder / name).chmod(0o600)
        self.keys = {name: keys.add(folder / "keys.yaml", name) for name in ("billing", "shipping")}
        self.process: Running | None = None
        self.log = folder / "gateway.log"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def write_policies(self, text: str) -> None:
        """Replace them in one step, as deployments do: a gateway that reads meanwhile finds the old ones or the new."""
        fresh = self.folder / "rules.csv.new"
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self.folder / "policies" / "rules.csv")

    def start(self, crash_point: str | None = None) -> None:
        """Start the process; with `crash_point` it kills itself there (see `tests/gateway/crashing.py`)."""
        with self.log.open("ab") as log:
            if crash_point is None:
                self.process = serve(self.config, log)
            else:
                command = [sys.executable, "-m", "tests.gateway.crashing", str(self.config), crash_point]
                self.process = subprocess.Popen(command, cwd=HERE, stderr=log)
        until = time.monotonic() + START_SECONDS_MAX
        pause = threading.Event()
        while time.monotonic() < until:
            try:
                if httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                if self.process.poll() is not None:
                    break
            pause.wait(0.05)
        raise AssertionError(self.log.read_text(encoding="utf-8"))

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(60)

    def died(self) -> bool:
        assert self.process is not None
        return self.process.wait(60) == -9

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    def oncegate(self, *words: str) -> subprocess.CompletedProcess[str]:
        return oncegate(*words, "-c", str(self.config))

    def calls(self, *options: str) -> list[dict[str, object]]:
        done = self.oncegate("calls", "list", "--json", "--limit", "500", *options)
        assert done.returncode == 0, done.stderr
        return cast("list[dict[str, object]]", json.loads(done.stdout))

    def chat(self, body: object, *, agent: str = "billing", headers: Mapping[str, str] | None = None) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {"authorization": f"Bearer {self.keys[agent]}", "content-type": "application/json"} | dict(
            headers or {}
        )
        return httpx.post(f"{self.url}/v1/chat/completions", content=content, headers=named, timeout=60)

    def open_run(self, body: object, *, agent: str = "billing") -> httpx.Response:
        named = {"authorization": f"Bearer {self.keys[agent]}"}
        return httpx.post(f"{self.url}/runs", json=body, headers=named, timeout=60)


def new_folder(parent: Path) -> Path:
    shutil.rmtree(parent, ignore_errors=True)
    parent.mkdir(parents=True)
    return parent
