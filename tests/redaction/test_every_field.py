"""Every text of every official type, to and from each API: what is planted there is taken out, or stands on a list.

What is on a list (`kept_fields.py`) is structure: ids, names that policy decides, what a provider signed or encrypted.
A field that a new version of an SDK brings is scanned, or fails here until somebody has decided upon it.
"""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64encode
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, cast

import mcp_types
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.beta import BetaMessage, BetaRawMessageStreamEvent
from anthropic.types.beta.message_create_params import MessageCreateParamsNonStreaming as BetaRequest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming as MessagesRequest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming as ChatRequest
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming as ResponsesRequest

from gateway.detection import Detection
from gateway.inward import Inward
from gateway.mcp.shape import REQUEST_SHAPE as MCP_REQUEST_SHAPE
from gateway.outward import Redaction, Veil
from gateway.protocols.anthropic_messages_answer import MessagesReader
from gateway.protocols.anthropic_messages_request import shape_of
from gateway.protocols.mcp_answer import ANSWER_SHAPE as MCP_ANSWER_SHAPE
from gateway.protocols.openai_chat import REQUEST_SHAPE as CHAT_SHAPE
from gateway.protocols.openai_chat_answer import ChatReader
from gateway.protocols.openai_responses_answer import ResponsesReader
from gateway.protocols.openai_responses_shape import request_shape
from redaction import redactor
from redaction.finding import Scope
from redaction.profile import Profile, Rule
from tests.redaction import kept_fields as kept
from tests.redaction.detectors import PatternDetector
from tests.redaction.every_field import Planted, Planter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.call import AnswerReader
    from redaction.finding import Shape

Tree = dict[str, object]
TEXT = "mail ada@example.com or 4111 1111 1111 1111"
MARKS = ("ada@", "4111")
SCOPE = Scope(id="run/r1", key=b"k" * 32)
ALL = Profile(name="all", inspects=True, default=Rule("placeholder", 0.5))
VEIL = Veil(profile=ALL, scope=SCOPE, domain="default")


def below(prefix: str, listed: str, begin: str = "") -> str:
    """Return the places of a list that begin with `begin`, with another beginning."""
    return "".join(f"\n{prefix}{path.removeprefix(begin)}" for path in listed.split() if path.startswith(begin))


#: kind of message, its types, its shape, what passes
ASKED: list[tuple[str, tuple[object, ...], Callable[[Tree], Shape], str]] = [
    ("messages", (MessagesRequest, BetaRequest), lambda tree: shape_of(tree, keeps_thinking=False), kept.MESSAGES),
    ("responses", (ResponsesRequest,), request_shape, kept.RESPONSES),
    ("chat", (ChatRequest,), lambda _: CHAT_SHAPE, kept.CHAT),
    ("of an MCP client", (mcp_types.ClientRequest, mcp_types.ClientNotification), lambda _: MCP_REQUEST_SHAPE,
     kept.MCP_CLIENT),
    ("of an MCP server", (mcp_types.ServerRequest, mcp_types.ServerNotification, mcp_types.JSONRPCError),
     lambda _: MCP_ANSWER_SHAPE, kept.MCP_SERVER),
]  # fmt: skip
RESULTS: list[tuple[str, object, Shape, str]] = [
    ("of an MCP client", mcp_types.ClientResult, MCP_REQUEST_SHAPE, ""),
    ("of an MCP server", mcp_types.ServerResult, MCP_ANSWER_SHAPE, kept.MCP_RESULTS),
]
#: kind of answer, its types, its reader, the end of a stream, what passes
SAID: list[tuple[str, tuple[object, ...], Callable[[], AnswerReader], list[Tree] | None, str]] = [
    ("message", (Message, BetaMessage), MessagesReader, None, kept.MESSAGE),
    ("events of messages", (RawMessageStreamEvent, BetaRawMessageStreamEvent), MessagesReader,
     [{"type": "content_block_stop", "index": 1}, {"type": "message_stop"}],
     kept.MESSAGE_EVENTS + below("[message_start].message", kept.MESSAGE)
     + below("[content_block_start].content_block", kept.MESSAGE, "[message].content.*")),
    ("response", (Response,), ResponsesReader, None, kept.RESPONSE),
    ("events of responses", (ResponseStreamEvent,), ResponsesReader,
     [{"type": "response.completed", "response": {"status": "completed", "output": list[object]()}}],
     kept.RESPONSE_EVENTS + below("[response.completed].response", kept.RESPONSE)
     + below("[response.output_item.done].item", kept.RESPONSE, ".output.*")),
    ("completion", (ChatCompletion,), ChatReader, None, kept.COMPLETION),
    ("chunks", (ChatCompletionChunk,), ChatReader, list[Tree](), kept.CHUNKS),
]  # fmt: skip


