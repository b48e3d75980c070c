"""JSON that no SDK writes: each value of a request or an answer is once each of several others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import pytest

from gateway.call import Refusal, Sent
from gateway.conversion.carried import CannotCarry, Terms
from gateway.conversion.chat_request import to_messages
from gateway.conversion.messages_request import to_chat
from redaction.walk import texts_in
from tests.gateway import test_openai_chat as chat
from tests.gateway.exchange import exchange
from tests.messages import test_adapter as messages
from tests.responses import test_adapter as responses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.call import AnswerReader
    from gateway.protocols.anthropic_messages import MessagesAdapter
    from gateway.protocols.openai_chat import ChatAdapter
    from gateway.protocols.openai_responses import ResponsesAdapter

    Reading = ChatAdapter | MessagesAdapter | ResponsesAdapter
    Tree = dict[str, object]
    Path = tuple[str | int, ...]

URL = "https://files.example/x"
ODD: tuple[object, ...] = ([], {}, ["x"], {"x": 1}, "x", "", 0, 1.5, None, True, [None])
_CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
_SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
_FUNCTION = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
CHAT: Tree = {
    "model": "gpt", "messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "t"}, {"type": "image_url", "image_url": {"url": URL}}]},
        {"role": "assistant", "content": None, "tool_calls": [_CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "r"},
    ],
    "tools": [_FUNCTION], "tool_choice": {"type": "function", "function": {"name": "f"}}, "response_format": _SCHEMA,
    "stream": True, "stream_options": {"include_usage": True}, "stop": ["a"], "n": 1, "service_tier": "auto",
    "web_search_options": {}, "max_tokens": 5, "user": "u", "modalities": ["text"], "reasoning_effort": "low",
}  # fmt: skip
MESSAGES: Tree = {
    "model": "claude", "max_tokens": 10, "system": [{"type": "text", "text": "s"}], "messages": [
        {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": URL}}]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "x", "signature": "s"},
            {"type": "tool_use", "id": "t1", "name": "pay", "input": {"a": 1}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "r"}]},
        ]},
    ],
    "tools": [{"name": "pay", "input_schema": {"type": "object"}},
              {"type": "web_search_20250305", "name": "web_search", "allowed_domains": ["a.example"]}],
    "mcp_servers": [{"type": "url", "url": "https://m.example", "name": "x"}],
    "container": {"id": "c", "skills": [{"type": "custom", "skill_id": "sk"}]}, "stream": True, "speed": "standard",
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {}}},
    "diagnostics": {"previous_message_id": "msg_1"},
}  # fmt: skip
RESPONSES: Tree = {
    "model": "gpt", "input": [
        {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": URL}]},
        {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "x"}], "encrypted_content": "e"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}", "id": "fc"},
        {"type": "function_call_output", "call_id": "c1", "output": "r"},
    ],
    "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}},
              {"type": "mcp", "server_label": "l", "server_url": "https://m.example"},
              {"type": "namespace", "tools": [{"type": "function", "name": "z"}]}],
    "text": {"format": {"type": "json_schema", "name": "x", "schema": {}}}, "previous_response_id": "p",
    "conversation": {"id": "c"}, "prompt": {"id": "pr", "variables": {"x": {"type": "input_file", "file_id": "f"}}},
    "background": False, "stream": True, "service_tier": "auto",
}  # fmt: skip
CONVERTIBLE_CHAT = {name: value for name, value in CHAT.items() if name != "web_search_options"}
CONVERTIBLE_MESSAGES: Tree = {
    "model": "claude", "max_tokens": 10, "system": "s", "messages": [
        {"role": "user", "content": [{"type": "text", "text": "t"}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "pay", "input": {"a": 1}}]},
    ],
    "tools": [{"name": "pay", "input_schema": {"type": "object"}}], "tool_choice": {"type": "tool", "name": "pay"},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {}}},
}  # fmt: skip
_USED = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": "{}"}}
CHAT_STREAM: list[Tree] = [
    {"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "a"}, "finish_reason": None}]},
    {"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": [_USED]}, "finish_reason": None}]},
    {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}},
]
MESSAGES_STREAM: list[Tree] = [
    {"type": "message_start", "message": {"id": "m", "content": [], "usage": {"input_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "t", "name": "p"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 5}},
    {"type": "message_stop"},
]
_OUTPUT: Tree = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"}
RESPONSES_STREAM: list[Tree] = [
    {"type": "response.output_item.added", "output_index": 0, "item": _OUTPUT},
    {"type": "response.function_call_arguments.delta", "output_index": 0, "item_id": "fc_1", "delta": "{}"},
    {"type": "response.function_call_arguments.done", "output_index": 0, "item_id": "fc_1", "arguments": "{}"},
    {"type": "response.output_item.done", "output_index": 0, "item": _OUTPUT},
    {"type": "response.completed", "response": {
        "id": "resp_1", "status": "failed", "output": [_OUTPUT], "usage": {"input_tokens": 1}, "error": {"code": "x"},
    }},
]  # fmt: skip


def places(tree: object, path: Path = ()) -> Iterator[Path]:
    """Yield the path of every value but the root."""
    if path:
        yield path
    inner = enumerate(cast("list[object]", tree)) if isinstance(tree, list) else ()
    for part, value in cast("Tree", tree).items() if isinstance(tree, dict) else inner:
        yield from places(value, (*path, part))


def oddities(tree: object) -> Iterator[tuple[str, object]]:
    """Yield what `tree` is with one of its values exchanged, and where that is."""
    for path in places(tree):
        for odd in ODD:
            fresh: object = json.loads(json.dumps(tree))
            inner = fresh
            for part in path[:-1]:
                inner = cast("dict[str | int, object]", inner)[part]
            cast("dict[str | int, object]", inner)[path[-1]] = odd
            yield f"{path}: {odd!r}", fresh


def demand(tree: object, use: Callable[[object], object], *known: type[Exception]) -> None:
    for what, fresh in oddities(tree):
        try:
            use(fresh)
        except known:
            continue
        except Exception as error:
            raise AssertionError(what) from error


@pytest.mark.requirement("GW-40")
@pytest.mark.parametrize(
    ("adapter", "path", "tree"),
    [(chat.adapter(), "/v1/chat/completions", CHAT), (messages.adapter(), "/v1/messages", MESSAGES),
     (responses.adapter(), "/v1/responses", RESPONSES)],
)  # fmt: skip
def test_an_odd_request_is_passed_on_or_refused(adapter: Reading, path: str, tree: Tree) -> None:
    def use(odd: object) -> None:
        call = adapter.read(exchange(odd, path=path))
        texts_in(call.tree, call.shape)
        adapter.results_shown(call.tree)
        adapter.request(call, call.tree, upstream_key="k")
        adapter.reader(call)

    demand(tree, use, Refusal)


@pytest.mark.requirement("GW-40")
def test_an_odd_request_is_converted_or_refused() -> None:
    terms = Terms(output_tokens_max=5)
    demand(CONVERTIBLE_CHAT, lambda odd: to_messages(cast("Tree", odd), terms), CannotCarry)
    demand(CONVERTIBLE_MESSAGES, lambda odd: to_chat(cast("Tree", odd), terms), CannotCarry)


@pytest.mark.requirement("GW-40")
@pytest.mark.parametrize(
    ("reader", "stream"),
    [(lambda: chat.adapter().reader(chat.read(chat.request(stream=True))), CHAT_STREAM),
     (lambda: messages.adapter().reader(messages.read(messages.request(stream=True))), MESSAGES_STREAM),
     (lambda: responses.adapter().reader(responses.read(stream=True)), RESPONSES_STREAM)],
)  # fmt: skip
def test_an_odd_stream_is_passed_on_or_broken(reader: Callable[[], AnswerReader], stream: list[Tree]) -> None:
    def use(odd: object) -> None:
        one = reader()
        one.begin(200, ((b"content-type", b"text/event-stream"),))
        for event in cast("list[object]", odd):
            one.feed(b"data: %b\n\n" % json.dumps(event).encode())
        one.end()
        one.verdict()

    demand(stream, use, Sent)
