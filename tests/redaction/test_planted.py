"""Values planted in every field of every route of a running gateway, both ways: nobody has them afterwards."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import pytest

from tests.mcp.stand import gateway, write
from tests.redaction.echo import Echo
from tests.redaction.values import KINDS
from tests.telemetry.collector import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POLICY = """\
p, role:any, *, mcp/**, *, -, allow, redact=strict
p, role:any, *, model/**, *, -, allow, redact=strict
"""
MORE = """\
models:
  chat: {{provider: openai_compatible, url: "{url}/v1", upstream_model: up}}
  responses: {{provider: openai, url: "{url}/v1", upstream_model: up}}
  claude: {{provider: anthropic, url: "{url}/v1", upstream_model: up}}
telemetry: {{otlp: "{sink}"}}
"""
BATCH = 15
MCP_HEADERS = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-06-18"}


def texts(count: int, seed: str) -> Iterator[tuple[str, list[str]]]:
    """Yield texts of a few lines, each with a value, and their values."""
    of = random.Random(seed)
    planted = [(word, make(of)) for _ in range(count) for _, make, word in KINDS.values()]
    for at in range(0, len(planted), BATCH):
        part = planted[at : at + BATCH]
        yield "\n".join(f"{word} {value} is noted" for word, value in part), [value for _, value in part]


def requests(text: str) -> Iterator[tuple[str, object]]:
    """Yield every route with `text` in every field it has."""
    function = {"name": "note", "description": text, "parameters": {"type": "object", "description": text,
                "properties": {"q": {"type": "string", "description": text, "enum": [text]}}}}  # fmt: skip
    call = {"id": "call_1", "type": "function", "function": {"name": "note", "arguments": json.dumps({"q": [text]})}}
    chat = [
        {"role": "system", "content": text},
        {"role": "user", "content": [{"type": "text", "text": text}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": json.dumps({"deep": {"er": text}})},
    ]
    arguments = json.dumps({"q": text})
    used = {"type": "tool_use", "id": "t1", "name": "note", "input": {"q": [text]}}
    for stream in (False, True):
        yield "/v1/chat/completions", {
            "model": "chat", "messages": chat, "stream": stream, "tools": [{"type": "function", "function": function}],
        }  # fmt: skip
        yield "/v1/responses", {
            "model": "responses", "instructions": text, "stream": stream, "store": False,
            "input": [{"role": "user", "content": [{"type": "input_text", "text": text}]},
                      {"type": "function_call", "call_id": "call_1", "name": "note", "arguments": arguments},
                      {"type": "function_call_output", "call_id": "call_1", "output": text}],
        }  # fmt: skip
        yield "/v1/messages", {
            "model": "claude", "max_tokens": 10, "stream": stream, "system": text,
            "messages": [{"role": "user", "content": text},
                         {"role": "assistant", "content": [used]},
                         {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": text}]}],
            "tools": [{"name": "note", "description": text, "input_schema": {"type": "object", "description": text}}],
        }  # fmt: skip
    yield "/mcp/echo", {
        "jsonrpc": "2.0", "id": 7, "method": "tools/call",
        "params": {"name": "note", "arguments": {"q": [text], "deep": {"er": text}}, "_meta": {"x.example/note": text}},
    }  # fmt: skip


def forms(value: str) -> set[bytes]:
    """Return how a value may stand in bytes."""
    escaped = json.dumps(value)[1:-1]
    return {one.encode() for one in (value, escaped, quote(value), json.dumps(escaped)[1:-1])}


def held(values: list[str], content: bytes) -> list[str]:
    return [value for value in values if any(form in content for form in forms(value))]


def command(folder: Path, *words: str) -> bytes:
    done = subprocess.run([sys.executable, "-m", "gateway.cli", *words, "-c", str(folder / "oncegate.yaml")],
                          capture_output=True, check=False, timeout=100)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def plant(folder: Path, count: int) -> None:
    """Send and let answer `count` values of each kind over every route, then search."""
    planted: list[str] = []
    answers: list[bytes] = []
    with Echo() as echo, Collector() as sink:
        servers = f"  echo: {{url: '{echo.url}/mcp'}}\n"
        write(folder, policy=POLICY, servers=servers, more=MORE.format(url=echo.url, sink=sink.url))
        with gateway(folder) as (url, _), httpx.Client(base_url=url, timeout=60) as client:
            for turn, (text, values) in enumerate(texts(count, "out")):
                (told, more) = next(texts(1, f"in/{turn}"))
                planted += [*values, *more]
                echo.say, echo.fails = told, turn % 3 == 2
                for path, body in requests(text):
                    answer = client.post(path, json=body, headers=MCP_HEADERS)
                    assert answer.status_code < 500, (path, answer.text[:500])
                    answers.append(answer.content)
            shown = command(folder, "calls", "list", "--json", "--limit", "1000")
        exported = b"".join(span.SerializeToString() for span in sink.spans())
    assert len(echo.received) >= len(answers)
    kept = {
        path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "oncegate.yaml"
    }
    assert {"oncegate.db", "gateway.log"} <= kept.keys()
    places = kept | {
        "upstream": b"\n".join(echo.received), "agent": b"\n".join(answers), "calls": shown, "traces": exported,
        "audit": command(folder, "audit", "export"),
    }  # fmt: skip
    assert {name: left for name, content in places.items() if (left := held(planted, content))} == {}
    assert b"_" in places["upstream"]
    assert places["traces"]


@pytest.mark.timeout(180)
@pytest.mark.requirement("RED-30")
def test_values_planted_in_every_field_of_every_route_reach_nobody(tmp_path: Path) -> None:
    plant(tmp_path, 1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.requirement("RED-30")
def test_two_hundred_values_of_every_kind_reach_nobody(tmp_path: Path) -> None:
    plant(tmp_path, 200)
