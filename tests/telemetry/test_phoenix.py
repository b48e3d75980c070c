"""A real trace backend, Arize Phoenix, in an environment of its own: a run arrives as one connected trace.

Slow, and only where `PHOENIX` names its program: it is no part of what is locked here.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from typing import TYPE_CHECKING, cast

import httpx
import pytest

from tests.gateway.model_upstream import ModelUpstream
from tests.gateway.running import RunningGateway, new_folder
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
PROGRAM = "PHOENIX"


@pytest.fixture
def phoenix(tmp_path: Path) -> Generator[str]:
    program = os.environ.get(PROGRAM)
    if program is None:
        pytest.skip("no Phoenix: install arize-phoenix somewhere and name its program in PHOENIX")
    port = free_port()
    settings = {
        "PHOENIX_WORKING_DIR": str(tmp_path / "phoenix"), "PHOENIX_HOST": "127.0.0.1", "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port()), "PHOENIX_TELEMETRY_ENABLED": "false",
    }  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    with (tmp_path / "phoenix.log").open("wb") as log:
        process = subprocess.Popen([program, "serve"], env=os.environ | settings, stdout=log, stderr=log)
    try:
        _wait(lambda: _answers(url))
        yield url
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.requirement("TEL-13")
def test_a_run_arrives_as_one_connected_trace(phoenix: str, tmp_path: Path) -> None:
    upstream = ModelUpstream()
    gateway = RunningGateway(new_folder(tmp_path / "g"), f"http://127.0.0.1:{upstream.port}/v1", inspects=False)
    text = gateway.config.read_text(encoding="utf-8")
    gateway.config.write_text(f"{text}telemetry: {{otlp: '{phoenix}'}}\n", encoding="utf-8")
    gateway.start()
    run = gateway.open_run({}).json()
    for word in ("one", "two"):
        body = {"model": "allowed", "messages": [{"role": "user", "content": word}]}
        headers = {"authorization": f"Bearer {run['token']}"}
        assert gateway.chat(body, headers=headers).status_code == 200
    gateway.stop()
    upstream.close()
    spans: list[dict[str, object]] = []

    def arrived() -> bool:
        spans[:] = _spans(phoenix)
        return len(spans) >= 5

    _wait(arrived)
    by_id = {cast("dict[str, str]", span["context"])["span_id"]: span for span in spans}
    assert len({cast("dict[str, str]", span["context"])["trace_id"] for span in spans}) == 1
    (root,) = (span for span in spans if span["parent_id"] is None)
    assert (root["name"], root["span_kind"]) == ("invoke_agent billing", "AGENT")
    assert all(span["parent_id"] in by_id for span in spans if span is not root)
    assert sorted(str(span["name"]) for span in spans) == ["chat allowed"] * 4 + ["invoke_agent billing"]


def _spans(url: str) -> list[dict[str, object]]:
    answer = httpx.get(f"{url}/v1/projects/default/spans", params={"limit": 100}, timeout=60)
    return cast("list[dict[str, object]]", answer.json()["data"]) if answer.status_code == 200 else []


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def _wait(ready: object, seconds: float = 150.0) -> None:
    until, pause = time.monotonic() + seconds, threading.Event()
    assert callable(ready)
    while not ready():
        assert time.monotonic() < until
        pause.wait(0.5)
