"""Server-sent events: cutting never changes them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sse import EVENT_BYTES_MAX, EventSplitter, EventTooLong, event

_STREAM = (
    b'data: {"a":1}\n\n'
    b"event: message\r\nid: 7\r\ndata: one\r\ndata: two\r\n\r\n"
    b": keep-alive\n\n"
    b"data:no space\n\n"
    b"data: caf\xc3\xa9\n\n"
    b"data: [DONE]\n\n"
)


def _cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(stream) + 1) for place in places}), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


@pytest.mark.requirement("GW-04")
@given(st.lists(st.integers(min_value=0, max_value=10_000), max_size=30))
def test_cutting_a_stream_anywhere_gives_the_same_events_and_loses_no_byte(places: list[int]) -> None:
    whole = EventSplitter().feed(_STREAM)
    splitter = EventSplitter()
    pieces = [found for chunk in _cut(_STREAM, places) for found in splitter.feed(chunk)]
    assert pieces == whole
    assert b"".join(found.raw for found in whole) == _STREAM
    assert splitter.rest() == b""


@pytest.mark.requirement("GW-04")
def test_fields_are_read_as_the_standard_says() -> None:
    data = [found.data for found in EventSplitter().feed(_STREAM)]
    assert data == [b'{"a":1}', b"one\ntwo", None, b"no space", b"caf\xc3\xa9", b"[DONE]"]
    second = EventSplitter().feed(_STREAM)[1]
    assert (second.name, second.id) == ("message", "7")


@pytest.mark.requirement("GW-04")
def test_an_event_without_end_is_not_collected_for_ever() -> None:
    splitter = EventSplitter()
    with pytest.raises(EventTooLong):
        splitter.feed(b"data: " + b"x" * EVENT_BYTES_MAX)


@pytest.mark.requirement("GW-04")
def test_a_written_event_reads_back() -> None:
    (found,) = EventSplitter().feed(event(b"{}", name="message", event_id="1"))
    assert (found.data, found.name, found.id) == (b"{}", "message", "1")
