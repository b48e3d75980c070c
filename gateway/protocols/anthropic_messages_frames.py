"""A whole message said as a stream, for a client that asked for one (Anthropic API reference, streaming)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from gateway import body
from gateway.sse import event

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What of a block is said in deltas, the block beginning without it: delta's type, name in it, what it begins with.
_SAID: Final = {"text": "text_delta", "thinking": "thinking_delta", "signature": "signature_delta"}
_AT_THE_END: Final = ("stop_reason", "stop_sequence", "stop_details")


def frames_of(message: dict[str, object]) -> bytes:
    """Return the events of `message`: its start, each block with its deltas, its end."""
    usage = _object(message.get("usage"))
    empty: list[object] = []
    started = {
        "id": "msg_given", "type": "message", "role": "assistant", "model": "", **message, "content": empty,
        "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 0, **usage, "output_tokens": 0},
    }  # fmt: skip
    frames = [_frame({"type": "message_start", "message": started})]
    calls = False
    content = message.get("content")
    for index, block in enumerate(cast("list[object]", content) if isinstance(content, list) else []):
        if isinstance(block, dict):
            calls = calls or cast("dict[str, object]", block).get("type") == "tool_use"
            frames += [_frame(one) for one in _block(index, cast("dict[str, object]", block))]
    ended: dict[str, object] = {name: message.get(name) for name in _AT_THE_END if name in message}
    if not isinstance(ended.get("stop_reason"), str):
        ended["stop_reason"] = "tool_use" if calls else "end_turn"
    ended.setdefault("stop_sequence", None)
    counted = {"output_tokens": 0, **usage}
    frames.append(_frame({"type": "message_delta", "delta": ended, "usage": counted}))
    frames.append(_frame({"type": "message_stop"}))
    return b"".join(frames)


def _block(index: int, block: dict[str, object]) -> Iterator[dict[str, object]]:
    begins, deltas = dict(block), list[dict[str, object]]()
    if block.get("type") == "tool_use":
        begins["input"] = dict[str, object]()
        deltas.append({"type": "input_json_delta", "partial_json": body.encode(block.get("input")).decode()})
    else:
        for name, kind in _SAID.items():
            if isinstance(block.get(name), str):
                begins[name] = ""
                deltas.append({"type": kind, name: block[name]})
        citations = begins.pop("citations", None)
        said = cast("list[object]", citations) if isinstance(citations, list) else []
        deltas += [{"type": "citations_delta", "citation": one} for one in said]
    yield {"type": "content_block_start", "index": index, "content_block": begins}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def _frame(tree: dict[str, object]) -> bytes:
    return event(body.encode(tree), name=str(tree["type"]))


def _object(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}
