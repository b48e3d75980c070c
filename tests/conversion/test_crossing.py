"""Agents of either official SDK against models of the other provider, through a running gateway."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import anthropic
import httpx
import openai
import pytest
from anthropic import beta_tool
from pydantic import BaseModel

from gateway import body
from gateway.conversion import bridge
from gateway.conversion.answers import completion_of
from tests.emulator.anthropic import error, message, text, thinking, tool_use
from tests.emulator.faults import plain
from tests.gateway.model_upstream import Script, chunk, chunks_of, completion

if TYPE_CHECKING:
    from anthropic.types import MessageParam
    from anthropic.types.beta import BetaMessageParam
    from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionMessageParam

    from gateway.conversion.carried import Tree
    from gateway.providers.provider import Dialect
    from tests.conversion.stand import Crossing


ASKED: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]
HI: list[MessageParam] = [{"role": "user", "content": "hi"}]
BETA_HI: list[BetaMessageParam] = [{"role": "user", "content": "hi"}]
PAY: ChatCompletionFunctionToolParam = {
    "type": "function", "function": {"name": "pay", "parameters": {"type": "object", "properties": {}}},
}  # fmt: skip
CALL = {"id": "t1", "type": "function", "function": {"name": "pay", "arguments": '{"to":"ann"}'}}


class Bill(BaseModel):
    """What is asked for in structured output."""

    amount: int


@pytest.mark.requirement("CONV-11", "CONV-13")
def test_the_openai_sdk_calls_a_model_of_anthropics(crossing: Crossing) -> None:
    crossing.theirs.says = lambda _: message(thinking("hm"), text("hello"))
    raw = crossing.openai().chat.completions.with_raw_response.create(
        model="claude", messages=ASKED, metadata={"a": "b"}, stop="x"
    )
    assert raw.headers["oncegate-converted"] == "anthropic_messages"
    assert raw.headers["oncegate-left-out"] == "metadata"
    assert raw.headers["x-request-id"] == "req_up"
    answer = raw.parse()
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("hello", "stop")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (16, 7)
    (received,) = crossing.theirs.received
    assert received.path == "/v1/messages"
    assert received.tree == {
        "model": "up", "max_tokens": 4096, "messages": [{"role": "user", "content": "hi"}], "stop_sequences": ["x"],
    }  # fmt: skip
    (call,) = [one for one in crossing.gateway.calls() if one["id"] == raw.headers["oncegate-call"]]
    usage = cast("Tree", cast("Tree", call["meta"])["usage"])
    assert (usage["input_tokens"], usage["output_tokens"], usage["cached_input_tokens"]) == (16, 7, 5)


@pytest.mark.requirement("CONV-11")
def test_the_openai_sdk_streams_text_and_tool_calls_of_anthropics(crossing: Crossing) -> None:
    crossing.theirs.says = lambda _: message(
        thinking("hm"), text("wörld"), tool_use("pay", {"to": "é"}), tool_use("pay", {}, "t2")
    )
    with crossing.openai().chat.completions.stream(
        model="claude", messages=ASKED, tools=[PAY], stream_options={"include_usage": True}
    ) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls or []
    assert final.choices[0].message.content == "wörld"
    assert [(call.id, json.loads(call.function.arguments)) for call in calls] == [("toolu_01", {"to": "é"}), ("t2", {})]
    assert final.choices[0].finish_reason == "tool_calls"
    assert final.usage is not None
    assert final.usage.total_tokens == 23


@pytest.mark.requirement("CONV-11")
def test_the_openai_sdk_gets_structured_output_and_goes_through_a_tool_loop(crossing: Crossing) -> None:
    crossing.theirs.says = lambda _: message(text('{"amount": 5}'))
    parsed = crossing.openai().chat.completions.parse(model="claude", messages=ASKED, response_format=Bill)
    assert parsed.choices[0].message.parsed == Bill(amount=5)

    def says(request: Tree) -> Tree:
        done = "tool_result" in str(request["messages"])
        return message(text("done")) if done else message(thinking("hm"), text("now"), tool_use("pay", {"to": "ann"}))

    crossing.theirs.says = says
    client, turns = crossing.openai(), list(ASKED)
    answer = client.chat.completions.create(model="claude", messages=turns, tools=[PAY]).choices[0].message
    turns.append(cast("ChatCompletionMessageParam", answer.model_dump(exclude_none=True)))
    for call in answer.tool_calls or []:
        turns.append({"role": "tool", "tool_call_id": call.id, "content": "paid"})  # noqa: PERF401 - types
    last = client.chat.completions.create(model="claude", messages=turns, tools=[PAY])
    assert last.choices[0].message.content == "done"


@pytest.mark.requirement("CONV-11", "CONV-13")
def test_the_anthropic_sdk_calls_a_model_that_speaks_chat(crossing: Crossing) -> None:
    crossing.ours.script = lambda _: Script(body=completion("hello", reasoning_content="hm"))
    raw = crossing.anthropic().messages.with_raw_response.create(
        model="gpt",
        max_tokens=9,
        messages=HI,
        system="be kind",
        metadata={"user_id": "u"},
        service_tier="auto",
        extra_headers={"anthropic-beta": "some-2026-01-01"},
    )
    assert raw.headers["oncegate-converted"] == "openai_chat"
    assert raw.headers["oncegate-left-out"] == "service_tier, anthropic-beta"
    answer = raw.parse()
    assert [block.type for block in answer.content] == ["thinking", "text"]
    assert (answer.stop_reason, answer.usage.input_tokens, answer.usage.output_tokens) == ("end_turn", 11, 7)
    assert crossing.ours.received == [{
        "model": "up", "messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}],
        "max_tokens": 9, "user": "u",
    }]  # fmt: skip


@pytest.mark.requirement("CONV-11")
def test_the_anthropic_sdk_streams_text_and_tool_calls_of_a_model_that_speaks_chat(crossing: Crossing) -> None:
    pieces = [{"index": 0, "id": "t1", "function": {"name": "pay", "arguments": '{"to"'}},
              {"index": 0, "function": {"arguments": ':"ann"}'}}]  # fmt: skip
    counted = json.dumps({"id": "c1", "choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7}})
    crossing.ours.script = lambda _: Script(chunks=[
        *chunks_of(["hel", "lo"])[:-2], *(chunk({"tool_calls": [piece]}) for piece in pieces), chunk({}, "tool_calls"),
        counted, "[DONE]",
    ])  # fmt: skip
    with crossing.anthropic().messages.stream(model="gpt", max_tokens=9, messages=HI) as stream:
        said = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert said == "hello"
    assert [block.to_dict() for block in final.content][1:] == [
        {"type": "tool_use", "id": "t1", "name": "pay", "input": {"to": "ann"}}
    ]
    assert (final.stop_reason, final.usage.input_tokens, final.usage.output_tokens) == ("tool_use", 11, 7)
    assert crossing.ours.received[0]["stream_options"] == {"include_usage": True}


@pytest.mark.requirement("CONV-11")
def test_the_anthropic_sdks_tool_runner_and_parser_work_with_a_model_that_speaks_chat(crossing: Crossing) -> None:
    @beta_tool
    def pay(to: str) -> str:
        """Pay somebody.

        Args:
            to: whom
        """
        return f"paid {to}"

    def says(request: Tree) -> Script:
        done = any(one["role"] == "tool" for one in cast("list[Tree]", request["messages"]))
        return Script(body=completion("done") if done else completion("", tool_calls=[CALL]))

    crossing.ours.script = says
    runner = crossing.anthropic().beta.messages.tool_runner(
        model="gpt", max_tokens=9, messages=BETA_HI, tools=[pay], thread=False
    )
    assert [[block.type for block in answer.content] for answer in runner] == [["tool_use"], ["text"]]
    crossing.ours.script = lambda _: Script(body=completion('{"amount": 5}'))
    parsed = crossing.anthropic().messages.parse(model="gpt", max_tokens=9, messages=HI, output_format=Bill)
    assert parsed.parsed_output == Bill(amount=5)


@pytest.mark.requirement("CONV-12")
def test_what_cannot_be_carried_raises_bad_request_and_nothing_is_sent(crossing: Crossing) -> None:
    with pytest.raises(openai.BadRequestError, match="`n` cannot be carried"):
        crossing.openai().chat.completions.create(model="claude", messages=ASKED, n=2)
    with pytest.raises(openai.BadRequestError, match="`max_output_tokens`"):
        crossing.openai().chat.completions.create(model="limitless", messages=ASKED)
    with pytest.raises(anthropic.BadRequestError, match="`top_k` cannot be carried"):
        crossing.anthropic().messages.create(model="gpt", max_tokens=9, messages=HI, extra_body={"top_k": 3})
    with pytest.raises(anthropic.NotFoundError, match="tokens cannot be counted"):
        crossing.anthropic().messages.count_tokens(model="gpt", messages=HI)
    assert (crossing.theirs.received, crossing.ours.received) == ([], [])


@pytest.mark.requirement("CONV-12")
@pytest.mark.parametrize(
    ("status", "chat_class", "messages_class"),
    [
        (400, openai.BadRequestError, anthropic.BadRequestError),
        (403, openai.PermissionDeniedError, anthropic.PermissionDeniedError),
        (404, openai.NotFoundError, anthropic.NotFoundError), (429, openai.RateLimitError, anthropic.RateLimitError),
        (500, openai.InternalServerError, anthropic.InternalServerError),
        (529, openai.InternalServerError, anthropic.OverloadedError),
    ],
)  # fmt: skip
def test_the_providers_errors_raise_the_clients_class(
    crossing: Crossing, status: int, chat_class: type[openai.APIStatusError],
    messages_class: type[anthropic.APIStatusError],
) -> None:  # fmt: skip
    crossing.theirs.faulty = lambda _: plain(error("some_error"), status=status)
    with pytest.raises(chat_class, match="the emulator says so"):
        crossing.openai().chat.completions.create(model="claude", messages=ASKED, user=f"u{status}")
    crossing.ours.script = lambda _: Script(status=status, body={"error": {"message": "so", "type": "x", "code": "y"}})
    with pytest.raises(messages_class) as caught:
        crossing.anthropic().messages.create(model="gpt", max_tokens=status, messages=HI)
    assert (caught.value.api_message, caught.value.status_code) == ("so", status)


@pytest.mark.requirement("CONV-13")
def test_a_restarted_agent_gets_the_same_bytes_in_its_own_protocol(crossing: Crossing) -> None:
    crossing.theirs.says = lambda _: message(text("hello"), tool_use("pay", {"to": "ann"}))
    crossing.ours.script = lambda _: Script(body=completion("hi there", tool_calls=[CALL]))
    bodies: list[list[bytes]] = []
    run: Tree = {}
    for _ in range(2):
        opened = crossing.gateway.open_run(run)
        run = {"id": opened.json()["id"]}
        named = {"authorization": f"Bearer {opened.json()['token']}"}
        asked = [
            ("/v1/chat/completions", {"model": "claude", "messages": ASKED}),
            ("/v1/chat/completions", {"model": "claude", "messages": ASKED, "stream": True}),
            ("/v1/messages", {"model": "gpt", "max_tokens": 9, "messages": HI}),
            ("/v1/messages", {"model": "claude", "max_tokens": 9, "messages": HI, "stream": True}),
        ]
        answers = [
            httpx.post(crossing.gateway.url + path, json=tree, headers=named, timeout=60) for path, tree in asked
        ]
        assert [answer.status_code for answer in answers] == [200] * 4
        bodies.append([answer.content for answer in answers])
    assert bodies[0] == bodies[1]
    assert (len(crossing.theirs.received), len(crossing.ours.received)) == (3, 1)
    assert b'"chat.completion"' in bodies[0][0]
    assert b'"tool_use"' in bodies[0][2]


@pytest.mark.requirement("CONV-11")
def test_a_fallback_crosses_providers_both_ways(crossing: Crossing) -> None:
    crossing.theirs.says = lambda _: message(text("from claude"))
    crossing.ours.script = lambda _: Script(status=503, body={"error": {"message": "away"}})
    raw = crossing.openai().chat.completions.with_raw_response.create(model="gpt-first", messages=ASKED)
    assert raw.parse().choices[0].message.content == "from claude"
    assert raw.headers["oncegate-converted"] == "anthropic_messages"
    assert (len(crossing.ours.received), len(crossing.theirs.received)) == (1, 1)
    crossing.fresh()
    crossing.theirs.faulty = lambda _: plain(error("overloaded_error"), status=529)
    with crossing.anthropic().messages.stream(model="claude-first", max_tokens=9, messages=HI) as stream:
        assert "".join(stream.text_stream) == "hello"
    assert (len(crossing.ours.received), len(crossing.theirs.received)) == (1, 1)


@pytest.mark.requirement("CONV-13")
def test_an_answer_that_was_given_is_said_in_the_clients_protocol() -> None:
    completed = completion_of(message(text("given")), created=0)
    said = body.parse(bridge.given_as("anthropic_messages", body.encode(completed)))
    assert cast("Tree", said)["content"] == [text("given")]
    back = body.parse(bridge.given_as("openai_chat", body.encode(message(text("given")))))
    assert back == completed
    for own, tree in [("openai_chat", completed), ("anthropic_messages", message(text("x")))]:
        kept = body.encode(tree)
        assert bridge.given_as(cast("Dialect", own), kept) == kept
    odd = body.encode({"type": "message", "content": [{"type": "new"}]})
    assert bridge.given_as("openai_chat", odd) == odd
    assert bridge.given_as("openai_chat", b"[]") == b"[]"
