"""Requests said in the other protocol: accepted by its official types, the same when said back, or refused by path."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from gateway.conversion.carried import CannotCarry, Terms, Tree
from gateway.conversion.chat_request import to_messages
from gateway.conversion.messages_request import FAILED, to_chat
from tests.conversion.official import demand_chat_request, demand_messages_request
from tests.conversion.traffic import PNG, messages_requests

TERMS = Terms(output_tokens_max=4096)
EMPTY: Tree = {}
HI: Tree = {"role": "user", "content": "hi"}
URL = f"data:image/png;base64,{PNG}"


def chat(*turns: Tree, **more: object) -> Tree:
    return {"model": "m", "messages": list(turns) or [HI], **more}


def asked(*turns: Tree, **more: object) -> Tree:
    return {"model": "m", "max_tokens": 9, "messages": list(turns) or [HI], **more}


def call(use_id: object = "t1", arguments: object = "{}", **more: object) -> Tree:
    return {"id": use_id, "type": "function", "function": {"name": "f", "arguments": arguments}, **more}


def parts(*content: Tree | int, role: str = "user") -> Tree:
    return {"role": role, "content": list(content)}


@pytest.mark.requirement("CONV-01", "CONV-02")
@settings(max_examples=40)
@given(messages_requests())
def test_a_messages_request_said_as_chat_is_accepted_and_comes_back_the_same(request: Tree) -> None:
    said = to_chat(request, TERMS)
    assert said.left_out == ()
    demand_chat_request(said.tree)
    back = to_messages(said.tree, TERMS)
    demand_messages_request(back.tree)
    stream = {"stream_options"} if request.get("stream") else set[str]()
    assert set(back.left_out) <= stream
    assert back.tree == request


@pytest.mark.requirement("CONV-01")
@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (chat({"role": "developer", "content": "be brief"}, {"role": "system", "content": "and kind"}, HI),
         {"system": [{"type": "text", "text": "be brief"}, {"type": "text", "text": "and kind"}], "messages": [HI]}),
        (chat({"role": "system", "content": "be brief"}, HI), {"system": "be brief"}),
        (chat(HI, {"role": "developer", "content": "now brief"}),
         {"messages": [HI, {"role": "system", "content": "now brief"}]}),
        (chat(max_tokens=7), {"max_tokens": 7}), (chat(max_completion_tokens=8), {"max_tokens": 8}),
        (chat(), {"max_tokens": 4096}), (chat(stop="x"), {"stop_sequences": ["x"]}),
        (chat(stop=["x", "y"], temperature=0.5, top_p=0.25),
         {"stop_sequences": ["x", "y"], "temperature": 0.5, "top_p": 0.25}),
        (chat(user="u1"), {"metadata": {"user_id": "u1"}}),
        (chat(safety_identifier="s1", user="s1"), {"metadata": {"user_id": "s1"}}),
        (chat(n=1, logprobs=False, frequency_penalty=0.0, presence_penalty=0, logit_bias=EMPTY, store=False,
              modalities=["text"], verbosity="medium", seed=None, functions=[]), {"messages": [HI]}),
        (chat(reasoning_effort="none"), {"thinking": {"type": "disabled"}}),
        (chat(reasoning_effort="minimal"), {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
        (chat(response_format={"type": "text"}), {"messages": [HI]}),
        (chat(response_format={"type": "json_schema", "json_schema": {
            "name": "n", "description": "d", "schema": {"type": "object"}, "strict": True}}),
         {"output_config": {"format": {"type": "json_schema", "schema": {"description": "d", "type": "object"}}}}),
        (chat(tools=[{"type": "function", "function": {"name": "f"}}], parallel_tool_calls=False),
         {"tools": [{"name": "f", "input_schema": {"type": "object", "properties": EMPTY}}],
          "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}),
        (chat(tools=[{"type": "function", "function": {"name": "f"}}], tool_choice="required"),
         {"tool_choice": {"type": "any"}}),
        (chat(parts({"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": URL}})),
         {"messages": [parts({"type": "text", "text": "see"}, {"type": "image", "source": {
             "type": "base64", "media_type": "image/png", "data": PNG}})]}),
        (chat(HI, {"role": "assistant", "content": None, "tool_calls": [call(), call("t2", "")], "annotations": []},
              {"role": "tool", "tool_call_id": "t1", "content": "one"},
              {"role": "tool", "tool_call_id": "t2", "content": [{"type": "text", "text": "two"}]}, HI),
         {"messages": [HI, parts({"type": "tool_use", "id": "t1", "name": "f", "input": EMPTY},
                                 {"type": "tool_use", "id": "t2", "name": "f", "input": EMPTY}, role="assistant"),
                       parts({"type": "tool_result", "tool_use_id": "t1", "content": "one"},
                             {"type": "tool_result", "tool_use_id": "t2", "content": [{"type": "text", "text": "two"}]},
                             {"type": "text", "text": "hi"})]}),
        (chat(HI, {"role": "assistant", "content": "no", "refusal": "cannot"}),
         {"messages": [HI, parts({"type": "text", "text": "no"}, {"type": "text", "text": "cannot"},
                                 role="assistant")]}),
    ],
)  # fmt: skip
def test_a_chat_request_is_said_as_a_messages_request(given_: Tree, expected: Tree) -> None:
    said = to_messages(given_, TERMS)
    demand_messages_request(said.tree)
    assert {name: said.tree.get(name) for name in expected} == expected
    assert said.left_out == ()


@pytest.mark.requirement("CONV-01")
@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (asked(), {"max_completion_tokens": 9}),
        (asked(system=[{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]),
         {"messages": [{"role": "system", "content": "a"}, HI]}),
        (asked(stream=True), {"stream": True, "stream_options": {"include_usage": True}}),
        (asked(speed="standard", tools=[]), {"messages": [HI]}),
        (asked(thinking={"type": "enabled", "budget_tokens": 2048}), {"reasoning_effort": "low"}),
        (asked(thinking={"type": "enabled", "budget_tokens": 10_000}), {"reasoning_effort": "medium"}),
        (asked(thinking={"type": "enabled", "budget_tokens": 32_000}), {"reasoning_effort": "high"}),
        (asked(thinking={"type": "adaptive"}), {"messages": [HI]}),
        (asked(HI, {"role": "system", "content": "now"}), {"messages": [HI, {"role": "system", "content": "now"}]}),
        (asked(parts({"type": "tool_result", "tool_use_id": "t", "is_error": True, "content": "no"})),
         {"messages": [{"role": "tool", "tool_call_id": "t", "content": FAILED + "no"}]}),
        (asked(parts({"type": "thinking", "thinking": "so", "signature": ""}, {"type": "text", "text": "a"},
                     role="assistant")),
         {"messages": [{"role": "assistant", "content": "a", "reasoning_content": "so"}]}),
    ],
)  # fmt: skip
def test_a_messages_request_is_said_as_a_chat_request(given_: Tree, expected: Tree) -> None:
    said = to_chat(given_, TERMS)
    demand_chat_request(said.tree)
    assert {name: said.tree.get(name) for name in expected} == expected


@pytest.mark.requirement("CONV-03")
@pytest.mark.parametrize(
    ("given_", "path"),
    [
        (chat(n=2), "n"), (chat(seed=1), "seed"), (chat(logprobs=True), "logprobs"), (chat(store=True), "store"),
        (chat(frequency_penalty=0.5), "frequency_penalty"), (chat(logit_bias={"1": 1}), "logit_bias"),
        (chat(temperature=1.5), "temperature"), (chat(modalities=["audio"]), "modalities"),
        (chat(verbosity="low"), "verbosity"), (chat(moderation={"model": "x"}), "moderation"),
        (chat(web_search_options=EMPTY), "web_search_options"), (chat(functions=[{"name": "f"}]), "functions"),
        (chat(something_new=1), "something_new"),
        (chat(response_format={"type": "json_object"}), "response_format.type"),
        (chat(reasoning_effort="huge"), "reasoning_effort"), (chat(messages="x"), "messages"),
        (chat(tools=[{"type": "custom", "custom": {"name": "x"}}]), "tools.0.type"),
        (chat(tools=[{"type": "function", "function": {"name": "f", "cache": 1}}]), "tools.0.function.cache"),
        (chat(tools=[{"type": "function", "function": {"name": "f"}}], tool_choice="maybe"), "tool_choice"),
        (chat(tools=[{"type": "function", "function": {"name": "f"}}], tool_choice={"type": "allowed_tools"}),
         "tool_choice.type"),
        (chat({"role": "user", "content": "x", "name": "ann"}), "messages.0.name"),
        (chat({"role": "robot", "content": "x"}), "messages.0.role"), (chat(parts(7)), "messages.0.content.0"),
        (chat(parts({"type": "input_audio", "input_audio": EMPTY})), "messages.0.content.0.type"),
        (chat(parts({"type": "file", "file": {"file_id": "f"}})), "messages.0.content.0.file.file_id"),
        (chat(parts({"type": "file", "file": {"file_data": "data:audio/wav;base64,AA=="}})),
         "messages.0.content.0.file.file_data"),
        (chat(parts({"type": "file", "file": {"file_data": "data:text/plain;base64,/w=="}})),
         "messages.0.content.0.file.file_data"),
        (chat(parts({"type": "image_url", "image_url": {"url": "data:image/bmp;base64,AA=="}})),
         "messages.0.content.0.image_url.url"),
        (chat(parts({"type": "image_url", "image_url": {"url": "data:image/png,AA"}})),
         "messages.0.content.0.image_url.url"),
        (chat({"role": "assistant", "content": "x", "audio": {"id": "a"}}), "messages.0.audio"),
        (chat({"role": "assistant", "tool_calls": [call(arguments="[1]")]}),
         "messages.0.tool_calls.0.function.arguments"),
        (chat({"role": "assistant", "tool_calls": [call(arguments="{")]}),
         "messages.0.tool_calls.0.function.arguments"),
        (chat({"role": "assistant", "tool_calls": [call("a.b")]}), "messages.0.tool_calls.0.id"),
        (chat({"role": "assistant", "tool_calls": [call(type="custom")]}), "messages.0.tool_calls.0.type"),
    ],
)  # fmt: skip
def test_what_a_messages_provider_has_no_word_for_is_refused_by_its_path(given_: Tree, path: str) -> None:
    with pytest.raises(CannotCarry) as caught:
        to_messages(given_, TERMS)
    assert caught.value.path == path
    assert str(caught.value).startswith(f"`{path}` ")


@pytest.mark.requirement("CONV-03")
def test_a_limit_that_nobody_names_is_asked_for() -> None:
    with pytest.raises(CannotCarry, match="`max_output_tokens`"):
        to_messages(chat(), Terms())


@pytest.mark.requirement("CONV-03")
@pytest.mark.parametrize(
    ("given_", "path"),
    [
        (asked(top_k=3), "top_k"), (asked(container="c"), "container"), (asked(mcp_servers=[EMPTY]), "mcp_servers"),
        (asked(context_management={"edits": []}), "context_management"), (asked(speed="fast"), "speed"),
        (asked(inference_geo="eu"), "inference_geo"), (asked(thinking={"type": "between_tools"}), "thinking.type"),
        (asked(output_config={"effort": "huge"}), "output_config.effort"),
        (asked(output_config={"format": {"type": "x"}}), "output_config.format.type"),
        (asked(tools=[{"type": "web_search_20260318", "name": "w"}]), "tools.0.type"),
        (asked(tools=[{"type": "bash_20250124", "name": "bash"}]), "tools.0.type"),
        (asked(tools=[{"name": "f", "input_schema": EMPTY, "input_examples": [EMPTY]}]), "tools.0.input_examples"),
        (asked(tools=[{"name": "f", "input_schema": EMPTY, "defer_loading": True}]), "tools.0.defer_loading"),
        (asked(tools=[{"name": "f", "input_schema": EMPTY}], tool_choice={"type": "x"}), "tool_choice.type"),
        (asked({"role": "robot", "content": "x"}), "messages.0.role"), (asked(parts(role="robot")), "messages.0.role"),
        (asked(parts({"type": "thinking", "thinking": "so", "signature": "c2ln"}, role="assistant")),
         "messages.0.content.0"),
        (asked(parts({"type": "redacted_thinking", "data": "x"}, role="assistant")), "messages.0.content.0"),
        (asked(parts({"type": "server_tool_use"}, role="assistant")), "messages.0.content.0.type"),
        (asked(parts({"type": "search_result"})), "messages.0.content.0.type"),
        (asked(parts({"type": "text", "text": "a", "citations": [EMPTY]})), "messages.0.content.0.citations"),
        (asked(parts({"type": "image", "source": {"type": "file", "file_id": "f"}})), "messages.0.content.0.source"),
        (asked(parts({"type": "document", "source": {"type": "url", "url": "u"}})), "messages.0.content.0.source"),
        (asked(parts({"type": "document", "source": EMPTY, "context": "c"})), "messages.0.content.0.context"),
        (asked(parts({"type": "document", "source": EMPTY, "citations": {"enabled": True}})),
         "messages.0.content.0.citations"),
        (asked(parts({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image"}]})),
         "messages.0.content.0.content.0.type"),
        (asked(system=[{"type": "image"}]), "system.0.type"),
    ],
)  # fmt: skip
def test_what_a_chat_provider_has_no_word_for_is_refused_by_its_path(given_: Tree, path: str) -> None:
    with pytest.raises(CannotCarry) as caught:
        to_chat(given_, TERMS)
    assert caught.value.path == path


@pytest.mark.requirement("CONV-04")
def test_what_is_left_out_is_named_once() -> None:
    hints = chat(
        parts({"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}},
              {"type": "image_url", "image_url": {"url": URL, "detail": "low"}}),
        metadata={"a": "b"}, service_tier="flex", prompt_cache_key="k", prediction={"type": "content"},
    )  # fmt: skip
    assert set(to_messages(hints, TERMS).left_out) == {
        "metadata", "service_tier", "prompt_cache_key", "prediction", "messages.*.content.*.prompt_cache_breakpoint",
        "messages.*.content.*.image_url.detail",
    }  # fmt: skip
    thought: Tree = {"role": "assistant", "content": "x", "reasoning_content": "so"}
    said = to_messages(chat(thought), TERMS)
    assert said.left_out == ("messages.*.reasoning_content",)
    assert said.tree["messages"] == [{"role": "assistant", "content": "x"}]
    cached = {"cache_control": {"type": "ephemeral"}}
    block: Tree = {"type": "text", "text": "a", **cached}
    other = asked(
        parts(block, block), service_tier="auto", metadata={"user_id": "u", "other": 1}, system=[block], **cached,
        tools=[{"name": "f", "input_schema": EMPTY, **cached}], thinking={"type": "adaptive", "display": "omitted"},
    )  # fmt: skip
    assert set(to_chat(other, TERMS).left_out) == {
        "service_tier", "cache_control", "metadata", "system.*.cache_control", "messages.*.content.*.cache_control",
        "tools.*.cache_control", "thinking.display",
    }  # fmt: skip
