"""The demo command says what it needs before it starts anything."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.demo.telling import Telling

if TYPE_CHECKING:
    from pathlib import Path


def _demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway.cli", "demo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.requirement("DEMO-09")
def test_a_taken_port_is_named_and_nothing_is_started() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = _demo("--serve", "--port", str(port))
    assert refused.returncode == 2
    assert f"port {port} is taken" in refused.stderr


@pytest.mark.requirement("DEMO-09")
def test_a_folder_with_files_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    refused = _demo("--dir", str(tmp_path))
    assert refused.returncode == 2
    assert "new or empty" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.requirement("DEMO-09")
def test_one_claim_that_does_not_hold_makes_the_demo_fail(capsys: pytest.CaptureFixture[str]) -> None:
    telling = Telling()
    telling.claim("this holds", holds=True)
    assert telling.close() == 0
    telling.claim("this does not", holds=False, found="something else")
    assert telling.close() == 1
    assert "NOT SO: this does not (found: something else)" in capsys.readouterr().out
