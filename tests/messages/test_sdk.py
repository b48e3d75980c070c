"""The official Anthropic SDK against a running gateway."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import httpx
import pytest
from anthropic import beta_tool
from pydantic import BaseModel

from tests.emulator.anthropic import message, text, thinking, tool_use
from tests.emulator.anthropic import stream as stream_of
from tests.emulator.faults import Answer
from tests.messages.stand import async_sdk, sdk

if TYPE_CHECKING:
    from anthropic.types import MessageParam, ToolParam
    from anthropic.types.beta import BetaMessageParam

    from tests.emulator.anthropic import AnthropicEmulator, Tree
    from tests.gateway.running import RunningGateway

pytestmark = pytest.mark.anyio

HI: list[MessageParam] = [{"role": "user", "content": "hi"}]
ASKED: list[BetaMessageParam] = [{"role": "user", "content": "hi"}]
PAY: ToolParam = {"name": "pay", "description": "pays", "input_schema": {"type": "object", "properties": {}}}


@pytest.mark.requirement("MSG-20")
def test_the_sdk_gets_a_plain_answer_with_every_field_and_the_upstream_never_sees_its_key(
    gateway: RunningGateway, upstream: AnthropicEmulator
) -> None:
    upstream.says = lambda _: message(text("hello"), vendor_extra={"kept": 1.5})
    raw = sdk(gateway).messages.with_raw_response.create(
        model="allowed", max_tokens=9, messages=HI, extra_body={"vendor": {"x": 1}}
    )
    assert raw.headers["oncegate-call"].startswith("call_")
    assert raw.headers["request-id"] == "req_up"
    assert '"vendor_extra": {"kept": 1.5}' in raw.text()
    answer = raw.parse()
    assert [block.text for block in answer.content if block.type == "text"] == ["hello"]
    assert answer.usage.input_tokens == 11
    (received,) = upstream.received
    assert received.path == "/v1/messages"
    assert (received.tree["model"], received.tree["vendor"]) == ("up", {"x": 1})
    assert received.headers["x-api-key"] == "upstream-secret"
    assert received.headers["anthropic-version"].startswith("20")
    assert "authorization" not in received.headers
    assert gateway.keys["billing"] not in str(received)


@pytest.mark.requirement("MSG-20")
async def test_the_asynchronous_sdk_gets_plain_answers_and_streams_with_a_bearer_token(
    gateway: RunningGateway, upstream: AnthropicEmulator
) -> None:
    upstream.says = lambda _: message(text("hello wörld"))
    async with async_sdk(gateway) as client:
        answer = await client.messages.create(model="allowed", max_tokens=9, messages=HI)
        assert answer.content[0].type == "text"
        async with client.messages.stream(model="allowed", max_tokens=9, messages=HI) as stream:
            pieces = [piece async for piece in stream.text_stream]
        assert "".join(pieces) == "hello wörld"
        assert len(pieces) > 1


@pytest.mark.requirement("MSG-20")
def test_the_streaming_helper_gets_thinking_text_and_tool_calls(
    gateway: RunningGateway, upstream: AnthropicEmulator
) -> None:
    blocks = [thinking("let me see"), text("paying"), tool_use("pay", {"to": "é", "n": 5}), tool_use("pay", {}, "t2")]
    upstream.says = lambda _: message(*blocks)
    with sdk(gateway).messages.stream(model="allowed", max_tokens=9, messages=HI, tools=[PAY]) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_message()
    assert {"text", "thinking", "input_json", "signature", "message_stop"} <= kinds
    assert [block.to_dict() for block in final.content] == blocks
    assert (final.stop_reason, final.usage.output_tokens) == ("tool_use", 7)


@pytest.mark.requirement("MSG-20")
def test_the_tool_runner_goes_through_to_the_end(gateway: RunningGateway, upstream: AnthropicEmulator) -> None:
    paid: list[str] = []

    @beta_tool
    def pay(to: str) -> str:
        """Pay somebody.

        Args:
            to: whom
        """
        paid.append(to)
        return f"paid {to}"

    def says(request: Tree) -> Tree:
        done = "tool_result" in str(request["messages"])
        return message(text("done")) if done else message(text("now"), tool_use("pay", {"to": "ann"}))

    upstream.says = says
    runner = sdk(gateway).beta.messages.tool_runner(model="allowed", max_tokens=9, messages=ASKED, tools=[pay])
    answers = [[block.type for block in answer.content] for answer in runner]
    assert answers == [["text", "tool_use"], ["text"]]
    assert paid == ["ann"]
    assert "paid ann" in str(upstream.received[-1].tree)
    # the SDK asks for a conversation held by the provider, and goes on without one when it is told so
    assert not any("thread" in received.tree for received in upstream.received)


@pytest.mark.requirement("MSG-20")
def test_structured_output_is_parsed(gateway: RunningGateway, upstream: AnthropicEmulator) -> None:
    class Bill(BaseModel):
        amount: int

    upstream.says = lambda _: message(text('{"amount": 5}'))
    parsed = sdk(gateway).messages.parse(model="allowed", max_tokens=9, messages=HI, output_format=Bill)
    assert parsed.parsed_output == Bill(amount=5)
    assert "json_schema" in str(upstream.received[-1].tree["output_config"])


@pytest.mark.requirement("MSG-20")
def test_tokens_are_counted_without_a_journal_entry_and_by_the_models_policy(
    gateway: RunningGateway, upstream: AnthropicEmulator
) -> None:
    before = len(gateway.calls())
    counted = sdk(gateway).messages.count_tokens(model="allowed", messages=HI)
    assert counted.input_tokens == 42
    assert upstream.received[-1].path == "/v1/messages/count_tokens"
    assert len(gateway.calls()) == before


@pytest.mark.requirement("MSG-24")
def test_an_agent_that_dies_in_mid_stream_gets_the_whole_answer_when_it_comes_back(
    gateway: RunningGateway, upstream: AnthropicEmulator
) -> None:
    whole = stream_of(message(text("one two three"), tool_use("pay", {"to": "ann"})), piece=4)
    hold = threading.Event()
    upstream.faulty = lambda _: Answer(body=whole, media="text/event-stream", hold=hold, hold_at=700)
    opened = gateway.open_run({}).json()
    asked = {"model": "allowed", "max_tokens": 9, "stream": True, "messages": HI}
    named = {"authorization": f"Bearer {opened['token']}"}
    with httpx.stream("POST", f"{gateway.url}/v1/messages", json=asked, headers=named, timeout=60) as answer:
        begun = next(answer.iter_raw())
    assert begun.startswith(b"event: message_start")
    hold.set()
    again = gateway.open_run({"id": opened["id"]}).json()
    with sdk(gateway, path=f"/r/{again['token']}").messages.stream(
        model="allowed", max_tokens=9, messages=HI
    ) as stream:
        final = stream.get_final_message()
    assert [block.type for block in final.content] == ["text", "tool_use"]
    assert stream.response.headers["oncegate-replayed"] == "true"
    assert len(upstream.received) == 1
