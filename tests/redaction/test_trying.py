"""Redaction tried by who looks after it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from gateway.detection import Detection
from gateway.outward import Redaction
from gateway.trying import try_out
from redaction.profile import Profile, Rule
from tests.redaction.detectors import PatternDetector

PROFILES = {
    "standard": Profile(name="standard", inspects=True, default=Rule("placeholder", 0.5)),
    "closed": Profile(name="closed", inspects=True, default=Rule("block", 0.5)),
    "off": Profile(name="off", inspects=False, default=Rule("placeholder", 0.5)),
}  # fmt: skip
TREE = {"note": "First line.\nThen mail ada@example.com now", "password": "hunter22", "n": 1}


@pytest.mark.anyio
@pytest.mark.requirement("RED-28")
async def test_a_content_is_tried_under_a_profile_with_the_place_of_every_find() -> None:
    redaction = Redaction(Detection.in_process(PatternDetector(), "v1"), PROFILES, "standard")
    tried = await try_out(redaction, TREE, None, 1000)
    assert [(one.pointer, one.finding.entity, one.treatment) for one in tried.findings] == [
        ("/note", "EMAIL", "placeholder"), ("/password", "SECRET", "placeholder"),
    ]  # fmt: skip
    place = tried.findings[0].finding
    assert TREE["note"] == "First line.\nThen mail ada@example.com now"
    assert str(TREE["note"])[place.start : place.end] == "ada@example.com"
    assert "ada@" not in str(tried.redacted.tree)
    assert (await try_out(redaction, TREE, None, 1000)).redacted.tree != tried.redacted.tree  # stands for nothing
    blocked = (await try_out(redaction, TREE, "closed", 1000)).redacted.blocked
    assert blocked == (("EMAIL", "/note"), ("SECRET", "/password"))
    with pytest.raises(LookupError, match="unknown profile `lax`"):
        await try_out(redaction, TREE, "lax", 1000)
    with pytest.raises(ValueError, match="at most 20 characters"):
        await try_out(redaction, TREE, None, 20)


@pytest.mark.slow
@pytest.mark.requirement("RED-15", "RED-28")
def test_the_command_shows_what_becomes_of_json() -> None:
    command = [sys.executable, "-m", "gateway.cli", "redact", "-", "--tree", "--json", "--profile", "standard"]
    done = subprocess.run(command, input=json.dumps(TREE), capture_output=True, text=True, check=True, timeout=100)
    shown = json.loads(done.stdout)
    assert [(one["pointer"], one["entity"]) for one in shown["findings"]] == [
        ("/note", "EMAIL"),
        ("/password", "SECRET"),
    ]
    assert "ada@" not in json.dumps(shown["content"])
    assert shown["content"]["n"] == 1
