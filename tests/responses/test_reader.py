"""Reading answers of `/v1/responses`: what passes, what waits, what is proved."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast, get_args

import pytest
from openai.types.responses import ResponseStreamEvent

from gateway.call import Sent
from gateway.protocols.openai_responses_answer import ResponsesReader
from gateway.protocols.openai_responses_events import flows
from tests.emulator.openai import USAGE, event, events_of, function_call, message, reasoning, refused, response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.call import Unit

Tree = dict[str, object]
SSE = ((b"content-type", b"text/event-stream; charset=utf-8"),)
JSON = ((b"content-type", b"application/json"), (b"x-request-id", b"r1"), (b"set-cookie", b"no"))
#: What the SDK knows, and that nothing of it is held but what an agent may act on.
KINDS = [get_args(one.model_fields["type"].annotation)[0] for one in get_args(get_args(ResponseStreamEvent)[0])]
HELD = {
    "error", "response.completed", "response.failed", "response.incomplete",
    "response.function_call_arguments.delta", "response.function_call_arguments.done",
    "response.shell_call_command.added", "response.shell_call_command.delta", "response.shell_call_command.done",
    "response.custom_tool_call_input.delta", "response.custom_tool_call_input.done",
}  # fmt: skip
END = event("response.completed", 99, response=response())


def stream(pieces: Sequence[bytes], *, skim: bool = False) -> tuple[ResponsesReader, list[Unit]]:
    reader = ResponsesReader({})
    reader.begin(200, SSE)
    units = [unit for piece in pieces for unit in (reader.skim(piece) if skim else reader.feed(piece))]
    return reader, units + reader.end()


def plain(tree: object, status: int = 200) -> tuple[ResponsesReader, list[Unit]]:
    reader = ResponsesReader({}, origin="https://h/v1")
    reader.begin(status, JSON)
    assert reader.feed(json.dumps(tree).encode()) == []
    return reader, reader.end()


@pytest.mark.requirement("RESP-01")
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in {"error", *HELD}])
def test_every_event_the_sdk_knows_passes_as_it_came(kind: str) -> None:
    raw = event(kind, 1, output_index=0, item_id="x", delta="é", future={"field": [1.50]})
    _, units = stream([raw, END])
    assert units[0].raw == raw
    assert not units[0].hold
    assert flows(kind)


@pytest.mark.requirement("RESP-01")
@pytest.mark.parametrize("kind", [*sorted(HELD - {"error"}), "response.something.new"])
def test_what_may_complete_a_call_or_is_not_known_waits_for_the_journal(kind: str) -> None:
    reader = ResponsesReader({})
    reader.begin(200, SSE)
    (unit,) = reader.feed(event(kind, 1, output_index=0, item_id="x", delta="{", response=response()))
    assert unit.hold


WHOLE = response(reasoning("thinking é", "gAAAA=="), message("grüße, 世界 and more"), function_call())


@pytest.mark.requirement("RESP-01")
@pytest.mark.parametrize("skim", [False, True])
def test_wherever_the_bytes_are_cut_the_same_bytes_come_out(skim: bool) -> None:  # noqa: FBT001 - a parameter
    whole = b"".join(events_of(WHOLE))
    for size in (1, 2, 7, 100, len(whole)):
        reader, units = stream([whole[at : at + size] for at in range(0, len(whole), size)], skim=skim)
        assert b"".join(unit.raw for unit in units) == whole
        assert [item["type"] for item in reader.output()] == ["reasoning", "message", "function_call"]


@pytest.mark.requirement("RESP-01")
@pytest.mark.parametrize(
    "events",
    [
        [event("response.output_text.delta", 1, delta="x")],
        [event("response.created", 1, response=response())],
        [b'event: error\ndata: {"type":"error","message":"overloaded"}\n\n'],
        [b'data: {"error":{"message":"x"}}\n\n', END],
        [b"data: nonsense\n\n"],
        [b"data: []\n\n"],
        [END, b"data: {"],
        [b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"\xff"}\n\n'],
    ],
)  # fmt: skip
@pytest.mark.parametrize("skim", [False, True])
def test_a_stream_that_breaks_off_proves_nothing(events: list[bytes], skim: bool) -> None:  # noqa: FBT001 - a parameter
    with pytest.raises(Sent):
        stream(events, skim=skim)


@pytest.mark.requirement("RESP-01")
def test_a_flat_event_that_says_another_type_inside_is_read() -> None:
    raw = b'event: response.output_text.delta\ndata: {"type":"response.function_call_arguments.done","delta":"x"}\n\n'
    twice = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","type":"x"}\n\n'
    _, units = stream([raw, END], skim=True)
    assert units[0].hold
    with pytest.raises(Sent):
        stream([twice, END], skim=True)


@pytest.mark.requirement("RESP-04")
@pytest.mark.parametrize("skim", [False, True])
def test_text_flows_and_from_the_first_sign_of_a_tool_call_everything_waits(skim: bool) -> None:  # noqa: FBT001
    events = events_of(response(message("let me"), function_call()))
    at = next(place for place, raw in enumerate(events) if b"function_call" in raw)
    reader = ResponsesReader({})
    reader.begin(200, SSE)
    units = [unit for raw in events for unit in (reader.skim(raw) if skim else reader.feed(raw))]
    said = [unit for unit in units if unit.raw]
    held = b"".join(unit.raw for unit in said if unit.hold)
    assert held == b"".join(events[at:])
    assert b"".join(unit.raw for unit in said) == b"".join(events)


@pytest.mark.requirement("RESP-04")
@pytest.mark.parametrize("kind", ["local_shell_call", "shell_call", "apply_patch_call", "computer_call", "new_call"])
def test_any_item_an_agent_could_act_on_waits(kind: str) -> None:
    reader = ResponsesReader({})
    reader.begin(200, SSE)
    (unit,) = reader.feed(event("response.output_item.added", 1, output_index=0, item={"id": "x", "type": kind}))
    assert unit.hold
    again = ResponsesReader({})
    again.begin(200, SSE)
    (unit,) = again.feed(event("response.in_progress", 1, response=response(function_call(), status="in_progress")))
    assert unit.hold


@pytest.mark.requirement("RESP-02")
def test_each_text_is_a_slot_from_its_first_piece_to_the_event_that_repeats_it() -> None:
    _, units = stream(events_of(response(reasoning("abcdef"), message("hello"), refused("sorry"), function_call())))
    opened = {slot.key for unit in units for slot in unit.slots}
    closed = [key for unit in units for key in unit.closes]
    assert len(opened) == 4
    assert len(closed) == 4
    assert set(closed) == opened
    kinds = {slot.kind for unit in units for slot in unit.slots if slot.kind == "json"}
    assert kinds == {"json"}


@pytest.mark.requirement("RESP-02")
def test_both_outputs_of_a_command_are_texts_of_their_own() -> None:
    piece = event("response.shell_call_output_content.delta", 1, output_index=0, command_index=0,
                  delta={"stdout": "a", "stderr": "b", "more": 1})  # fmt: skip
    _, units = stream([piece, END])
    assert [slot.path for slot in units[0].slots] == [("delta", "stdout"), ("delta", "stderr")]
    assert set(units[1].closes) == {slot.key for slot in units[0].slots}


@pytest.mark.requirement("RESP-02")
def test_log_probabilities_and_obfuscation_cannot_be_inspected() -> None:
    probabilities = [{"token": "x", "logprob": -1}]
    part = cast("list[dict[str, object]]", message("x", logprobs=probabilities)["content"])[0]
    _, units = stream([
        event("response.output_text.delta", 1, delta="x", logprobs=probabilities, obfuscation="Zz"),
        event("response.content_part.done", 2, part=part),
        event("response.completed", 3, response=response(message("x", logprobs=probabilities))),
    ])  # fmt: skip
    assert units[0].blind == (("obfuscation",), ("logprobs",))
    assert units[1].blind == (("part", "logprobs"),)
    assert units[3].blind == (("response", "output", 0, "content", 0, "logprobs"),)


@pytest.mark.requirement("RESP-05")
@pytest.mark.parametrize(
    ("status", "kind"),
    [(200, "outcome"), (400, "outcome"), (403, "outcome"), (404, "outcome"), (401, "not_executed"),
     (429, "not_executed"), (408, "unknown"), (409, "unknown"), (500, "unknown"), (503, "unknown")],
)  # fmt: skip
def test_the_status_says_what_is_known_about_the_effect(status: int, kind: str) -> None:
    reader, _ = plain({"error": {"message": "x"}} if status >= 400 else response(), status)
    assert reader.verdict().kind == kind
    assert reader.verdict().meta["headers"] == {"x-request-id": "r1"}


@pytest.mark.requirement("RESP-05")
@pytest.mark.parametrize(
    ("status", "more", "kind", "finish"),
    [
        ("completed", {}, "outcome", ["completed"]),
        ("incomplete", {"incomplete_details": {"reason": "max_output_tokens"}}, "outcome", ["max_output_tokens"]),
        ("failed", {"error": {"code": "invalid_prompt", "message": "x"}}, "outcome", ["failed"]),
        ("failed", {"error": {"code": "server_error", "message": "x"}}, "unknown", ["failed"]),
        ("failed", {"error": {"code": "rate_limit_exceeded", "message": "x"}}, "unknown", ["failed"]),
        ("cancelled", {}, "outcome", ["cancelled"]),
        ("queued", {}, "outcome", ["queued"]),
    ],
)  # fmt: skip
def test_the_end_of_a_response_says_what_is_known(
    status: str, more: dict[str, object], kind: str, finish: object
) -> None:
    whole = response(status=status) | more
    readers = [plain(whole)[0]]
    if status in {"completed", "incomplete", "failed"}:
        readers.append(stream(events_of(whole))[0])
    for reader in readers:
        verdict = reader.verdict()
        assert (verdict.kind, verdict.meta["finish"]) == (kind, finish)
        assert verdict.meta["usage"] == {"input_tokens": 11, "output_tokens": 7, "cached_input_tokens": 3}


@pytest.mark.requirement("RESP-05")
def test_an_answer_that_is_no_json_proves_nothing_but_an_error_page_is_an_answer() -> None:
    reader = ResponsesReader({})
    reader.begin(200, JSON)
    reader.feed(b"<html>")
    with pytest.raises(Sent):
        reader.end()
    reader = ResponsesReader({})
    reader.begin(502, ((b"content-type", b"text/html"),))
    reader.feed(b"<html>")
    (unit,) = reader.end()
    assert unit.raw == b"<html>"
    assert reader.verdict().kind == "unknown"
    assert USAGE["total_tokens"] == 18
