"""The table of commands: all of them can be run, and listing them loads none of the engines."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.cli.commands import COMMANDS, load, root
from tests.cli.stand import oncegate, surroundings

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = {"spacy", "presidio_analyzer", "casbin", "uvicorn", "fastapi", "opentelemetry", "mcp"}


@pytest.mark.requirement("CLI-24")
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_can_be_loaded_and_says_what_it_does(name: str) -> None:
    needed = {f"gateway.cli.{COMMANDS[name].module}", "gateway.server" if name == "serve" else "gateway.cli"}
    if any(importlib.util.find_spec(module) is None for module in needed):
        pytest.skip(f"`{name}` is not written yet")
    command = load(name)
    assert command.name == name
    assert command.help


@pytest.mark.requirement("CLI-24")
@pytest.mark.parametrize("name", ["", "runs", "calls", "run"])
def test_listing_commands_and_asking_a_gateway_load_no_engine(name: str) -> None:
    program = f"import sys; from gateway.cli.commands import root; root({name!r}); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], env=surroundings(), capture_output=True, text=True, check=True
    )
    assert not HEAVY & set(done.stdout.split())


@pytest.mark.requirement("CLI-24")
def test_help_lists_every_command_with_a_sentence(tmp_path: Path) -> None:
    shown = oncegate(tmp_path, "--help").stdout
    for name, entry in COMMANDS.items():
        assert name in shown
        assert entry.help.split()[0] in shown
    assert set(root(None).commands) == set(COMMANDS)
