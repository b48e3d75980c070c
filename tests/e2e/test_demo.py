"""The demo's story, told by the command that people run. Every sentence of it is a claim it checks itself."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

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
