"""What stands around the contents of a message: no value gets past where nobody would look for a text."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import TYPE_CHECKING, cast

import pytest

from gateway import header_values
from gateway.inward import Inward
from gateway.mcp.message import Unanswerable, read_message
from gateway.protocols.mcp_answer import McpReader
from gateway.protocols.openai_chat import REQUEST_SHAPE
from gateway.protocols.openai_chat_answer import ChatReader
from tests.mcp.test_adapter import adapter, read
from tests.mcp.wire import called
from tests.redaction.test_every_field import asked, engine
from tests.redaction.test_forms_filled import called as asking
from tests.redaction.test_forms_filled import turn
from tests.redaction.test_streams import STREAMS, VEIL, bench

if TYPE_CHECKING:
    from gateway.call import AnswerReader

Tree = dict[str, object]
MAIL = b"ada@example.com"
#: Lines that an event may have beside its data; `D` are the event's own lines.
BESIDE = [b"id: ada@example.com\nD", b"D\nid: ada@example.com", b"id:ada@example.com\nD", b"retry: ada@example.com\nD",
          b"event: ada@example.com\nD", b"note: ada@example.com\nD", b"ada@example.com\nD",
          b" data: ada@example.com\nD", b'{"to": "ada@example.com"}\nD', b'D\n{"to": "ada@example.com"}']  # fmt: skip


def taken(reader: AnswerReader, status: int, media: bytes, content: bytes) -> bytes:
    """Return an answer as it is journaled."""

    async def take() -> bytes:
        inward = Inward(reader, engine()[1], VEIL)
        reader.begin(status, ((b"content-type", media),))
        return b"".join([one.raw for one in await inward.take([*reader.feed(content), *reader.end()])])

    return asyncio.run(take())


@pytest.mark.requirement("RED-44")
@pytest.mark.parametrize("api", STREAMS)
@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
@pytest.mark.parametrize("line", BESIDE)
def test_lines_of_an_event_beside_its_data_reach_nobody(api: str, ends: bytes, line: bytes) -> None:
    if api == "mcp" and b"id:" in line:
        return  # a client asks with it for what came after: `Last-Event-ID`
    reader, raw, said = STREAMS[api]("Nothing in it.", [5])
    events = [line.replace(b"D", one) for one in raw.split(b"\n\n")[:-1]]
    journaled = bench().journaled(reader, b"text/event-stream", [one.replace(b"\n", ends) + ends * 2 for one in events])
    assert MAIL not in journaled
    assert set(said(journaled)) == {"Nothing in it."}


@pytest.mark.requirement("RED-44")
def test_a_server_names_its_events_as_the_protocol_does_and_their_ids_are_found_again() -> None:
    message = b'data: {"jsonrpc":"2.0","id":1,"result":{"content":[]}}\n\n'
    odd = b"event: ada@example.com\nid: 7-1\nnote: ada@example.com\n" + message
    assert taken(McpReader(turn(asking())), 200, b"text/event-stream", odd) == b"id: 7-1\n" + message
    usual = b"event: message\n" + message
    assert taken(McpReader(turn(asking())), 200, b"text/event-stream", usual) == usual


@pytest.mark.requirement("RED-44")
def test_a_body_passes_byte_for_byte_however_it_is_written() -> None:
    for content in (b'{\n"id": "c",\n:"x"\n}'.replace(b':"x"', b'"choices": []'), b'{"id":"c" , "choices": [ ]}'):
        assert taken(ChatReader(), 200, b"application/json", content) == content


@pytest.mark.requirement("RED-44")
def test_an_error_page_that_is_no_text_is_not_passed_on() -> None:
    page = taken(ChatReader(), 400, b"text/html", gzip.compress(b"<p>write to ada@example.com</p>"))
    assert cast("Tree", json.loads(page)["error"])["message"] is None


@pytest.mark.requirement("RED-44")
def test_a_content_type_passes_its_parameters_only_where_they_are_plain() -> None:
    told = {b"application/json; charset=utf-8": "application/json; charset=utf-8",
            b'text/html; x="ada@example.com"': "text/html", b"ada@example.com": "application/octet-stream"}  # fmt: skip
    assert {value: header_values.media(value) for value in told} == told
    assert header_values.media(None) == "application/json"


@pytest.mark.requirement("RED-44")
def test_the_place_of_a_protocols_word_holds_nothing_else_unread() -> None:
    for word in ("user", "ref/prompt", "chat.completion.chunk", "web_search_20250305"):
        planned = engine()[2].asked
        before = len(planned)
        assert not asked({"messages": [{"role": word}]}, REQUEST_SHAPE)
        assert len(planned) == before
    for text in ("mail ada@example.com", "4111111111111111", "call 4111 1111 1111 1111"):
        assert not asked(
            {"messages": [{"role": text, "content": [{"type": text}]}], "service_tier": text}, REQUEST_SHAPE
        )


@pytest.mark.requirement("RED-44")
@pytest.mark.parametrize(
    "method", ["x/ada@example.com", "notifications/4111111111111111", "Ada Lovelace", "", "x" * 129]
)
def test_a_method_that_could_be_anybodys_address_or_number_is_refused_before_it_is_audited(method: str) -> None:
    with pytest.raises(Unanswerable, match="expected a `method`"):
        read_message({"jsonrpc": "2.0", "id": 1, "method": method}, ())
    assert read_message({"jsonrpc": "2.0", "id": 1, "method": "com.example/echo_2"}, ()).method == "com.example/echo_2"


@pytest.mark.requirement("RED-44")
def test_headers_reach_a_server_of_mcp_only_where_they_are_plain() -> None:
    one = adapter()
    call = read(one, called("kept"), accept="application/json, ada@example.com", last_event_id="s1/7")
    sent = dict(one.request(call, call.tree, upstream_key=None).headers)
    assert (b"accept" in sent, sent[b"last-event-id"]) == (False, b"s1/7")
    call = read(one, called("kept"), accept="application/json, text/event-stream;q=0.9, */*")
    sent = dict(one.request(call, call.tree, upstream_key=None).headers)
    assert sent[b"accept"] == b"application/json, text/event-stream;q=0.9, */*"
