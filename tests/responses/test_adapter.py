"""The responses adapter: what it reads, what it asks to be decided, what it sends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import pytest
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from durable.step import Outcome
from gateway import body
from gateway.call import Refusal, header
from gateway.protocols.openai_responses import ResponsesAdapter
from gateway.providers.anthropic import ANTHROPIC
from gateway.providers.openai import OPENAI
from gateway.providers.target import ModelTarget
from gateway.sse import EventSplitter
from tests.emulator.openai import function_call, message, reasoning, refused, response
from tests.gateway.exchange import exchange

if TYPE_CHECKING:
    from gateway.call import Call, Upstream
    from gateway.providers.provider import Provider

Tree = dict[str, object]


def target(name: str, provider: Provider, sent: str) -> ModelTarget:
    return ModelTarget(
        name=name, domain="vendors", provider=provider, upstream=cast("Upstream", None), upstream_model=sent,
        credential=lambda: "upstream-key", seconds_max=30, origin="https://h/v1",
    )  # fmt: skip


def adapter() -> ResponsesAdapter:
    models = [target("gpt", OPENAI, "gpt"), target("renamed", OPENAI, "gpt-2026"), target("claude", ANTHROPIC, "c")]
    return ResponsesAdapter({one.name: one for one in models})


def read(**fields: object) -> Call:
    return adapter().read(exchange({"model": "gpt", "input": "hi", **fields}, path="/v1/responses"))


@pytest.mark.requirement("RESP-06")
@pytest.mark.parametrize(
    ("tree", "status"),
    [
        (b"{", 400), (b"[]", 400), ({}, 400), ({"model": "gpt", "input": 1}, 400), ({"model": "other"}, 404),
        ({"model": "gpt", "input": "x", "stream": 1}, 400), ({"model": "claude", "input": "x"}, 400),
    ],
)  # fmt: skip
def test_an_unusable_request_is_refused_in_openais_form(tree: object, status: int) -> None:
    with pytest.raises(Refusal) as caught:
        adapter().read(exchange(tree))
    reply = adapter().refuse(caught.value, None, ())
    assert reply.status == status
    assert cast("Tree", body.parse(reply.body))["error"]


@pytest.mark.requirement("RESP-06")
def test_volatile_fields_leave_the_fingerprint_alone_and_store_does_not() -> None:
    plain = read().canonical
    noise: Tree = {
        "metadata": {"a": "b"},
        "user": "u",
        "prompt_cache_key": "k",
        "stream_options": {"include_obfuscation": 0},
    }
    assert read(**noise).canonical == plain
    assert read(store=False).canonical != plain
    assert read(previous_response_id="resp_1").canonical != plain


@pytest.mark.requirement("RESP-06")
def test_the_results_of_equal_parallel_calls_may_come_in_any_order() -> None:
    def conversation(first: str, second: str) -> bytes:
        asked = [function_call(number=1), function_call(number=2), function_call("other", number=3)]
        given = [{"type": "function_call_output", "call_id": f"call_{place}", "output": output}
                 for place, output in ((1, first), (2, second), (3, "other"))]  # fmt: skip
        return read(input=[*asked, *given]).canonical

    assert conversation("one", "two") == conversation("two", "one")
    assert conversation("one", "two") != conversation("one", "three")


@pytest.mark.requirement("RESP-06")
def test_an_unchanged_request_is_sent_as_it_came_with_the_gateways_credential_only() -> None:
    raw = b'{ "model":"gpt", "input":"hi", "vendor_field": 1.00 }'
    call = adapter().read(exchange(raw, headers=((b"authorization", b"Bearer og_x"), (b"openai-organization", b"o"))))
    sent = adapter().request(call, call.tree, upstream_key="k1")
    assert (sent.method, sent.path, sent.body) == ("POST", "/responses", raw)
    assert header(sent.headers, b"authorization") == b"Bearer upstream-key"
    assert header(sent.headers, b"openai-organization") is None
    renamed = adapter().read(exchange({"model": "renamed", "input": "hi"}))
    assert b'"gpt-2026"' in adapter().request(renamed, renamed.tree, upstream_key=None).body


MCP = {"type": "mcp", "server_label": "d"}


@pytest.mark.requirement("RESP-07")
@pytest.mark.parametrize(
    ("fields", "also"),
    [
        ({"tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "c"}, {"type": "local_shell"},
                    {"type": "apply_patch"}, {"type": "shell", "environment": {"type": "local"}},
                    {"type": "tool_search", "execution": "client"},
                    {"type": "namespace", "name": "n", "tools": [{"type": "function"}]}]}, []),
        ({"tools": [{"type": "web_search"}, {"type": "file_search", "vector_store_ids": ["vs_1"]},
                    {"type": "code_interpreter", "container": {"type": "auto"}}, {"type": "image_generation"},
                    {"type": "computer_use_preview"}, {"type": "shell"}, {"type": "programmatic_tool_calling"}]},
         ["web_search/-", "file_search/-", "code_interpreter/-", "image_generation/-", "computer_use_preview/-",
          "shell/-", "programmatic_tool_calling/-"]),
        ({"tools": [MCP | {"server_url": "https://User.Example:443/mcp"}]}, ["mcp/user.example"]),
        ({"tools": [MCP | {"server_url": "http://h:8080/mcp"}]}, ["mcp/h:8080"]),
        ({"tools": [MCP | {"connector_id": "connector_gmail"}]}, ["mcp/connector_gmail"]),
        ({"tools": [MCP | {"tunnel_id": "tun_1"}]}, ["mcp/tun_1"]),
        ({"tools": [{"type": "namespace", "tools": [{"type": "web_search"}]}]}, ["web_search/-"]),
        ({"input": [{"type": "additional_tools", "role": "developer", "tools": [{"type": "web_search"}]}]},
         ["web_search/-"]),
        ({"background": True}, ["background/-"]),
        ({"tools": [{"type": "tool_of_2027"}]}, ["tool_of_2027/-"]),
        ({"tools": [{"type": "Function"}, {"type": "WEB_SEARCH"}]}, ["Function/-", "WEB_SEARCH/-"]),
        # the words of those who speak OpenAI's protocol
        ({"data_sources": [{"type": "azure_search"}]}, ["data_sources/-"]),
        ({"search_parameters": {"mode": "on"}}, ["web_search/-"]), ({"enable_search": True}, ["web_search/-"]),
        ({"web_search_options": {"search_context_size": "low"}}, ["web_search/-"]),
        ({"plugins": [{"id": "web"}]}, ["plugins/-"]),
        ({"connectors": [{"id": "web-search"}]}, ["connectors/-"]), ({"models": ["dear/one"]}, ["fallback/-"]),
        ({"compound_custom": {"tools": "all"}}, ["compound_custom/-"]),
    ],
)  # fmt: skip
def test_what_the_provider_does_itself_is_a_resource_of_its_own_and_never_repeated(
    fields: Tree, also: list[str]
) -> None:
    call = read(**fields)
    assert call.also == tuple(f"model/gpt/hosted/{name}" for name in also)
    assert call.effect == ("once" if also else "safe")


@pytest.mark.requirement("RESP-07")
@pytest.mark.parametrize(
    "tool",
    [
        MCP | {"server_url": "https://good@evil/mcp"}, MCP | {"server_url": "ftp://h"}, MCP | {"server_url": 1},
        MCP | {"server_url": "https://h", "connector_id": "connector_gmail"}, MCP | {"server_url": "https://a\\b/"},
        MCP | {"server_url": "https://h:x/"}, {"type": 1}, {"type": ""}, {"type": None}, {"google_search": {}},
        MCP | {"server_url": "https://\u0433.example/"},
    ],
)  # fmt: skip
def test_a_tool_whose_host_could_be_read_in_two_ways_is_refused(tool: Tree) -> None:
    with pytest.raises(Refusal) as caught:
        read(tools=[tool])
    assert caught.value.status == 400


@pytest.mark.requirement("RESP-07")
@pytest.mark.parametrize("tools", [{"0": {"type": "web_search"}}, "web_search", {"type": "web_search"}, True])
def test_tools_that_are_no_list_are_refused_for_a_lenient_server_could_read_them(tools: object) -> None:
    with pytest.raises(Refusal) as caught:
        read(tools=tools)
    assert (caught.value.status, caught.value.message) == (400, "`tools` must be a list")


@pytest.mark.requirement("RESP-08")
def test_the_same_tool_calls_are_seen_in_the_answer_and_in_the_next_request() -> None:
    custom: Tree = {"id": "ct_1", "type": "custom_tool_call", "call_id": "call_9", "name": "run", "input": "ls"}
    answer = response(message("ok"), function_call(), custom)
    outcome = Outcome(form="body", status=200, media="application/json", body=body.encode(answer))
    asked = adapter().tools_asked(outcome)
    shown = adapter().results_shown({"input": [
        function_call(), custom, function_call("open", number=2),
        {"type": "function_call_output", "call_id": "call_1", "output": "done"},
        {"type": "custom_tool_call_output", "call_id": "call_9", "output": "a"},
    ]})  # fmt: skip
    assert [(use.name, use.arguments) for use in asked] == [("pay", {"to": "x"}), ("run", "ls")]
    assert shown == asked


@pytest.mark.requirement("RESP-09")
def test_a_given_answer_is_a_stream_that_the_sdk_reads_to_the_same_response() -> None:
    given = response(reasoning("so"), message("hello"), refused("no"), function_call())
    outcome = Outcome(form="body", status=200, media="application/json", body=body.encode(given),
                      meta={"source": "operator"})  # fmt: skip
    reply = adapter().present(read(stream=True), outcome, outcome.body, ())
    state: ResponseStreamState[None] = ResponseStreamState(input_tools=[], text_format=omit)
    reader: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
    ended: Response | None = None
    for one in EventSplitter().feed(reply.body):
        for said in state.handle_event(reader.validate_python(json.loads(one.data or b""))):
            ended = said.response if said.type == "response.completed" else ended
    assert ended is not None
    assert ended.output_text == "hello"
    assert [item.type for item in ended.output] == ["reasoning", "message", "message", "function_call"]
