"""The demo's story, told by the command that people run. Every sentence of it is a claim it checks itself."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from durable.seal import Keyring
from gateway.config import load
from gateway.demo.story import PLANTED

if TYPE_CHECKING:
    from pathlib import Path

STORY_SECONDS_MAX = 240


@pytest.mark.timeout(STORY_SECONDS_MAX + 30)
@pytest.mark.requirement("DEMO-03", "DEMO-04", "DEMO-05", "DEMO-06", "DEMO-07", "DEMO-08")
def test_the_whole_story_holds(tmp_path: Path) -> None:
    place = tmp_path / "demo"
    told = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "demo", "--dir", str(place)],
        capture_output=True, text=True, check=False, timeout=STORY_SECONDS_MAX,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    assert "NOT SO" not in told.stdout
    assert told.stdout.rstrip().endswith("claims hold.")
    assert _raw_in_requests(place / "oncegate.yaml") == []


def _raw_in_requests(config: Path) -> list[str]:
    """Return planted values in the journal's request bodies, which no command shows; decrypted from the rows."""
    read = load(config)
    keyring = Keyring(tuple(key.read_key() for key in read.secret_keys))
    with closing(sqlite3.connect(f"file:{read.state.path}?mode=ro", uri=True)) as database:
        rows: list[tuple[str, bytes]] = database.execute("SELECT id, sealed_request FROM call").fetchall()
    assert rows != []
    requests = [(name, keyring.unseal("body", f"call/{name}/request", sealed)) for name, sealed in rows]
    return [
        f"{what} in {name}" for name, content in requests for what, raw in PLANTED.items() if raw.encode() in content
    ]