@cache
def engine() -> tuple[asyncio.Runner, Redaction, PatternDetector]:
    """Return one loop and one engine for all."""
    detector = PatternDetector()
    return asyncio.Runner(), Redaction(Detection.in_process(detector, "v1"), {"all": ALL}, "all"), detector


def left(content: str) -> bool:
    """Return whether something planted is left."""
    return any(mark in content for mark in MARKS)


def asked(tree: object, shape: Shape) -> bool:
    """Return whether something planted passes in a tree that is redacted whole."""
    planned = redactor.plan(tree, shape, ALL)
    found = dict(zip(planned.texts, engine()[2].find(planned.texts), strict=True))
    after = redactor.finish(planned, found, SCOPE)
    return not after.blocked and left(str(after.tree))


def said(tree: object, reader: AnswerReader, ends: list[Tree] | None) -> bool:
    """Return whether something planted passes in an answer, or an event of one, as it is journaled."""
    runner, redaction, _ = engine()
    return runner.run(_said(tree, reader, ends, redaction))


async def _taken(
    reader: AnswerReader, events: list[Tree], redaction: Redaction, profile: Profile
) -> tuple[Inward, str]:
    """Return what is known of a stream of events, and what of it is journaled."""
    inward = Inward(reader, redaction, replace(VEIL, profile=profile))
    reader.begin(200, ((b"content-type", b"text/event-stream"),))
    units = [unit for one in events for unit in reader.feed(f"data: {json.dumps(one)}\n\n".encode())]
    return inward, b"".join([one.raw for one in await inward.take(units)]).decode()


async def _said(tree: object, reader: AnswerReader, ends: list[Tree] | None, redaction: Redaction) -> bool:
    inward = Inward(reader, redaction, VEIL)
    media = b"application/json" if ends is None else b"text/event-stream"
    reader.begin(200, ((b"content-type", media),))
    if ends is None:
        units = [*reader.feed(json.dumps(tree).encode()), *reader.end()]
    else:
        events = (f"data: {json.dumps(one)}\n\n" for one in (tree, *ends))
        units = [unit for one in events for unit in reader.feed(one.encode())]
        units += [] if isinstance(reader, MessagesReader) else reader.feed(b"data: [DONE]\n\n")
    clean = await inward.take(units)
    return not inward.blocked and left(b"".join(one.raw for one in clean).decode())


def places(kinds: Iterable[object], text: str = TEXT) -> list[Planted]:
    """Return every place; of events that repeat an item or a response whole, those of the last one alone."""
    found = [one for kind in kinds for one in Planter(text).planted(kind)]
    again = re.compile(r"\[response\.(?:(?!completed)\w+\]\.response\b|output_item\.added\]\.item\b)")
    return [one for one in found if again.match(one.path) is None]


def demand(passed: Iterable[str], listed: str) -> None:
    """Demand that what passes is what is listed, no less and no more."""
    found, known = set(passed), set(listed.split())
    assert sorted(found - known) == [], "passes, and nobody has decided that it may"
    assert sorted(known - found) == [], "is listed, and does not pass"


