"""The official TypeScript clients against a running gateway, where Node is there."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import typescript
from tests.emulator.anthropic import message, text, tool_use

if TYPE_CHECKING:
    from tests.conversion.stand import Crossing

TOP = Path(__file__).parents[2]


@pytest.mark.requirement("CONV-11", "MSG-20")
def test_agents_in_typescript_work_with_models_of_both_providers(crossing: Crossing) -> None:
    node, folder = typescript.clients()
    crossing.theirs.says = lambda _: message(text("now"), tool_use("pay", {"to": "é"}))
    agent = TOP / "tests" / "messages" / "node" / "agent.mjs"
    command = [str(node), str(agent), str(folder), crossing.gateway.url, crossing.gateway.keys["billing"]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "plain": ["text", "tool_use"],
        "streamed": [text("now"), tool_use("pay", {"to": "é"})],
        "counted": 42,
        "crossed": [text("hello")],
        "missing": "NotFoundError",
        "chat": [{"to": "é"}],
        "uncarried": "BadRequestError",
    }
