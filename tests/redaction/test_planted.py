"""Values planted in every field of every route of a running gateway, both ways: nobody has them afterwards."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from fastapi.routing import APIRoute

from gateway.console.pages import routes
from tests import keys
from tests.mcp.stand import gateway, write
from tests.redaction.echo import Echo
from tests.redaction.values import KINDS
from tests.serving import oncegate
from tests.telemetry.collector import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POLICY = """\
p, role:any, *, mcp/**, *, -, allow, redact=strict
p, role:any, *, model/**, *, -, allow, redact=strict
p, role:any, *, run/**, create, -, allow, -
p, agent:boss, acme, admin/**, *, -, allow, -
"""
MORE = """\
models:
  chat: {{provider: openai_compatible, url: "{url}/v1", upstream_model: up}}
  responses: {{provider: openai, url: "{url}/v1", upstream_model: up}}
  claude: {{provider: anthropic, url: "{url}/v1", upstream_model: up}}
telemetry: {{otlp: "{sink}", content: redacted}}
trust_domains: {{acme: {{api_keys_file: keys.yaml}}}}
"""
BATCH = 15
#: As many bytes of a value are looked for first; no value is shorter.
KEY_BYTES = 4
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


class Search:
    """Looks for very many values at once: only where their first bytes stand is looked closer."""

    def __init__(self, values: list[str]) -> None:
        self._forms = {form: value for value in values for form in forms(value)}
        assert min(map(len, self._forms)) >= KEY_BYTES
        self._keys = np.unique(np.frombuffer(b"".join(form[:KEY_BYTES] for form in self._forms), "<u4"))
        self._by_key: dict[bytes, list[bytes]] = {}
        for form in self._forms:
            self._by_key.setdefault(form[:KEY_BYTES], []).append(form)

    def held(self, content: bytes) -> set[str]:
        """Return the values that stand in `content`, however they are written."""
        found: set[str] = set()
        for begin in range(KEY_BYTES):
            count = (len(content) - begin) // KEY_BYTES
            words = np.frombuffer(content, "<u4", max(count, 0), begin) if count > 0 else np.empty(0, "<u4")
            for place in np.flatnonzero(np.isin(words, self._keys)).tolist():
                at = begin + KEY_BYTES * place
                several = self._by_key[content[at : at + KEY_BYTES]]
                found |= {self._forms[form] for form in several if content.startswith(form, at)}
        return found


def command(folder: Path, *words: str) -> bytes:
    done = oncegate(*words, "-c", str(folder / "oncegate.yaml"), timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout.encode()


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [str(one["id"]) for one in cast("list[dict[str, object]]", answer.json())]


def shown(folder: Path, key: str, tool: str = "note", calls_max: int = 200) -> Iterator[tuple[str, bytes]]:
    """Yield what the admin API, its metrics and the console show, every page of it that there is.

    `tool` is the tool of `echo`; of calls the newest have their pages."""
    admin = (folder / "oncegate.yaml").read_text(encoding="utf-8").partition("admin: ")[2].partition("\n")[0]
    proof = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=f"http://{admin}", headers=proof, timeout=60) as client:
        runs, calls = [ids(client.get(f"/api/v1/{kind}?limit={calls_max}")) for kind in ("runs", "calls")]
        described = client.get("/api/v1/openapi.json").json()["paths"]
        paths = [path for path, methods in described.items() if "get" in methods]
        paths += [route.path for route in routes().routes if isinstance(route, APIRoute)]
        for path in paths:
            known = {"{run_id}": runs, "{call_id}": calls}
            of = next((ids for name, ids in known.items() if name in path), [""])
            if path.count("{") > (of != [""]) or "explain" in path:
                continue  # what was never asked for here: approvals; an explanation is of what is asked
            query = f"?server=echo&kind=tool&name={tool}" if path.endswith("/show") else ""
            for ident in of:
                place = path.partition("{")[0] + ident + path.partition("}")[2] + query
                answer = client.get(place, headers={"accept": "text/html, */*"})
                assert answer.status_code == 200, (place, answer.text[:300])
                yield place, answer.content


def plant(folder: Path, count: int) -> None:
    """Send and let answer `count` values of each kind over every route, then search."""
    planted: list[str] = []
    answers: list[bytes] = []
    with Echo() as echo, Collector() as sink:
        servers = f"  echo: {{url: '{echo.url}/mcp'}}\n"
        write(folder, policy=POLICY, servers=servers, more=MORE.format(url=echo.url, sink=sink.url))
        key = keys.add(folder / "keys.yaml", "boss", admin=True)
        with gateway(folder) as (url, _), httpx.Client(base_url=url, timeout=60) as client:
            for turn, (text, values) in enumerate(texts(count, "out")):
                (told, more) = next(texts(1, f"in/{turn}"))
                planted += [*values, *more]
                echo.say, echo.fails = told, turn % 3 == 2
                headers = MCP_HEADERS | ({"oncegate-run": f"planted-{turn}"} if turn % 2 else {})
                for path, body in requests(text):
                    answer = client.post(path, json=body, headers=headers)
                    assert answer.status_code < 500, (path, answer.text[:500])
                    answers.append(answer.content)
            listed = command(folder, "calls", "list", "--json", "--limit", "1000")
            pages = dict(shown(folder, key))
        exported = b"".join(content for contents in sink.taken.values() for content in contents)
    assert len(echo.received) >= len(answers)
    kept = {
        path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "oncegate.yaml"
    }
    assert {"oncegate.db", "gateway.log"} <= kept.keys()
    places = kept | {
        "upstream": b"\n".join(echo.received), "agent": b"\n".join(answers), "calls": listed, "telemetry": exported,
        "audit": command(folder, "audit", "export"), **pages,
    }  # fmt: skip
    search = Search(planted)
    assert search.held(f"said: {planted[0]} and {planted[-1]}".encode()) >= {planted[0], planted[-1]}
    assert {name: left for name, content in places.items() if (left := search.held(content))} == {}
    assert b"_" in places["upstream"]
    for name in ("input.messages", "output.messages", "system_instructions", "tool.call.arguments", "tool.call.result"):
        assert f"gen_ai.{name}".encode() in places["telemetry"]
    assert {"/metrics", "/api/v1/audit", "/api/v1/overview", "/", "/runs", "/audit/export"} <= pages.keys()


@pytest.mark.requirement("RED-30")
def test_values_planted_in_every_field_of_every_route_reach_nobody(tmp_path: Path) -> None:
    plant(tmp_path, 1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.requirement("RED-30")
def test_two_hundred_values_of_every_kind_reach_nobody(tmp_path: Path) -> None:
    plant(tmp_path, 200)