@pytest.mark.requirement("RED-39")
@pytest.mark.parametrize(("name", "kinds", "shape", "listed"), ASKED, ids=[one[0] for one in ASKED])
def test_a_value_in_any_field_of_a_request_is_taken_out_but_for_structure(
    name: str, kinds: tuple[object, ...], shape: Callable[[Tree], Shape], listed: str
) -> None:
    del name
    planted = [one for kind in kinds for one in Planter(TEXT).planted(kind)]
    assert planted
    demand((one.path for one in planted if asked(one.tree, shape(cast("Tree", one.tree)))), listed)


@pytest.mark.requirement("RED-39")
@pytest.mark.parametrize(("name", "kind", "shape", "listed"), RESULTS, ids=[one[0] for one in RESULTS])
def test_a_value_in_any_field_of_a_result_is_taken_out_but_for_structure(
    name: str, kind: object, shape: Shape, listed: str
) -> None:
    del name
    planted = list(Planter(TEXT).planted(kind))
    demand((one.path for one in planted if asked({"jsonrpc": "2.0", "result": one.tree}, shape)), listed)


@pytest.mark.requirement("RED-39")
@pytest.mark.parametrize(("name", "kinds", "reader", "ends", "listed"), SAID, ids=[one[0] for one in SAID])
def test_a_value_in_any_field_of_an_answer_is_taken_out_but_for_structure(
    name: str, kinds: tuple[object, ...], reader: Callable[[], AnswerReader], ends: list[Tree] | None, listed: str
) -> None:
    del name
    planted = places(kinds)
    assert planted
    demand((one.path for one in planted if said(one.tree, reader(), ends)), listed)


@pytest.mark.requirement("RED-39")
def test_what_stands_beside_a_piece_of_a_text_is_not_said_again_with_its_rest() -> None:
    chunk: Tree = {"id": "c", "provider_notes": TEXT, "choices": [{"index": 0, "delta": {"content": "well"}}]}
    assert not said(chunk, ChatReader(), [])
    delta: Tree = {"type": "response.output_text.delta", "item_id": "i", "output_index": 0, "content_index": 0,
                   "delta": "well", "notes": {"more": [TEXT]}}  # fmt: skip
    assert not said(delta, ResponsesReader(), [{"type": "response.completed", "response": {"output": list[object]()}}])
    block: Tree = {"type": "content_block_delta", "index": 0, "notes": TEXT, "delta": {"type": "text_delta",
                   "text": "well", "notes": TEXT}}  # fmt: skip
    assert not said(block, MessagesReader(), [{"type": "message_stop"}])


SIGNED = "EqoBCkgIARABGAIiQL2UoU0b1OHi+/Qq-_x.y:z=="
SIGNED_REQUESTS: list[tuple[Callable[[Tree], Shape], Callable[[str], Tree]]] = [
    (lambda tree: shape_of(tree, keeps_thinking=False), lambda said: {"messages": [{"role": "assistant", "content": [
        {"type": "thinking", "thinking": "well", "signature": said}]}]}),
    (lambda tree: shape_of(tree, keeps_thinking=True), lambda said: {"messages": [{"role": "assistant", "content": [
        {"type": "redacted_thinking", "data": said}]}]}),
    (request_shape, lambda said: {"input": [{"type": "reasoning", "summary": [], "encrypted_content": said}]}),
]  # fmt: skip


@pytest.mark.requirement("RED-39")
@pytest.mark.parametrize(("shape", "signed"), SIGNED_REQUESTS, ids=["signature", "data", "encrypted_content"])
def test_what_stands_for_a_signature_passes_byte_for_byte_if_it_is_written_like_one_and_else_is_looked_at(
    shape: Callable[[Tree], Shape], signed: Callable[[str], Tree]
) -> None:
    def redacted(said: str) -> tuple[object, bool]:
        tree = signed(said)
        planned = redactor.plan(tree, shape(tree), ALL)
        found = dict(zip(planned.texts, engine()[2].find(planned.texts), strict=True))
        after = redactor.finish(planned, found, SCOPE)
        return after.tree, bool(after.blocked)

    assert redacted(SIGNED) == (signed(SIGNED), False)
    # nobody may change what is signed: it passes with nothing in it, or the call is blocked
    assert redacted("not signed by anybody") == (signed("not signed by anybody"), False)
    for said in ("call ada@example.com", "ada@example.com", "4111111111111111", "4111-1111-1111-1111"):
        assert redacted(said)[1], said


