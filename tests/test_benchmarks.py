"""Benchmarks start: what nobody runs for weeks breaks with the first name that changes."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks

TOP = Path(__file__).parent.parent


def ran(*words: str) -> str:
    """Run Python with warnings as errors, in a process of its own; returns what it printed."""
    command = [sys.executable, "-W", "error", *words]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.requirement("POLICY-39")
def test_the_benchmark_of_decisions_runs_beside_stock_casbin() -> None:
    header, row = ran("-m", "benchmarks.policy", "--lines", "10").splitlines()
    assert "casbin" in header
    assert row.split()[0] == "10"


@pytest.mark.slow
@pytest.mark.requirement("GW-37")
def test_every_benchmark_can_be_started() -> None:
    names = [f"benchmarks.{one.name}" for one in pkgutil.iter_modules(benchmarks.__path__)]
    assert len(names) > 10
    ran("-c", f"import {', '.join(names)}")
