"""A stream cut anywhere is redacted as the whole text is: on chat, responses, messages and MCP."""

from __future__ import annotations

import asyncio
import json
from functools import cache
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.call import Sent
from gateway.detection import Detection
from gateway.inward import Inward
from gateway.mcp.turn import Turn
from gateway.outward import Redaction, Veil
from gateway.protocols.anthropic_messages_answer import MessagesReader
from gateway.protocols.mcp_answer import McpReader
from gateway.protocols.openai_chat_answer import ChatReader
from gateway.protocols.openai_responses_answer import ResponsesReader
from gateway.sse import EventSplitter
from redaction.finding import Scope
from redaction.profile import Profile, Rule
from tests.emulator import anthropic, openai
from tests.redaction.detectors import PatternDetector
from tests.redaction.test_hard_rows import ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.call import AnswerReader

Tree = dict[str, object]
PROFILE = Profile(name="all", inspects=True, default=Rule("placeholder", 0.5))
VEIL = Veil(profile=PROFILE, scope=Scope(id="run/r", key=b"k" * 32), domain="default")
LONG = "Dear Mr. Smith, pay 4111 1111 1111 1111 now. Write to jörg@müller.de or\ncall +1 212-555-0123! "


class Bench:
    """One loop and one engine for all cases: what was looked at once is known."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._redaction = Redaction(Detection.in_process(PatternDetector(), "v1"), {"all": PROFILE}, "all")

    def journaled(self, reader: AnswerReader, media: bytes, chunks: Sequence[bytes]) -> bytes:
        return self._runner.run(self._journaled(reader, media, chunks))

    def whole(self, text: str) -> str:
        tree = self._runner.run(self._redaction.tree([text], openai_shape, VEIL)).tree
        return cast("list[str]", tree)[0]

    async def _journaled(self, reader: AnswerReader, media: bytes, chunks: Sequence[bytes]) -> bytes:
        reader.begin(200, ((b"content-type", media),))
        inward = Inward(reader, self._redaction, VEIL)
        clean = [one for chunk in chunks for one in await inward.take(reader.feed(chunk))]
        clean += await inward.take(reader.end())
        return b"".join(one.raw for one in clean)


openai_shape = ChatReader().shape


@cache
def bench() -> Bench:
    return Bench()


def trees_in(raw: bytes) -> list[Tree]:
    return [
        cast("Tree", json.loads(one.data))
        for one in EventSplitter().feed(raw)
        if one.data is not None and one.data != b"[DONE]"
    ]


def cut(text: str, sizes: Sequence[int]) -> list[str]:
    pieces, at, turn = list[str](), 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        pieces.append(text[at : at + size])
        at, turn = at + size, turn + 1
    return pieces or [""]


def chat_stream(text: str, sizes: Sequence[int]) -> tuple[AnswerReader, bytes, Callable[[bytes], list[str]]]:
    """Two choices and one tool call's argument, their pieces by turns."""
    frames: list[Tree] = []
    for piece in cut(text, sizes):
        for index in (0, 1):
            frames.append({"choices": [{"index": index, "delta": {"content": piece}}]})  # noqa: PERF401 - types
    arguments = json.dumps({"q": text}, ensure_ascii=False)
    for place, piece in enumerate(cut(arguments, sizes)):
        call: Tree = {"index": 0, "function": {"arguments": piece}}
        call |= {"id": "call_1", "type": "function"} if place == 0 else {}
        frames.append({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})
    for index in (0, 1):
        frames.append({"choices": [{"index": index, "delta": {}, "finish_reason": "stop"}]})  # noqa: PERF401 - types
    written = [
        f"data: {json.dumps({'id': 'c', 'object': 'chat.completion.chunk', **one}, ensure_ascii=False)}\n\n"
        for one in frames
    ]

    def said(raw: bytes) -> list[str]:
        texts, arguments = {0: "", 1: ""}, ""
        for tree in trees_in(raw):
            for choice in cast("list[Tree]", tree["choices"]):
                delta = cast("Tree", choice["delta"])
                texts[cast("int", choice["index"])] += cast("str", delta.get("content") or "")
                for call in cast("list[Tree]", delta.get("tool_calls") or []):
                    arguments += cast("str", cast("Tree", call["function"]).get("arguments") or "")
        return [*texts.values(), cast("str", json.loads(arguments)["q"])]

    return ChatReader(), "".join([*written, "data: [DONE]\n\n"]).encode(), said


