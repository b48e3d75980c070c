"""Answers said in the other protocol: accepted by its official types, the same when said back, whole or streamed."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import pytest
from anthropic.lib.streaming._messages import accumulate_event
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import body
from gateway.call import Sent
from gateway.conversion.answers import completion_of, message_of
from gateway.conversion.carried import CannotCarry, Tree
from gateway.conversion.reader import ConvertedReader, of_chat, of_messages
from gateway.conversion.usage import chat_error, chat_usage, messages_error, messages_usage
from gateway.protocols.anthropic_messages_answer import MessagesReader
from gateway.protocols.anthropic_messages_frames import frames_of as events_of
from gateway.protocols.openai_chat_answer import ChatReader
from gateway.protocols.openai_chat_frames import frames_of as chunks_of
from tests.conversion.official import demand_chunk, demand_completion, demand_event, demand_message
from tests.conversion.traffic import answers, text, tree

if TYPE_CHECKING:
    from anthropic.types import Message, ParsedMessage

    from gateway.call import Unit, Verdict

SSE = ((b"content-type", b"text/event-stream"),)
JSON = ((b"content-type", b"application/json"), (b"request-id", b"r1"), (b"x-request-id", b"r2"))
BROKEN_CALL = (
    b'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]},'
    b'"finish_reason":"tool_calls"}]}\n\n'
)
CUTS = st.lists(st.integers(0, 9_000), max_size=8)


def cut(sent: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted({one % (len(sent) + 1) for one in cuts}), len(sent)]
    return [sent[start:end] for start, end in pairwise(edges)]


def read(reader: ConvertedReader, pieces: list[bytes], *, short: bool = False) -> tuple[bytes, Verdict]:
    """Return what the client gets of a stream."""
    reader.begin(200, SSE)
    units: list[Unit] = []
    for piece in pieces:
        units += reader.skim(piece) if short else reader.feed(piece)
    return b"".join(unit.raw for unit in [*units, *reader.end()]), reader.verdict()


def trees(frames: bytes) -> list[Tree]:
    data = [line[6:] for line in frames.split(b"\n") if line.startswith(b"data: ") and line != b"data: [DONE]"]
    return [cast("Tree", json.loads(one)) for one in data]


def added_up(chunks: list[Tree]) -> Tree:
    """Return the completion that chunks add up to, in the words of `completion_of`."""
    said: Tree = {"role": "assistant", "content": None, "refusal": None}
    calls: list[Tree] = []
    finish: object = None
    usage: object = None
    for chunk in chunks:
        demand_chunk(chunk)
        usage = chunk.get("usage") or usage
        for choice in cast("list[Tree]", chunk["choices"]):
            finish = choice["finish_reason"] or finish
            delta = cast("Tree", choice["delta"])
            for name in ("content", "reasoning_content", "refusal"):
                if delta.get(name):
                    said[name] = str(said.get(name) or "") + str(delta[name])
            for call in cast("list[Tree]", delta.get("tool_calls", [])):
                function = cast("Tree", call["function"])
                if call["index"] == len(calls):
                    calls.append({"id": call["id"], "type": "function", "function": dict(function)})
                else:
                    known = cast("Tree", calls[cast("int", call["index"])]["function"])
                    known["arguments"] = str(known["arguments"]) + str(function["arguments"])
    return {"message": {**said, "tool_calls": calls} if calls else said, "finish": finish, "usage": usage}


@pytest.mark.requirement("CONV-05", "CONV-06", "CONV-08")
@settings(max_examples=50)
@given(answers())
def test_a_message_said_as_a_completion_is_accepted_and_comes_back_the_same(message: Tree) -> None:
    demand_message(message)
    completion = completion_of(message, created=7)
    shown = demand_completion(completion)
    usage = cast("Tree", message["usage"])
    assert shown.usage is not None
    assert shown.usage.total_tokens == sum(cast("int", count) for count in usage.values())
    assert message_of(completion) == message
    assert completion_of(message_of(completion), created=7) == completion


@pytest.mark.requirement("CONV-07")
@settings(max_examples=50)
@given(answers(), CUTS, st.sampled_from([1, 3]))
def test_a_messages_stream_adds_up_to_the_completion_wherever_it_is_cut(
    message: Tree, cuts: list[int], every: int
) -> None:
    sent = events_of(message)
    said, verdict = read(of_messages(ChatReader(), created=7, shows_usage=True), cut(sent, cuts))
    assert said.endswith(b"data: [DONE]\n\n")
    expected = completion_of(message, created=7)
    choice = cast("list[Tree]", expected["choices"])[0]
    assert added_up(trees(said)) == {
        "message": choice["message"], "finish": choice["finish_reason"], "usage": expected["usage"],
    }  # fmt: skip
    pieces = [sent[at : at + every] for at in range(0, len(sent), every)]
    silent, other = read(of_messages(ChatReader(), created=7, shows_usage=False), pieces, short=True)
    assert b'"usage"' not in silent
    counted = cast("Tree", verdict.meta["usage"])
    assert {name: cast("Tree", other.meta["usage"])[name] for name in counted} == counted


@pytest.mark.requirement("CONV-07")
@settings(max_examples=50)
@given(answers(), CUTS)
def test_a_chat_stream_adds_up_to_the_message_wherever_it_is_cut(message: Tree, cuts: list[int]) -> None:
    sent = chunks_of(completion_of(message, created=7))
    said, verdict = read(of_chat(MessagesReader(thinking="text")), cut(sent, cuts))
    events = [demand_event(one) for one in trees(said)]
    snapshot: ParsedMessage[None] | None = None
    buffers: dict[int, bytes] = {}
    for event in events:
        snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=buffers)
    assert snapshot is not None
    assert _shown(snapshot) == _shown(demand_message(message))
    assert cast("Tree", verdict.meta["usage"])["output_tokens"] == cast("Tree", message["usage"])["output_tokens"]


def _shown(message: Message) -> Tree:
    said = message.to_dict()
    names = ("id", "model", "content", "stop_reason")
    return {name: said[name] for name in names} | {"out": message.usage.output_tokens, "in": message.usage.input_tokens}


@pytest.mark.requirement("CONV-07")
def test_mixed_pieces_of_parallel_calls_and_several_kinds_of_text_are_kept_apart() -> None:
    def piece(index: int, **more: object) -> Tree:
        return {"index": index, **more}

    def chunk(finish: str | None = None, **delta: object) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return b"data: " + body.encode({"id": "c", "model": "m", "choices": [choice]}) + b"\n\n"

    sent = b"".join([
        b": ping\n\n", chunk(role="assistant", content=""), chunk(reasoning="hm"), chunk(content="a"),
        chunk(tool_calls=[piece(0, id="t0", function={"name": "f", "arguments": '{"x"'})]),
        chunk(tool_calls=[piece(1, id="t1", function={"name": "g", "arguments": ""})]),
        chunk(tool_calls=[piece(0, function={"arguments": ":1}"})]), chunk(content="b"), chunk(refusal="no"),
        chunk(finish="tool_calls"), b"data: [DONE]\n\n",
    ])  # fmt: skip
    said, verdict = read(of_chat(MessagesReader(thinking="text")), [sent])
    starts = [one["content_block"] for one in trees(said) if one["type"] == "content_block_start"]
    assert [cast("Tree", one)["type"] for one in starts] == ["thinking", "text", "tool_use", "tool_use"]
    pieces = [cast("Tree", one["delta"]).get("partial_json") for one in trees(said) if "delta" in one]
    assert [one for one in pieces if one is not None] == ['{"x":1}', "{}"]
    assert b'"text":"no"' in said
    assert b'"stop_reason":"refusal"' in said
    assert b'"explanation":"no"' in said
    assert verdict.kind == "outcome"


@pytest.mark.requirement("CONV-10")
@pytest.mark.parametrize("chats", [False, True])
def test_a_stream_that_breaks_off_proves_nothing_wherever_it_does(*, chats: bool) -> None:
    message = tree(id="m", model="m", content=[text("héllo")], stop_reason="end_turn", usage={"output_tokens": 1})
    # as far as the last event or chunk that says how the answer ended
    whole = chunks_of(completion_of(message, created=7)) if chats else events_of(message)
    needed = whole.index(b'"stop"}') if chats else whole.index(b'"message_stop"}')
    for at in range(needed):
        reader = of_chat(MessagesReader()) if chats else of_messages(ChatReader(), created=7, shows_usage=False)
        with pytest.raises(Sent):
            read(reader, [whole[:at]])


@pytest.mark.requirement("CONV-10")
@pytest.mark.parametrize(
    "sent",
    [
        b"data: nonsense\n\n", b"data: [1]\n\n",
        b'event: content_block_start\ndata: {"type":"content_block_start","content_block":{"type":"new"}}\n\n',
        b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"type":"new"}}\n\n',
        b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"type":"text_delta"}}\n\n',
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"full"}}\n\n',
    ],
)  # fmt: skip
def test_a_messages_stream_that_cannot_be_said_is_no_answer(sent: bytes) -> None:
    with pytest.raises(Sent):
        read(of_messages(ChatReader(), created=7, shows_usage=False), [sent])


@pytest.mark.requirement("CONV-10")
@pytest.mark.parametrize(
    "sent",
    [
        b"data: nonsense\n\n", b'data: {"choices":[{"index":1}]}\n\n', b'data: {"error":{"message":"full"}}\n\n',
        b'data: {"choices":[{"delta":{},"finish_reason":"new"}]}\n\n',
        BROKEN_CALL + b"data: [DONE]\n\n",
    ],
)  # fmt: skip
def test_a_chat_stream_that_cannot_be_said_is_no_answer(sent: bytes) -> None:
    with pytest.raises(Sent):
        read(of_chat(MessagesReader()), [sent])


@pytest.mark.requirement("CONV-10")
@pytest.mark.parametrize(
    "answer",
    [
        tree(choices=[]), tree(choices=[tree(), tree()]), tree(choices=[tree(message=tree(), finish_reason="new")]),
        tree(choices=[tree(message=tree(tool_calls=[tree(type="custom")]))]),
        tree(choices=[tree(message=tree(tool_calls=[tree(function=tree(arguments="{"))]))]),
    ],
)  # fmt: skip
def test_an_answer_that_cannot_be_said_is_refused(answer: Tree) -> None:
    with pytest.raises(CannotCarry):
        message_of(answer)
    with pytest.raises(CannotCarry):
        completion_of(tree(content=[tree(type="new")]), created=7)
    with pytest.raises(CannotCarry):
        completion_of(tree(content=[], stop_reason="pause_turn"), created=7)


@pytest.mark.requirement("CONV-05")
def test_stop_reasons_and_what_only_one_side_says() -> None:
    for stop, finish in [("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"),
                         ("tool_use", "tool_calls"), ("refusal", "content_filter"),
                         ("model_context_window_exceeded", "length")]:  # fmt: skip
        answer = tree(id="m", model="m", content=[tree(type="redacted_thinking", data="x")], stop_reason=stop)
        completion = completion_of(answer, created=7)
        assert demand_completion(completion).choices[0].finish_reason == finish
    refused = tree(id="m", model="m", content=[], stop_reason="refusal", usage=tree(),
                   stop_details=tree(type="refusal", explanation="no"))  # fmt: skip
    shown = demand_completion(completion_of(refused, created=7)).choices[0]
    assert (shown.message.refusal, shown.finish_reason) == ("no", "content_filter")
    back = demand_message(message_of(completion_of(refused, created=7)))
    assert back.stop_reason == "refusal"
    assert back.stop_details is not None
    assert back.stop_details.explanation == "no"


@pytest.mark.requirement("CONV-08")
def test_usage_counts_the_same_there_and_back() -> None:
    usage = {"input_tokens": 3, "output_tokens": 9, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20,
             "output_tokens_details": {"thinking_tokens": 4}}  # fmt: skip
    said = chat_usage(usage)
    assert (said["prompt_tokens"], said["completion_tokens"], said["total_tokens"]) == (123, 9, 132)
    assert messages_usage(said) == usage
    assert messages_usage({"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": None}) == {
        "input_tokens": 5, "output_tokens": 1, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0,
    }  # fmt: skip


@pytest.mark.requirement("CONV-12")
@pytest.mark.parametrize(
    ("status", "theirs", "ours"),
    [(400, "invalid_request_error", "invalid_request_error"), (403, "permission_error", "permission_error"),
     (404, "not_found_error", "invalid_request_error"), (429, "rate_limit_error", "rate_limit_error"),
     (500, "api_error", "api_error"), (529, "overloaded_error", "api_error")],
)  # fmt: skip
def test_errors_keep_their_words_and_get_the_others_type(status: int, theirs: str, ours: str) -> None:
    for reader, sent, kind in [
        (of_messages(ChatReader(), created=7, shows_usage=False), messages_error(status, "why"), ours),
        (of_chat(MessagesReader()), chat_error(status, {"error": {"message": "why"}}), theirs),
    ]:
        reader.begin(status, JSON)
        reader.feed(body.encode(sent))
        (unit,) = reader.end()
        told = cast("Tree", cast("Tree", unit.tree)["error"])
        assert (told["type"], told["message"]) == (kind, "why")
        assert reader.verdict().status == status
    page = of_chat(MessagesReader())
    page.begin(502, ((b"content-type", b"text/html"),))
    page.feed(b"<html>gone")
    assert b"<html>gone" in page.end()[0].raw


@pytest.mark.requirement("CONV-10")
@pytest.mark.parametrize("sent", [b"<html>", b"[]", b"{}"])
def test_a_page_is_no_answer(sent: bytes) -> None:
    reader = of_chat(MessagesReader())
    reader.begin(200, JSON)
    reader.feed(sent)
    with pytest.raises(Sent):
        reader.end()
