"""The chat adapter: what it reads, what it sends, what it holds back."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from durable.step import Outcome
from gateway import body
from gateway.call import Refusal, Sent, header
from gateway.protocols.openai_chat import ChatAdapter
from gateway.protocols.openai_chat_answer import ChatReader
from gateway.providers.openai import OPENAI
from gateway.providers.target import ModelTarget
from gateway.sse import event
from tests.gateway.exchange import exchange

if TYPE_CHECKING:
    from gateway.call import Call, Unit, Upstream

SSE = ((b"content-type", b"text/event-stream"),)
JSON = ((b"content-type", b"application/json"),)


def adapter(upstream_model: str = "gpt") -> ChatAdapter:
    target = ModelTarget(
        name="gpt", domain="vendors", provider=OPENAI, upstream=cast("Upstream", None),
        upstream_model=upstream_model, credential=lambda: "upstream-key", seconds_max=30,
    )  # fmt: skip
    return ChatAdapter({"gpt": target})


def request(**fields: object) -> dict[str, object]:
    return {"model": "gpt", "messages": [{"role": "user", "content": "hi"}], **fields}


def read(tree: object, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Call:
    return adapter().read(exchange(tree, headers=headers))


def tool_call(call_id: str, name: str = "pay", arguments: str = '{"to":"x"}') -> dict[str, object]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.requirement("GW-06")
@pytest.mark.parametrize(
    ("tree", "status"),
    [
        (b"{", 400), (b"[]", 400), ({}, 400), ({"model": 1, "messages": []}, 400), ({"model": "gpt"}, 400),
        (request(stream="yes"), 400), (request(model="other"), 404), (b'{"model":"gpt","model":"gpt"}', 400),
    ],
)  # fmt: skip
def test_an_unusable_request_is_refused_in_openais_form(tree: object, status: int) -> None:
    with pytest.raises(Refusal) as caught:
        read(tree)
    reply = adapter().refuse(caught.value, None, ())
    shown = cast("dict[str, dict[str, object]]", body.parse(reply.body))
    assert reply.status == caught.value.status == status
    assert str(shown["error"]["message"]).startswith("oncegate: ")
    assert header(reply.headers, b"x-should-retry") == b"false"


@pytest.mark.requirement("GW-07")
def test_volatile_fields_and_key_order_leave_the_fingerprint_alone() -> None:
    plain = read(request(temperature=0.5)).canonical
    noisy = read(
        b'{"stream_options":{"include_usage":true},"temperature":0.5,"user":"u1","metadata":{"x":"1"},'
        b'"messages":[{"content":"hi","role":"user"}],"model":"gpt"}'
    ).canonical
    assert noisy == plain
    assert read(request(temperature=0.50001)).canonical != plain


@pytest.mark.requirement("GW-07")
def test_the_results_of_equal_parallel_calls_may_come_in_any_order() -> None:
    def conversation(first: str, second: str) -> bytes:
        return read(
            request(
                messages=[
                    {"role": "assistant", "tool_calls": [tool_call("a"), tool_call("b"), tool_call("c", name="other")]},
                    {"role": "tool", "tool_call_id": "a", "content": first},
                    {"role": "tool", "tool_call_id": "b", "content": second},
                    {"role": "tool", "tool_call_id": "c", "content": "other"},
                ]
            )
        ).canonical

    assert conversation("one", "two") == conversation("two", "one")
    assert conversation("one", "two") != conversation("one", "three")


@pytest.mark.requirement("GW-08")
def test_an_unchanged_request_is_sent_as_it_came_with_the_gateways_credential_only() -> None:
    raw = b'{ "model":"gpt", "vendor_field": 1.00, "messages":[ ] }'
    call = adapter().read(exchange(raw, headers=((b"authorization", b"Bearer og_x"), (b"cookie", b"a=b"))))
    sent = adapter().request(call, call.tree, upstream_key="k1")
    assert sent.body == raw
    assert header(sent.headers, b"authorization") == b"Bearer upstream-key"
    assert header(sent.headers, b"idempotency-key") == b"k1"
    assert header(sent.headers, b"cookie") is None


@pytest.mark.requirement("GW-08")
def test_the_upstreams_own_model_name_is_put_in() -> None:
    renamed = adapter(upstream_model="gpt-2026")
    call = renamed.read(exchange(request(x=1)))
    assert cast("dict[str, object]", body.parse(renamed.request(call, call.tree, upstream_key=None).body)) == request(
        x=1
    ) | {"model": "gpt-2026"}


@pytest.mark.requirement("GW-09")
def test_tools_the_provider_would_run_itself_are_resources_of_their_own_and_never_repeated() -> None:
    call = read(
        request(tools=[{"type": "function", "function": {"name": "f"}}, {"type": "mcp"}], web_search_options={})
    )
    assert call.also == ("model/gpt/hosted/mcp/-", "model/gpt/hosted/web_search/-")
    assert call.effect == "once"
    assert read(request(tools=[{"type": "function"}])).effect == "safe"


def chunk(**delta: object) -> bytes:
    finish = delta.pop("finish_reason", None)
    return event(body.encode({"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}))


def stream(*events: bytes) -> tuple[ChatReader, list[Unit]]:
    reader = ChatReader()
    reader.begin(200, SSE)
    units = [unit for piece in events for unit in reader.feed(piece)]
    return reader, units + reader.end()


@pytest.mark.requirement("GW-10")
def test_text_flows_and_the_end_is_held() -> None:
    reader, units = stream(
        chunk(role="assistant", content=""), chunk(content="he"), chunk(content="llo"),
        chunk(finish_reason="stop"), event(b"[DONE]"),
    )  # fmt: skip
    assert [unit.hold for unit in units] == [False, False, False, True, True]
    assert [slot.key for slot in units[1].slots] == [("content", 0)]
    assert units[3].closes == (("content", 0),)
    assert reader.verdict().form == "frames"


@pytest.mark.requirement("GW-10")
def test_no_part_of_a_streamed_tool_call_leaves_before_the_journal_has_it() -> None:
    function = {"index": 0, "id": "t1", "function": {"name": "pay", "arguments": '{"a":'}}
    reader, units = stream(
        chunk(content="let me "), chunk(tool_calls=[function]),
        chunk(tool_calls=[{"index": 0, "function": {"arguments": "1}"}}]), chunk(finish_reason="tool_calls"),
        event(b"[DONE]"),
    )  # fmt: skip
    assert [unit.hold for unit in units] == [False, True, True, True, True]
    assert units[1].slots[0].kind == "json"
    assert reader.tool_calls() == [{"function": {"name": "pay", "arguments": '{"a":1}'}}]


@pytest.mark.requirement("GW-11")
@pytest.mark.parametrize(
    "events",
    [[chunk(content="hel")], [chunk(content="x"), b"data: {"], [event(b'{"error":{"message":"overloaded"}}')],
     [event(b"not json")], [event(b"[]")]],
)  # fmt: skip
def test_a_stream_that_breaks_off_proves_nothing(events: list[bytes]) -> None:
    with pytest.raises(Sent):
        stream(*events)


@pytest.mark.requirement("GW-11")
@pytest.mark.parametrize(
    ("status", "kind"),
    [(200, "outcome"), (400, "outcome"), (403, "outcome"), (404, "outcome"), (422, "outcome"), (401, "not_executed"),
     (429, "not_executed"), (408, "unknown"), (409, "unknown"), (500, "unknown"), (503, "unknown"), (529, "unknown")],
)  # fmt: skip
def test_the_status_says_what_is_known_about_the_effect(status: int, kind: str) -> None:
    reader = ChatReader()
    reader.begin(status, JSON)
    reader.feed(b'{"error":{"message":"x"}}' if status >= 400 else b'{"choices":[]}')
    reader.end()
    assert reader.verdict().kind == kind


@pytest.mark.requirement("GW-12")
def test_the_same_tool_calls_are_seen_in_the_answer_and_in_the_next_request() -> None:
    answer = {"choices": [{"index": 0, "message": {"tool_calls": [tool_call("a"), tool_call("b", name="other")]}}]}
    outcome = Outcome(form="body", status=200, media="application/json", body=body.encode(answer))
    asked = adapter().tools_asked(outcome)
    shown = adapter().results_shown(
        request(
            messages=[
                {"role": "assistant", "tool_calls": [tool_call("a"), tool_call("b", name="other")]},
                {"role": "tool", "tool_call_id": "a", "content": "ok"},
            ]
        )
    )
    assert [use.name for use in asked] == ["pay", "other"]
    assert [(use.name, use.arguments) for use in shown] == [("pay", {"to": "x"})]


@pytest.mark.requirement("GW-12")
def test_a_streamed_answers_tool_calls_are_read_from_its_frames() -> None:
    frames = b"".join([
        chunk(tool_calls=[{"index": 0, "id": "t", "function": {"name": "pay", "arguments": '{"to":"x"}'}}]),
        chunk(finish_reason="tool_calls"), event(b"[DONE]"),
    ])  # fmt: skip
    outcome = Outcome(form="frames", status=200, media="text/event-stream", body=frames)
    assert [(use.name, use.arguments) for use in adapter().tools_asked(outcome)] == [("pay", {"to": "x"})]