def messages_stream(text: str, sizes: Sequence[int]) -> tuple[AnswerReader, bytes, Callable[[bytes], list[str]]]:
    whole = anthropic.message(anthropic.text(text), anthropic.tool_use("ask", {"q": text}))

    def said(raw: bytes) -> list[str]:
        deltas = [cast("Tree", tree["delta"]) for tree in trees_in(raw) if tree["type"] == "content_block_delta"]
        texts = "".join(cast("str", delta.get("text", "")) for delta in deltas)
        arguments = "".join(cast("str", delta.get("partial_json", "")) for delta in deltas)
        return [texts, cast("str", json.loads(arguments)["q"])]

    return MessagesReader(), anthropic.stream(whole, piece=sizes[0]), said


def responses_stream(text: str, sizes: Sequence[int]) -> tuple[AnswerReader, bytes, Callable[[bytes], list[str]]]:
    arguments = json.dumps({"q": text}, ensure_ascii=False)
    whole = openai.response(openai.message(text), openai.function_call("ask", arguments))

    def said(raw: bytes) -> list[str]:
        trees = trees_in(raw)
        deltas = {kind: "".join(cast("str", tree["delta"]) for tree in trees if tree["type"] == kind)
                  for kind in ("response.output_text.delta", "response.function_call_arguments.delta")}  # fmt: skip
        final = next(cast("Tree", tree["response"]) for tree in trees if tree["type"] == "response.completed")
        output = cast("list[Tree]", final["output"])
        content = cast("list[Tree]", output[0]["content"])
        texts = [deltas["response.output_text.delta"], cast("str", content[0]["text"])]
        calls = [deltas["response.function_call_arguments.delta"], cast("str", output[1]["arguments"])]
        return [*texts, *(cast("str", json.loads(one)["q"]) for one in calls)]

    return ResponsesReader(), b"".join(openai.events_of(whole, piece=sizes[0])), said


def mcp_stream(text: str, sizes: Sequence[int]) -> tuple[AnswerReader, bytes, Callable[[bytes], list[str]]]:
    del sizes
    result = {"content": [{"type": "text", "text": text}], "structuredContent": {"q": [text]}}
    note = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": text}}
    answer = {"jsonrpc": "2.0", "id": 1, "result": result}
    frames = [f"event: message\ndata: {json.dumps(one, ensure_ascii=False)}\n\n" for one in (note, answer)]
    turn = Turn(message=None, method="tools/call", may_list=lambda _, __: True, seal_session=str)

    def said(raw: bytes) -> list[str]:
        told, answered = trees_in(raw)
        inner = cast("Tree", answered["result"])
        content = cast("list[Tree]", inner["content"])
        structured = cast("list[str]", cast("Tree", inner["structuredContent"])["q"])
        return [cast("str", cast("Tree", told["params"])["data"]), cast("str", content[0]["text"]), structured[0]]

    return McpReader(turn), "".join(frames).encode(), said


STREAMS = {"chat": chat_stream, "messages": messages_stream, "responses": responses_stream, "mcp": mcp_stream}


def check(api: str, text: str, sizes: Sequence[int], wire: Sequence[int]) -> None:
    """Hold the stream of `text`, in pieces and in chunks of bytes, to the whole text's redaction."""
    if api == "mcp":
        text = f"Said: {text}"  # what is JSON as a whole is walked as JSON there
    reader, raw, said = STREAMS[api](text, sizes)
    chunks, at, turn = list[bytes](), 0, 0
    while at < len(raw):
        size = wire[turn % len(wire)]
        chunks.append(raw[at : at + size])
        at, turn = at + size, turn + 1
    journaled = bench().journaled(reader, b"text/event-stream", chunks)
    expected = bench().whole(text)
    assert [one for one in said(journaled) if one != expected] == []


