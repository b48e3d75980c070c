"""The language model, brought once, and the detector that holds it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from redaction.model import ModelUnusable, default_folder, verify
from redaction.presidio import PresidioDetector


@pytest.fixture(scope="session")
def detector() -> PresidioDetector:
    try:
        verify(default_folder())
    except ModelUnusable:
        subprocess.run([sys.executable, "-m", "gateway.cli", "model", "install"], check=True, timeout=300)
    return PresidioDetector(default_folder())
