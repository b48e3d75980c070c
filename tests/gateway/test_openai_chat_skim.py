"""A stream nobody inspects is read the short way; it must not differ from the long one in anything that counts."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import body
from gateway.call import Sent
from gateway.protocols.openai_chat_answer import ChatReader
from gateway.protocols.openai_chat_likeness import Likeness
from gateway.sse import event

if TYPE_CHECKING:
    from gateway.call import Unit, Verdict

SSE = ((b"content-type", b"text/event-stream"),)


def chunk(delta: object, finish: str | None = None, **more: object) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return event(body.encode({"id": "c1", "model": "m", "choices": [choice], **more}))


def read(pieces: list[bytes], *, short: bool) -> tuple[bytes, bytes, Verdict, list[dict[str, object]]]:
    """Return what may leave at once, what is held, and what was found out."""
    reader = ChatReader()
    reader.begin(200, SSE)
    units: list[Unit] = []
    for piece in pieces:
        units += reader.skim(piece) if short else reader.feed(piece)
    units += reader.end()
    free = b"".join(unit.raw for unit in units if not unit.hold)
    return free, b"".join(unit.raw for unit in units if unit.hold), reader.verdict(), reader.tool_calls()


EVENTS = st.one_of(
    st.text().map(lambda text: chunk({"content": text})),
    st.text(alphabet='ab"\\/\n\u0001é😀,:{}').map(lambda text: chunk({"content": text})),
    st.sampled_from([
        chunk({"role": "assistant", "content": ""}), chunk({"reasoning_content": "so"}), b": ping\n\n",
        chunk({"content": "c1"}), chunk({"content": "m"}, usage={"prompt_tokens": 3, "completion_tokens": 4}),
        chunk({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]}),
        event(b'{"id":"c1", "model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}'),
        chunk({"content": "x", "refusal": "y"}), chunk({"content": "text"}, finish="length"),
    ]),
)  # fmt: skip


@pytest.mark.requirement("GW-13")
@given(st.lists(EVENTS, max_size=12), st.lists(st.integers(min_value=0, max_value=5_000), max_size=8))
def test_the_short_way_lets_go_holds_and_finds_what_the_long_way_does(events: list[bytes], cuts: list[int]) -> None:
    stream = b"".join([*events, chunk({}, finish="stop"), event(b"[DONE]")])
    edges = [0, *sorted({cut % (len(stream) + 1) for cut in cuts}), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(edges)]
    assert read(pieces, short=True) == read(pieces, short=False)


@pytest.mark.requirement("GW-13")
@pytest.mark.parametrize(
    "odd",
    [
        b'x"},"finish_reason":"stop"}],"also":[{"delta":{"content":"',
        b'x","content":"y', b"x\ny", b"x\\", b"x\\u12", b"\xff", b"\xc3",
    ],
)  # fmt: skip
def test_bytes_that_could_end_the_text_or_are_none_are_not_taken_for_text(odd: bytes) -> None:
    model = chunk({"content": "hello"})
    likeness = Likeness()
    likeness.learn(model, cast("dict[str, object]", body.parse(model[6:])), 0, "content")
    world = model.replace(b"hello", b"world")
    assert likeness.run(world + model, 0) == len(world + model)
    assert likeness.run(model.replace(b"hello", odd), 0) == 0
    assert likeness.run(world + model.replace(b"hello", odd), 0) in {0, len(world)}


@pytest.mark.requirement("GW-13")
def test_an_event_that_is_not_json_breaks_a_stream_read_the_short_way() -> None:
    reader = ChatReader()
    reader.begin(200, SSE)
    reader.skim(chunk({"content": "hello"}))
    with pytest.raises(Sent):
        reader.skim(chunk({"content": "hello"}).replace(b"hello", b"\xff"))


@pytest.mark.requirement("GW-13")
def test_a_text_that_stands_elsewhere_too_is_no_model() -> None:
    model = chunk({"content": "m"})
    likeness = Likeness()
    likeness.learn(model, cast("dict[str, object]", body.parse(model[6:])), 0, "content")
    assert likeness.run(model, 0) == 0