@pytest.mark.requirement("RED-29")
@pytest.mark.parametrize("api", STREAMS)
def test_every_text_of_the_suite_cut_at_every_character_and_byte_is_redacted_as_the_whole(api: str) -> None:
    for _, text, _ in ROWS:
        check(api, f"Look: {text} there.", [1], [1])
    check(api, LONG * 4, [1], [7])


@pytest.mark.requirement("RED-29")
@pytest.mark.parametrize("api", STREAMS)
def test_one_cut_at_every_place_of_a_text_changes_nothing(api: str) -> None:
    text = LONG + "password=hunter22 and 219-09-9999"
    expected = bench().whole(text)
    assert "hunter22" not in expected
    for place in range(1, len(text), 1 if api == "chat" else 7):
        check(api, text, [place, len(text)], [1 << 16])


@pytest.mark.requirement("RED-37")
@pytest.mark.parametrize("api", STREAMS)
@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_a_find_in_a_comment_of_a_stream_reaches_nobody_and_all_else_does(api: str, ends: bytes) -> None:
    plain, planted = b": keep-alive", b": written to ada@example.com"
    reader, raw, said = STREAMS[api]("Nothing in it.", [5])
    events = raw.replace(b"\n", ends).split(ends * 2)[:-1]
    commented = [comment + ends * 2 for comment in (plain, planted, plain, planted)]
    chunks = [commented[0], commented[1], *(one + ends * 2 for one in events), commented[2], commented[3]]
    # before, between and after events; and as a line of an event that has data
    chunks = [planted + ends + one if b"data:" in one else one for one in chunks]
    chunks.insert(4, commented[1])
    journaled = bench().journaled(reader, b"text/event-stream", chunks)
    assert b"ada@" not in journaled
    assert plain in journaled
    assert set(said(journaled)) == {"Nothing in it."}