@pytest.mark.requirement("RED-26")
def test_what_says_that_it_is_a_picture_or_a_sound_and_is_text_is_looked_at() -> None:
    for content in ({"type": "image", "mimeType": "image/png", "data": TEXT},
                    {"type": "audio", "mimeType": "audio/wav", "data": TEXT},
                    {"type": "resource", "resource": {"uri": "file:///x", "blob": TEXT}}):  # fmt: skip
        assert not asked({"result": {"content": [content]}}, MCP_ANSWER_SHAPE)
    sound = {"type": "input_audio", "input_audio": {"format": "wav", "data": TEXT}}
    assert not asked({"messages": [{"role": "user", "content": [sound]}]}, CHAT_SHAPE)


@pytest.mark.requirement("RED-26")
def test_pictures_a_provider_has_drawn_and_spoken_answers_count_as_not_looked_into_and_pass_byte_for_byte() -> None:
    content = "iVBORw0KGgo" * 9
    output = {"output": [{"type": "image_generation_call", "id": "ig_1", "result": content}]}
    spoken = {"choices": [{"message": {"audio": {"id": "a", "data": content, "transcript": "hello"}}}]}
    for tree, shape, kind in ((output, ResponsesReader().shape, "image"), (spoken, ChatReader().shape, "audio")):
        planned = redactor.plan(tree, shape, ALL)
        found = dict(zip(planned.texts, engine()[2].find(planned.texts), strict=True))
        after = redactor.finish(planned, found, SCOPE)
        assert (after.tree, dict(after.passed)) == (tree, {kind: 1})


FILE = "iVBORw0KGgo" * 9
BLOCKING = replace(ALL, unscanned="block")
SHADOW = replace(BLOCKING, shadow=True)


def chunks(*deltas: Tree) -> list[Tree]:
    """Return the chunks of a completion."""
    said: list[Tree] = [{"choices": [{"index": 0, "delta": one}]} for one in deltas]
    return [*said, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]


def sounds(*pieces: str) -> list[Tree]:
    """Return the chunks of a spoken completion."""
    return chunks(*[Tree(audio={"data": one}) for one in pieces])


def heard(*pieces: str) -> list[Tree]:
    """Return the events of a response that speaks."""
    said: list[Tree] = [{"type": "response.audio.delta", "delta": one} for one in pieces]
    return [*said, {"type": "response.audio.done"}, {"type": "response.completed", "response": {"output": []}}]


