"""A whole response said as a stream, for a client that asked for one (OpenAI API reference, responses streaming)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from gateway import body
from gateway.protocols.openai_responses_items import objects_in
from gateway.sse import event

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: What a response lacks that an operator has written down by hand.
_LEAST: Final[Mapping[str, object]] = {
    "id": "resp_given", "object": "response", "created_at": 0, "model": "", "parallel_tool_calls": True,
    "tool_choice": "auto", "tools": (), "status": "completed",
}  # fmt: skip


def frames_of(response: dict[str, object]) -> bytes:
    """Return the events of `response`: created, each item with its texts, and its end."""
    nothing: list[object] = []
    whole = {**_LEAST, "output": nothing, **response}
    begun = {**whole, "status": "in_progress", "output": nothing}
    events: list[dict[str, object]] = [{"type": "response.created", "response": begun}]
    items = [{"id": f"item_{place}", **item} for place, item in enumerate(objects_in(whole["output"]))]
    whole["output"] = items
    for place, item in enumerate(items):
        events += _events_of(place, item)
    status = whole["status"]
    ended = status if status in {"incomplete", "failed"} else "completed"
    events.append({"type": f"response.{ended}", "response": whole})
    return b"".join(
        event(body.encode({**one, "sequence_number": number}), name=str(one["type"]))
        for number, one in enumerate(events)
    )


def _events_of(place: int, item: dict[str, object]) -> Iterator[dict[str, object]]:
    nothing: list[object] = []
    at: dict[str, object] = {"output_index": place, "item_id": item["id"]}
    begun = {name: value for name, value in item.items() if name not in {"content", "arguments", "input"}}
    if "content" in item:
        begun["content"] = nothing
    for name in ("arguments", "input"):
        if name in item:
            begun[name] = ""
    yield {"type": "response.output_item.added", "output_index": place, "item": begun}
    for number, part in enumerate(objects_in(item.get("content"))):
        yield from _part(part, {**at, "content_index": number})
    if isinstance(arguments := item.get("arguments"), str):
        yield {"type": "response.function_call_arguments.delta", **at, "delta": arguments}
        yield {"type": "response.function_call_arguments.done", **at, "arguments": arguments}
    yield {"type": "response.output_item.done", "output_index": place, "item": item}


def _part(part: dict[str, object], at: dict[str, object]) -> Iterator[dict[str, object]]:
    kind = {"output_text": "text", "refusal": "refusal"}.get(str(part.get("type")))
    text = part.get(kind) if kind is not None else None
    if kind is None or not isinstance(text, str):
        return
    family = f"response.{part['type']}"
    more: dict[str, object] = {"logprobs": list[object]()} if kind == "text" else {}
    yield {"type": "response.content_part.added", **at, "part": {**part, kind: ""}}
    yield {"type": f"{family}.delta", **at, **more, "delta": text}
    yield {"type": f"{family}.done", **at, **more, kind: text}
    yield {"type": "response.content_part.done", **at, "part": cast("object", part)}
