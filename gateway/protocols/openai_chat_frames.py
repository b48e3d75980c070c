"""A whole completion said as a stream, for a client that asked for one (OpenAI API reference, chat chunk object)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from gateway import body
from gateway.model_answer import object_of, objects_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_END: Final = b"data: [DONE]\n\n"
_OF_THE_ANSWER: Final = ("id", "created", "model", "system_fingerprint", "service_tier")


def frames_of(completion: dict[str, object]) -> bytes:
    """Return the events of `completion`: one with each choice's message, one with its end, usage, `[DONE]`."""
    shared: dict[str, object] = {name: completion[name] for name in _OF_THE_ANSWER if name in completion}
    shared = {"id": "chatcmpl-given", "created": 0, "model": "", **shared, "object": "chat.completion.chunk"}
    frames: list[bytes] = []
    for choice in _choices(completion):
        shown: list[object] = [choice]
        frames.append(_frame(shared | {"choices": shown}))
    if isinstance(usage := completion.get("usage"), dict):
        nothing: list[object] = []
        frames.append(_frame(shared | {"choices": nothing, "usage": cast("dict[str, object]", usage)}))
    return b"".join([*frames, _END])


def _choices(completion: dict[str, object]) -> Iterator[dict[str, object]]:
    for place, choice in enumerate(objects_of(completion.get("choices"))):
        index = choice.get("index", place)
        delta = {"role": "assistant", **object_of(choice.get("message"))}
        calls: list[dict[str, object]] = [
            {"index": number, **call} for number, call in enumerate(objects_of(delta.get("tool_calls")))
        ]
        if calls:
            delta["tool_calls"] = calls
        yield {"index": index, "delta": delta, "finish_reason": None}
        ended = choice.get("finish_reason") or ("tool_calls" if calls else "stop")
        yield {"index": index, "delta": {}, "finish_reason": ended}


def _frame(tree: dict[str, object]) -> bytes:
    return b"data: " + body.encode(tree) + b"\n\n"
