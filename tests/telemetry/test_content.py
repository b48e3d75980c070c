"""What spans carry of requests and answers: nothing unless asked for, then what the journal keeps, bounded."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from gateway.content import CONTENT_CHARACTERS_MAX, Contents, said
from gateway.spoken import answered_messages, asked_messages, instructions
from redaction.profile import Profile, Rule
from tests.gateway.model_upstream import ModelUpstream
from tests.gateway.running import RunningGateway, new_folder
from tests.gateway.test_telemetry import EVIDENCE
from tests.telemetry.collector import Collector, attributes_of

if TYPE_CHECKING:
    from pathlib import Path

    from durable.step import Outcome

Tree = dict[str, object]
CALLED: Tree = {"type": "tool_call", "id": "c1", "name": "charge", "arguments": '{"amount": 5}'}
RESPONDED: Tree = {"type": "tool_call_response", "id": "c1", "response": "done"}


def text(content: str) -> Tree:
    return {"type": "text", "content": content}


def frames(*events: object) -> bytes:
    return b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in events)


NOTHING: Tree = {}
FUNCTION: Tree = {"id": "c1", "type": "function", "function": {"name": "charge", "arguments": '{"amount": 5}'}}
USE: Tree = {"type": "tool_use", "id": "c1", "name": "charge", "input": {"amount": 5}}
ASKED: list[tuple[str, Tree, list[Tree]]] = [
    (
        "chat",
        {"messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "charge «PERSON_1»"}, {"type": "image_url"}]},
            {"role": "assistant", "content": None, "tool_calls": [FUNCTION]},
            {"role": "tool", "tool_call_id": "c1", "content": "done"},
        ]},
        [
            {"role": "system", "parts": [text("be brief")]},
            {"role": "user", "parts": [text("charge «PERSON_1»"), {"type": "image_url"}]},
            {"role": "assistant", "parts": [CALLED]}, {"role": "tool", "parts": [RESPONDED]},
        ],
    ),
    (
        "messages",
        {"system": "be brief", "messages": [
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, USE]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "done"}]},
        ]},
        [
            {"role": "assistant",
             "parts": [{"type": "reasoning", "content": "hm"}, CALLED | {"arguments": {"amount": 5}}]},
            {"role": "user", "parts": [RESPONDED]},
        ],
    ),
    (
        "responses",
        {"instructions": "be brief", "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "charge"}]},
            {"type": "function_call", "call_id": "c1", "name": "charge", "arguments": '{"amount": 5}'},
            {"type": "function_call_output", "call_id": "c1", "output": "done"}, {"type": "reasoning"},
        ]},
        [
            {"role": "user", "parts": [text("charge")]}, {"role": "assistant", "parts": [CALLED]},
            {"role": "tool", "parts": [RESPONDED]},
        ],
    ),
    ("responses of a text", {"input": "hello"}, [{"role": "user", "parts": [text("hello")]}]),
    ("something else", {"input": [7], "messages": "x"}, []),
]  # fmt: skip


@pytest.mark.requirement("TEL-16")
@pytest.mark.parametrize(("asked", "messages"), [one[1:] for one in ASKED], ids=[one[0] for one in ASKED])
def test_a_request_of_every_api_is_said_as_messages_of_parts(asked: Tree, messages: list[Tree]) -> None:
    assert asked_messages(asked) == messages
    apart = [text("be brief")] if "system" in asked or "instructions" in asked else []
    assert instructions(asked) == apart


WHOLE: Tree = {"role": "assistant", "parts": [text("hello"), CALLED], "finish_reason": "tool_calls"}
ANSWERED: list[tuple[str, bytes, list[Tree]]] = [
    (
        "chat",
        json.dumps({"choices": [{
            "message": {"role": "assistant", "content": "hello", "tool_calls": [FUNCTION]},
            "finish_reason": "tool_calls",
        }]}).encode(),
        [WHOLE],
    ),
    (
        "chat in frames",
        frames(
            {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "hel"}}]},
            {"choices": [{"index": 0, "delta": {"content": "lo"}}]},
            {"choices": [{"index": 0, "delta": {"tool_calls": [
                {"index": 0, "id": "c1", "function": {"name": "charge", "arguments": '{"amount"'}}]}}]},
            {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": ": 5}"}}]}}]},
            {"choices": [{"index": 0, "delta": NOTHING, "finish_reason": "tool_calls"}]},
        ) + b"data: [DONE]\n\n",
        [WHOLE],
    ),
    (
        "messages",
        json.dumps({"role": "assistant", "content": [{"type": "text", "text": "hello"}, USE],
                    "stop_reason": "tool_use"}).encode(),
        [WHOLE | {"parts": [text("hello"), CALLED | {"arguments": {"amount": 5}}], "finish_reason": "tool_use"}],
    ),
    (
        "messages in frames",
        frames(
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hello"}},
            {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "c1",
                                                                          "name": "charge", "input": NOTHING}},
            {"type": "content_block_delta", "index": 1,
             "delta": {"type": "input_json_delta", "partial_json": '{"amount": 5}'}},
            {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
        ),
        [WHOLE | {"finish_reason": "tool_use"}],
    ),
    (
        "responses in frames",
        frames({"type": "response.output_text.delta", "delta": "hel"}, {"type": "response.completed", "response": {
            "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]}],
        }}),
        [{"role": "assistant", "parts": [text("hello")]}],
    ),
    ("nothing", b"no JSON", []),
    ("an error", b'{"error": {"message": "no"}}', []),
]  # fmt: skip


@pytest.mark.requirement("TEL-16")
@pytest.mark.parametrize(("name", "answer", "messages"), ANSWERED, ids=[one[0] for one in ANSWERED])
def test_an_answer_whole_or_in_frames_is_said_as_one_message(name: str, answer: bytes, messages: list[Tree]) -> None:
    assert answered_messages(answer, frames="frames" in name) == messages


KEPT = Rule("placeholder", 0.5)
CHAT = replace(EVIDENCE, endpoint="openai_chat")


@pytest.mark.requirement("TEL-16")
def test_what_is_too_long_is_cut_and_said_to_be() -> None:
    messages = [{"role": "user", "content": f"{number} " + "x" * 3000} for number in range(20)]
    found = said(CHAT, json.dumps({"messages": messages}).encode(), None)
    kept = str(found["gen_ai.input.messages"])
    assert found["oncegate.content.cut"] is True
    assert len(kept) <= CONTENT_CHARACTERS_MAX
    assert cast("list[Tree]", json.loads(kept))[-1]["parts"] == [text("19 " + "x" * 3000)]  # the newest stay
    long = said(CHAT, json.dumps({"messages": [{"role": "user", "content": "y" * 100_000}]}).encode(), None)
    assert "95904 characters are left off" in str(long["gen_ai.input.messages"])
    parts = [{"type": "text", "text": "z" * 4000}] * 9
    deep = said(CHAT, json.dumps({"messages": [{"role": "user", "content": parts}]}).encode(), None)
    assert len(str(deep["gen_ai.input.messages"])) < 100


class Shelf:
    """Keeps one request."""

    def __init__(self, request: bytes) -> None:
        self.request = request

    async def read_bodies(self, call_id: str) -> tuple[bytes | None, Outcome | None]:
        assert call_id == EVIDENCE.call_id
        return self.request, None


@pytest.mark.anyio
@pytest.mark.requirement("TEL-17")
async def test_a_call_of_which_anything_passed_as_it_was_carries_no_content() -> None:
    shelf = Shelf(json.dumps({"messages": [{"role": "user", "content": "hello"}]}).encode())
    looks, looks_away = (Profile(name="one", inspects=inspects, default=KEPT) for inspects in (True, False))
    contents, careless = Contents(shelf, lambda _: looks), Contents(shelf, lambda _: looks_away)
    shadow = Contents(shelf, lambda _: replace(looks, shadow=True))
    whole = await asyncio.to_thread(contents.of, CHAT)
    assert json.loads(str(whole["gen_ai.input.messages"])) == [{"role": "user", "parts": [text("hello")]}]
    undecided = replace(CHAT, decision=None)
    for source, evidence in (
        (careless, CHAT), (shadow, CHAT), (contents, undecided), (contents, replace(CHAT, passed=True)),
    ):  # fmt: skip
        assert await asyncio.to_thread(source.of, evidence) == {"oncegate.content.withheld": True}
    assert await asyncio.to_thread(contents.of, replace(CHAT, call_id=None)) == {}


@pytest.mark.requirement("TEL-17")
@pytest.mark.parametrize("content", ["none", "redacted"])
def test_a_running_gateway_gives_no_content_that_is_not_asked_for_or_not_redacted(tmp_path: Path, content: str) -> None:
    upstream = ModelUpstream()
    gateway = RunningGateway(new_folder(tmp_path / "g"), f"http://127.0.0.1:{upstream.port}/v1", inspects=False)
    with Collector() as sink:
        with gateway.config.open("a", encoding="utf-8") as config:
            config.write(f"telemetry: {{otlp: '{sink.url}', content: {content}}}\n")
        gateway.start()
        body = {"model": "allowed", "messages": [{"role": "user", "content": "a planted sentence"}]}  # redact=off
        assert gateway.chat(body).status_code == 200
        assert sink.holds_spans(2, 20.0)
        gateway.stop()
        exported = b"".join(one for contents in sink.taken.values() for one in contents)
        named = [attributes_of(span) for span in sink.spans()]
    upstream.close()
    assert b"planted" not in exported
    assert any("oncegate.content.withheld" in one for one in named) == (content == "redacted")
    assert not any(name.startswith(("gen_ai.input", "gen_ai.output")) for one in named for name in one)
