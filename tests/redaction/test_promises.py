"""What a model answers in a form that its request asked for: places keep their form, whole and streamed alike."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, cast

import pytest

from gateway.definitions.slots import SchemaSlots
from gateway.detection import Detection
from gateway.inward import Inward
from gateway.outward import Redaction, Veil
from gateway.protocols import anthropic_messages_answer, openai_chat_answer
from gateway.protocols.anthropic_messages_answer import MessagesReader
from gateway.protocols.openai_chat_answer import ChatReader
from gateway.protocols.openai_responses_answer import ResponsesReader
from redaction.finding import Scope
from redaction.profile import Profile, Rule
from tests.emulator import anthropic, openai
from tests.redaction.detectors import PatternDetector
from tests.redaction.test_streams import trees_in

if TYPE_CHECKING:
    from gateway.call import AnswerReader

Tree = dict[str, object]
PROFILE = Profile(name="all", inspects=True, default=Rule("placeholder", 0.5))
SCOPE = Scope(id="run/r", key=b"k" * 32)
SCHEMA: Tree = {"type": "object", "properties": {
    "to": {"type": "string", "format": "email"}, "dob": {"type": "string", "format": "date"},
    "card": {"type": "integer", "minimum": 10**15, "maximum": 10**16 - 1}, "note": {"type": "string"},
}}  # fmt: skip
SAID: Tree = {"to": "ada@example.com", "dob": "1985-03-02", "card": 4111111111111111, "note": "of ada@example.com"}
TEXT = json.dumps(SAID)


def chat(*, stream: bool) -> tuple[AnswerReader, bytes]:
    request = {
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}},
        "tools": [{"type": "function", "function": {"name": "note", "parameters": SCHEMA}}],
    }  # fmt: skip
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "note", "arguments": TEXT}}
    reader = ChatReader(promises=openai_chat_answer.promised(request))
    if not stream:
        message = {"role": "assistant", "content": TEXT, "tool_calls": [call]}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return reader, json.dumps({"object": "chat.completion", "choices": [choice]}).encode()
    deltas: list[Tree] = [{"content": TEXT[at : at + 3]} for at in range(0, len(TEXT), 3)]
    first = {**call, "function": {"name": "note", "arguments": ""}}
    deltas.append({"tool_calls": [first]})
    for at in range(0, len(TEXT), 3):
        deltas.append({"tool_calls": [{"index": 0, "function": {"arguments": TEXT[at : at + 3]}}]})  # noqa: PERF401 - types
    choices: list[Tree] = [{"index": 0, "delta": delta} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    frames = [{"choices": [choice]} for choice in choices]
    return reader, b"".join(b"data: " + json.dumps(frame).encode() + b"\n\n" for frame in frames) + b"data: [DONE]\n\n"


def messages(*, stream: bool) -> tuple[AnswerReader, bytes]:
    request = {
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
        "tools": [{"name": "note", "input_schema": SCHEMA}],
    }  # fmt: skip
    whole = anthropic.message(anthropic.text(TEXT), anthropic.tool_use("note", SAID))
    reader = MessagesReader(promises=anthropic_messages_answer.promised(request))
    return reader, anthropic.stream(whole, piece=3) if stream else json.dumps(whole).encode()


def responses(*, stream: bool) -> tuple[AnswerReader, bytes]:
    request = {
        "text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}},
        "tools": [{"type": "function", "name": "note", "parameters": SCHEMA}],
    }  # fmt: skip
    whole = openai.response(openai.message(TEXT), openai.function_call("note", TEXT))
    return ResponsesReader(request), b"".join(openai.events_of(whole, piece=3)) if stream else json.dumps(
        whole
    ).encode()


APIS = {"chat": chat, "messages": messages, "responses": responses}


async def redacted(reader: AnswerReader, raw: bytes, *, stream: bool) -> bytes:
    redaction = Redaction(Detection.in_process(PatternDetector(), "v1"), {"all": PROFILE}, "all")
    reader.begin(200, ((b"content-type", b"text/event-stream" if stream else b"application/json"),))
    inward = Inward(reader, redaction, Veil(profile=PROFILE, scope=SCOPE, domain="default"))
    clean = [*await inward.take(reader.feed(raw)), *await inward.take(reader.end())]
    assert not inward.blocked
    return b"".join(one.raw for one in clean)


def texts(tree: object) -> list[str]:
    """Return every text in a tree that is JSON, and every object that is one of those said."""
    if isinstance(tree, dict):
        named = cast("Tree", tree)
        own = [json.dumps(named)] if named.keys() >= SAID.keys() else []
        return own + [text for inner in named.values() for text in texts(inner)]
    if isinstance(tree, list):
        return [text for inner in cast("list[object]", tree) for text in texts(inner)]
    return [tree] if isinstance(tree, str) and tree.startswith("{") and tree.endswith("}") else []


def pieces(trees: list[Tree]) -> list[str]:
    """Return the texts that a stream's deltas make together."""
    found: dict[str, str] = {}
    for tree in trees:
        for choice in cast("list[Tree]", tree.get("choices") or []):
            delta = cast("Tree", choice["delta"])
            found["content"] = found.get("content", "") + str(delta.get("content") or "")
            for call in cast("list[Tree]", delta.get("tool_calls") or []):
                found["use"] = found.get("use", "") + str(cast("Tree", call["function"]).get("arguments") or "")
        delta = tree.get("delta")
        said = delta if isinstance(delta, str) else ""
        if isinstance(delta, dict):
            named = cast("Tree", delta)
            said = str(named.get("text") or named.get("partial_json") or "")
        place = f"{tree.get('type')}{tree.get('index', tree.get('output_index'))}"
        found[place] = found.get(place, "") + said
    return [text for text in found.values() if text.startswith("{")]


@pytest.mark.requirement("RED-31")
@pytest.mark.parametrize("api", APIS)
def test_structured_output_and_arguments_keep_their_form_whole_and_streamed(api: str) -> None:
    results: set[str] = set()
    for stream in (False, True):
        reader, raw = APIS[api](stream=stream)
        content = asyncio.run(redacted(reader, raw, stream=stream))
        assert b"ada@" not in content
        assert b"4111111111111111" not in content
        assert b"1985-03-02" not in content
        trees = trees_in(content) if stream else [cast("Tree", json.loads(content))]
        said = [text for tree in trees for text in texts(tree)] + (pieces(trees) if stream else [])
        found = [cast("Tree", json.loads(text)) for text in said]
        made = {json.dumps(one, sort_keys=True) for one in found if one.keys() == SAID.keys()}
        assert len(made) == 1  # the text and the arguments alike
        results |= made
    (same,) = results
    after = cast("Tree", json.loads(same))
    for name in SAID:
        slot = SchemaSlots(SCHEMA).at(f"/{name}")
        assert slot is not None
        assert slot.fits(after[name])
    assert str(after["note"]).startswith("of EMAIL_")