def shown(item: Tree, *half: object) -> list[Tree]:
    """Return the events of a response with one item."""
    drawn: Tree = {"type": "response.image_generation_call.partial_image", "output_index": 0}
    return [*({**drawn, "partial_image_b64": one} for one in half),
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": {"output": [item]}}]  # fmt: skip


DRAWN: Tree = {"type": "image_generation_call", "id": "ig_1", "result": FILE}
PLOTTED: Tree = {"type": "code_interpreter_call", "id": "ci_1", "outputs": [
    "odd", {"type": "logs", "logs": "x"}, {"type": "image", "url": f"data:image/png;base64,{FILE}"},
]}  # fmt: skip
#: reader, events, what passes unread of them, where they are blocked, how often the file is journaled
FILES: dict[str, tuple[Callable[[], AnswerReader], list[Tree], Tree, str, int]] = {
    "sound of a chat": (ChatReader, sounds(FILE, "", FILE),
                        {"audio": 1}, "/choices/0/delta/audio/data", 2),
    "sound of a response": (ResponsesReader, heard(FILE, FILE), {"audio": 1}, "/delta", 2),
    "picture": (ResponsesReader, shown(DRAWN, FILE, FILE), {"image": 1}, "/partial_image_b64", 4),
    "picture shown once": (ResponsesReader, shown(DRAWN), {"image": 1}, "/item/result", 2),
    "plot": (ResponsesReader, shown(PLOTTED), {"image": 1}, "/item/outputs/2/url", 2),
}  # fmt: skip
#: what is no file, whoever says that it is
TEXTS: dict[str, tuple[Callable[[], AnswerReader], list[Tree]]] = {
    "sound of a chat": (ChatReader, sounds(TEXT[:9], TEXT[9:])),
    "object in its place": (ChatReader, chunks({"audio": {"data": {"text": [TEXT]}}})),
    "field that is named like one": (ChatReader, chunks({"data": "ada"}, {"data": "@example.com"})),
    "arguments of nothing": (ChatReader, chunks({"arguments": TEXT[:9]}, {"arguments": TEXT[9:]})),
    "sound of a response": (ResponsesReader, heard(TEXT[:9], TEXT[9:])),
    "half drawn": (ResponsesReader, shown({"type": "image_generation_call", "result": None}, TEXT, {"a": TEXT})),
    "drawn": (ResponsesReader, shown({"type": "image_generation_call", "result": TEXT})),
    "short": (ResponsesReader, shown({"type": "image_generation_call", "result": "ada"}, "4111-1111-1111-1111")),
    "plot": (ResponsesReader, shown({"type": "code_interpreter_call", "outputs": [
        {"type": "image", "url": f"data:image/png;base64,{TEXT}"}]})),
    "plot of text": (ResponsesReader, shown({"type": "code_interpreter_call", "outputs": [
        {"type": "image", "url": f"data:image/svg+xml;base64,{b64encode(TEXT.encode()).decode()}"}]})),
}  # fmt: skip


@pytest.mark.requirement("RED-42")
@pytest.mark.parametrize("what", FILES)
def test_a_file_of_a_stream_counts_once_or_is_blocked_and_a_shadow_changes_nothing(what: str) -> None:
    reader, events, passed, place, times = FILES[what]
    runner, redaction, _ = engine()
    for profile, blocked in ((ALL, ()), (BLOCKING, (("UNSCANNED", place),)), (SHADOW, ())):
        inward, journaled = runner.run(_taken(reader(), events, redaction, profile))
        assert (dict(inward.passed), inward.blocked) == (passed, blocked)
        assert journaled.count(FILE) == times


@pytest.mark.requirement("RED-42")
@pytest.mark.parametrize("what", TEXTS)
def test_a_text_in_the_place_of_a_file_is_read(what: str) -> None:
    reader, events = TEXTS[what]
    runner, redaction, _ = engine()
    inward, journaled = runner.run(_taken(reader(), events, redaction, ALL))
    assert (dict(inward.passed), inward.blocked) == ({}, ())
    assert not left(journaled)
    assert b64encode(b"ada@").decode()[:5] not in journaled


@pytest.mark.requirement("RED-42")
def test_a_sound_that_goes_on_as_a_text_is_blocked_and_a_text_that_goes_on_as_a_sound_is_read() -> None:
    runner, redaction, _ = engine()
    for reader, events in ((ChatReader(), sounds("ada", "@example.com")),
                           (ResponsesReader(), heard("ada", "@example.com"))):  # fmt: skip
        inward, _ = runner.run(_taken(reader, events, redaction, ALL))
        assert [entity for entity, _ in inward.blocked] == ["UNSCANNED"]
    inward, journaled = runner.run(_taken(ResponsesReader(), heard("ada@", "example", ".com "), redaction, BLOCKING))
    assert (dict(inward.passed), inward.blocked, left(journaled)) == ({}, (), False)
