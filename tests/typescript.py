"""Where Node and the official TypeScript clients are."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent


def clients() -> tuple[Path, Path]:
    """Return Node and the folder of the clients; without them the test is skipped, and says so."""
    found = subprocess.run(["scripts/node"], cwd=TOP, capture_output=True, text=True, check=False)
    folder = TOP / ".build" / "clients"
    if found.returncode != 0 or not (folder / "installed").exists():
        pytest.skip("the TypeScript clients are not there; `make test-parts` brings them")
    return Path(found.stdout.strip()) / "node", folder
