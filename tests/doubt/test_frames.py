"""A whole completion, given by an operator, said as a stream."""

from __future__ import annotations

import json

import pytest

from gateway.protocols.openai_chat_answer import ChatReader
from gateway.protocols.openai_chat_frames import frames_of

CALL = {"id": "t1", "type": "function", "function": {"name": "pay", "arguments": '{"amount": 5}'}}


@pytest.mark.requirement("IND-08")
def test_every_choice_its_tool_calls_and_the_usage_arrive_in_the_stream() -> None:
    said = {"role": "assistant", "content": "one moment", "tool_calls": [CALL, {**CALL, "id": "t2"}]}
    usage = {"prompt_tokens": 3, "completion_tokens": 4}
    given: dict[str, object] = {
        "id": "c9", "model": "up", "usage": usage,
        "choices": [{"index": 0, "message": said}, {"index": 1, "message": {"content": "or so"}}],
    }  # fmt: skip
    reader = ChatReader()
    reader.begin(200, ((b"content-type", b"text/event-stream"),))
    units = [*reader.feed(frames_of(given)), *reader.end()]
    chunks = [json.loads(unit.raw[6:]) for unit in units[:-1]]
    assert units[-1].raw == b"data: [DONE]\n\n"
    assert {(one["id"], one["model"], one["object"]) for one in chunks} == {("c9", "up", "chat.completion.chunk")}
    assert [choice["finish_reason"] for one in chunks for choice in one["choices"]] == [
        None, "tool_calls", None, "stop",
    ]  # fmt: skip
    assert [call["index"] for call in chunks[0]["choices"][0]["delta"]["tool_calls"]] == [0, 1]
    assert reader.tool_calls() == [{"function": CALL["function"]}] * 2
    verdict = reader.verdict()
    assert (verdict.kind, verdict.meta["usage"]) == ("outcome", {"input_tokens": 3, "output_tokens": 4})