ENDS: dict[str, tuple[Tree, ...]] = {
    "chat": (
        {"error": {"message": "busy", "type": "server_error"}},
        *(
            {"id": "c", "object": "chat.completion.chunk",
             "choices": [{"index": index, "delta": {}, "finish_reason": "stop"}]}
            for index in (0, 1)
        ),
    ),
    "messages": (
        {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_stop"},
    ),
    "responses": (
        {"type": "response.output_text.done", "item_id": "msg_1", "output_index": 0, "content_index": 0, "text": "Pay",
         "logprobs": [], "sequence_number": 9},
    ),
}  # fmt: skip


@pytest.mark.requirement("RED-29")
@pytest.mark.parametrize("api", ENDS)
def test_a_text_that_goes_on_after_its_end_goes_no_further(api: str) -> None:
    text = "Pay with card 4111 1111 1111 1111 now"
    expected, refused = bench().whole(text), 0
    for end in ENDS[api]:
        kind = f"event: {end['type']}\n" if "type" in end else ""
        told = f"{kind}data: {json.dumps(end)}\n\n".encode()
        raw = STREAMS[api](text, [16])[1]
        events = [one + b"\n\n" for one in raw.split(b"\n\n")[:-1]]
        for place in range(2, len(events)):
            reader, _, said = STREAMS[api](text, [16])
            try:
                chunks = [*events[:place], told, *events[place:]]
                journaled = bench().journaled(reader, b"text/event-stream", chunks)
            except Sent as error:
                refused += "after its end" in str(error)
            else:
                if set(said(journaled)) != {expected}:
                    assert b"1111" not in journaled
    assert refused


@pytest.mark.requirement("RED-29")
def test_a_reason_to_finish_that_is_empty_ends_no_text() -> None:
    text = "Pay with card 4111 1111 1111 1111 now"
    reader, raw, said = chat_stream(text, [7])
    odd = raw.replace(b"}}]}\n", b'}, "finish_reason": ""}]}\n')
    assert odd.count(b'"finish_reason": ""') > 10
    assert set(said(bench().journaled(reader, b"text/event-stream", [odd]))) == {bench().whole(text)}


@pytest.mark.requirement("RED-29")
def test_what_is_no_choice_and_stands_among_them_moves_no_text() -> None:
    _, raw, said = chat_stream(LONG, [7])
    odd, none = [b'"choices": ["odd", ', b'"tool_calls": [7, '], [b'"choices": [', b'"tool_calls": [']
    for there, instead in zip(none, odd, strict=True):
        raw = raw.replace(there, instead)
    raw = raw.replace(b'"delta": {"content"', b'"logprobs": {"content": ["4111 1111 1111 1111"]}, "delta": {"content"')
    journaled = bench().journaled(ChatReader(), b"text/event-stream", [raw])
    for there, instead in zip(
        (b'"choices":[', b'"tool_calls":['), (b'"choices":["odd",', b'"tool_calls":[7,'), strict=True
    ):
        assert instead in journaled
        journaled = journaled.replace(instead, there)
    assert set(said(journaled)) == {bench().whole(LONG)}
    whole: Tree = {"choices": ["odd", {"index": 0, "message": {"content": LONG}, "logprobs": {"content": [LONG]}}]}
    after = json.loads(bench().journaled(ChatReader(), b"application/json", [json.dumps(whole).encode()]))
    assert after["choices"][1] == {"index": 0, "message": {"content": bench().whole(LONG)}, "logprobs": None}


#: What a delta asks for in pieces, where it stands in it, and whether it is JSON.
ASKED: dict[str, tuple[Callable[[str], Tree], Callable[[Tree], str], bool]] = {
    "a function of the older form": (
        lambda piece: {"function_call": {"name": "pay", "arguments": piece}},
        lambda delta: cast("str", cast("Tree", delta["function_call"])["arguments"]),
        True,
    ),
    "a tool that takes a text": (
        lambda piece: {"tool_calls": [{"index": 0, "type": "custom", "custom": {"input": piece}}]},
        lambda delta: cast("str", cast("list[dict[str, Tree]]", delta["tool_calls"])[0]["custom"]["input"]),
        False,
    ),
}


@pytest.mark.requirement("RED-29")
@pytest.mark.parametrize("asked", ASKED)
def test_the_pieces_of_any_call_are_one_text_and_none_leaves_before_the_journal_has_it(asked: str) -> None:
    said, read, is_json = ASKED[asked]
    text = json.dumps({"q": LONG}, ensure_ascii=False) if is_json else LONG
    expected = bench().whole(LONG)
    for size in (1, 7, 40):
        choices: list[Tree] = [{"index": 0, "delta": said(piece)} for piece in cut(text, [size])]
        choices.append({"index": 0, "delta": Tree(), "finish_reason": "function_call"})
        trees: list[Tree] = [{"id": "c", "choices": [one]} for one in choices]
        chunks = [f"data: {json.dumps(one)}\n\n".encode() for one in trees]
        reader = ChatReader()
        reader.begin(200, ((b"content-type", b"text/event-stream"),))
        assert all(unit.hold for chunk in chunks for unit in reader.feed(chunk))
        journaled = bench().journaled(ChatReader(), b"text/event-stream", [*chunks, b"data: [DONE]\n\n"])
        told = [cast("Tree", choice["delta"]) for tree in trees_in(journaled)
                for choice in cast("list[Tree]", tree["choices"])]  # fmt: skip
        whole = "".join(read(delta) for delta in told if delta)
        assert (json.loads(whole)["q"] if is_json else whole) == expected


PLANTED = st.sampled_from(
    [row[1] for row in ROWS] + ["ada@example.com", "4111 1111 1111 1111", "\n", ". ", "Mr. ", "é"]
)
TEXTS = st.lists(PLANTED | st.text(max_size=30), max_size=8).map(" ".join)
SIZES = st.lists(st.integers(1, 60), min_size=1, max_size=6)
ANY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.requirement("RED-29")
@pytest.mark.parametrize("api", STREAMS)
@settings(ANY, max_examples=250)
@given(TEXTS, SIZES, SIZES)
def test_any_text_in_any_pieces_is_redacted_as_the_whole(
    api: str, text: str, sizes: list[int], wire: list[int]
) -> None:
    check(api, text, sizes, wire)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.requirement("RED-29")
@pytest.mark.parametrize("api", STREAMS)
@settings(ANY, max_examples=2500)
@given(TEXTS, SIZES, SIZES)
def test_very_many_texts_in_any_pieces_are_redacted_as_the_whole(
    api: str, text: str, sizes: list[int], wire: list[int]
) -> None:
    check(api, text, sizes, wire)
