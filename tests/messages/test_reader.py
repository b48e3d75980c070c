"""The messages reader: what flows, what is held, what an answer proves, wherever it is cut."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import body
from gateway.call import Sent
from gateway.protocols.anthropic_messages_answer import MessagesReader
from tests.emulator.anthropic import error, event, message, stream, text, thinking, tool_use

if TYPE_CHECKING:
    from gateway.call import Unit, Verdict

SSE = ((b"content-type", b"text/event-stream"),)
JSON = ((b"content-type", b"application/json"),)
TALK = message(thinking("let me think é"), text("héllo 😀 wörld"), text("and more"))
ACT = message(text("now "), tool_use("pay", {"to": "é", "n": 1.50}), tool_use("pay", {}, "toolu_02"))


def read(pieces: list[bytes], *, short: bool = False) -> tuple[bytes, bytes, Verdict, list[dict[str, object]]]:
    """Return what may leave at once, what is held, and what was found out."""
    reader = MessagesReader()
    reader.begin(200, SSE)
    units: list[Unit] = []
    for piece in pieces:
        units += reader.skim(piece) if short else reader.feed(piece)
    units += reader.end()
    free = b"".join(unit.raw for unit in units if not unit.hold)
    return free, b"".join(unit.raw for unit in units if unit.hold), reader.verdict(), reader_uses(reader)


def reader_uses(reader: MessagesReader) -> list[dict[str, object]]:
    return cast("list[dict[str, object]]", body.plain(reader.tool_uses()))


def kinds(units: list[Unit]) -> list[tuple[str, bool]]:
    trees = [cast("dict[str, object]", unit.tree) for unit in units]
    return [(str(tree["type"]), unit.hold) for tree, unit in zip(trees, units, strict=True)]


@pytest.mark.requirement("MSG-05")
def test_text_flows_and_the_end_is_held() -> None:
    reader = MessagesReader()
    reader.begin(200, SSE)
    units = reader.feed(stream(message(text("hello")), piece=5))
    assert kinds(units) == [
        ("message_start", False), ("ping", False), ("content_block_start", False), ("content_block_delta", False),
        ("content_block_stop", False), ("message_delta", True), ("message_stop", True),
    ]  # fmt: skip
    assert units[3].slots[0].path == ("delta", "text")
    assert units[4].closes == (units[3].slots[0].key,)
    assert reader.end() == []
    assert reader.verdict().form == "frames"


@pytest.mark.requirement("MSG-05")
def test_no_part_of_a_streamed_tool_call_leaves_before_the_journal_has_it() -> None:
    free, held, verdict, uses = read([stream(ACT)])
    assert b"tool_use" not in free
    assert b"pay" not in free
    assert held.startswith(b"event: content_block_start")
    assert verdict.meta["finish"] == ["tool_use"]
    assert [use["id"] for use in uses] == ["toolu_01", "toolu_02"]


@pytest.mark.requirement("MSG-05")
def test_a_block_of_an_unknown_kind_is_held_and_a_hosted_tools_is_not() -> None:
    start: dict[str, object] = {"type": "message_start", "message": message()}
    for kind, held in [("something_new", True), ("server_tool_use", False), ("web_search_tool_result", False)]:
        reader = MessagesReader()
        reader.begin(200, SSE)
        block: dict[str, object] = {"type": "content_block_start", "index": 0, "content_block": {"type": kind}}
        (_, unit) = reader.feed(event(start) + event(block))
        assert unit.hold is held


@pytest.mark.requirement("MSG-09")
def test_streamed_thinking_is_fixed_and_ends_before_its_signature() -> None:
    reader = MessagesReader()
    reader.begin(200, SSE)
    units = reader.feed(stream(message(thinking("so", "c2ln"))))
    slots = [slot for unit in units for slot in unit.slots]
    assert {slot.kind for slot in slots} == {"fixed"}
    (signed,) = [unit for unit in units if b"signature_delta" in unit.raw]
    assert signed.closes == (slots[0].key,)
    assert b'"thinking":"more"' in reader.continuation(slots[0].key, "more").raw
    kept = MessagesReader(thinking="keep")
    kept.begin(200, SSE)
    assert [slot for unit in kept.feed(stream(message(thinking("so")))) for slot in unit.slots] == []


@pytest.mark.requirement("MSG-06")
@pytest.mark.parametrize("cut", range(len(stream(message(text("hé")), piece=1))))
def test_a_stream_cut_at_any_byte_proves_nothing(cut: int) -> None:
    whole = stream(message(text("hé")), piece=1)
    with pytest.raises(Sent):
        read([whole[:cut]])


@pytest.mark.requirement("MSG-06")
@pytest.mark.parametrize(
    "odd",
    [b"data: not json\n\n", b"event: x\ndata: []\n\n", b'data: {"type":"ping","type":"ping"}\n\n',
     event(error("overloaded_error"))],
)  # fmt: skip
def test_a_stream_with_an_error_or_nonsense_in_it_proves_nothing(odd: bytes) -> None:
    with pytest.raises(Sent):
        read([odd, stream(TALK)])
    with pytest.raises(Sent):
        read([odd, stream(TALK)], short=True)


@pytest.mark.requirement("MSG-06")
def test_the_providers_error_in_a_stream_is_shown_unless_the_call_must_not_be_repeated() -> None:
    for shows in (True, False):
        reader = MessagesReader(shows_errors=shows)
        reader.begin(200, SSE)
        (unit,) = reader.feed(event(error("overloaded_error")))
        assert unit.hold is not shows


@pytest.mark.requirement("MSG-06")
@pytest.mark.parametrize(
    ("status", "kind"),
    [(200, "outcome"), (400, "outcome"), (403, "outcome"), (404, "outcome"), (413, "outcome"), (401, "not_executed"),
     (429, "not_executed"), (529, "not_executed"), (408, "unknown"), (409, "unknown"), (500, "unknown"),
     (503, "unknown"), (504, "unknown")],
)  # fmt: skip
def test_the_status_says_what_is_known_about_the_effect(status: int, kind: str) -> None:
    reader = MessagesReader(not_executed=frozenset({401, 429, 529}))
    reader.begin(status, JSON)
    reader.feed(json.dumps(error("api_error") if status >= 400 else message()).encode())
    reader.end()
    assert reader.verdict().kind == kind


@pytest.mark.requirement("MSG-06")
def test_an_error_page_is_an_error_and_a_page_is_no_message() -> None:
    reader = MessagesReader()
    reader.begin(502, ((b"content-type", b"text/html"),))
    reader.feed(b"<html>bad gateway")
    (unit,) = reader.end()
    assert unit.raw == b"<html>bad gateway"
    assert cast("dict[str, object]", unit.tree)["type"] == "error"
    other = MessagesReader()
    other.begin(200, JSON)
    other.feed(b"<html>hello")
    with pytest.raises(Sent):
        other.end()


@pytest.mark.requirement("MSG-08")
@given(
    st.sampled_from([TALK, ACT]), st.integers(min_value=1, max_value=9), st.sampled_from([b" ", b""]),
    st.lists(st.integers(min_value=0, max_value=9_000), max_size=12),
)  # fmt: skip
def test_cutting_anywhere_and_reading_the_short_way_change_nothing(
    whole: dict[str, object], piece: int, gap: bytes, cuts: list[int]
) -> None:
    sent = stream(whole, piece=piece)
    sent = sent.replace(b'": ', b'":' + gap).replace(b', "', b"," + gap + b'"')
    edges = [0, *sorted({cut % (len(sent) + 1) for cut in cuts}), len(sent)]
    pieces = [sent[start:end] for start, end in pairwise(edges)]
    assert read(pieces, short=True) == read(pieces) == read([sent])


@pytest.mark.requirement("MSG-08")
@pytest.mark.parametrize("odd", [b"\xff", b'x"}}\n\ndata: {', b"x\ny", b"\\u00e9", b'","text":"y'])
def test_bytes_that_could_end_the_text_or_are_none_go_the_long_way(odd: bytes) -> None:
    usual = event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hello"}})
    strange = usual.replace(b"hello", odd)

    def taken(*, short: bool) -> bytes | None:
        reader = MessagesReader()
        reader.begin(200, SSE)
        try:
            return b"".join(unit.raw for unit in (reader.skim(strange) if short else reader.feed(strange)))
        except Sent:
            return None

    assert taken(short=True) == taken(short=False)


@pytest.mark.requirement("MSG-11")
def test_usage_is_all_input_with_what_was_cached_and_written() -> None:
    usage = {"input_tokens": 3, "output_tokens": 9, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20}
    expected = {"input_tokens": 123, "output_tokens": 9, "cached_input_tokens": 100, "cache_write_tokens": 20}
    assert read([stream(message(text("a"), usage=usage))])[2].meta["usage"] == expected
    plain = MessagesReader()
    plain.begin(200, JSON)
    plain.feed(json.dumps(message(text("a"), usage=usage)).encode())
    plain.end()
    assert plain.verdict().meta["usage"] == expected


@pytest.mark.requirement("MSG-04")
def test_what_the_provider_hands_out_is_noted_and_what_a_model_writes_is_not() -> None:
    output = {"type": "code_execution_output", "file_id": "file_1"}
    result: dict[str, object] = {
        "type": "code_execution_tool_result", "tool_use_id": "s1",
        "content": {"type": "code_execution_result", "content": [output]},
    }  # fmt: skip
    foreign: dict[str, object] = {"type": "mcp_tool_result", "content": [{"type": "x", "file_id": "file_2"}]}
    blocks = [result, foreign, tool_use("f", {"file_id": "file_3"})]
    whole = message(*blocks, container={"id": "cont_1", "expires_at": "2026-01-01T00:00:00Z"})
    reader = MessagesReader(origin="o")
    reader.begin(200, JSON)
    reader.feed(json.dumps(whole).encode())
    reader.end()
    assert reader.verdict().meta["objects"] == {"origin": "o", "ids": ["cont_1", "file_1"]}
    streamed = MessagesReader(origin="o")
    streamed.begin(200, SSE)
    streamed.feed(stream(whole))
    assert streamed.verdict().meta["objects"] == {"origin": "o", "ids": ["file_1"]}
