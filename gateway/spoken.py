"""What was said in model traffic, in the form of OpenTelemetry's GenAI conventions: messages of parts.

Read from what the journal keeps, leniently: telemetry is no reason to fail, so what is not understood is left out.
Images, sounds and files are left out too; that they were there is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from gateway import body
from gateway.model_answer import object_of, objects_of
from gateway.sse import EventSplitter, EventTooLong

if TYPE_CHECKING:
    from collections.abc import Iterator

Tree = dict[str, object]

_TEXTS: Final = frozenset({"text", "input_text", "output_text", "refusal"})


def instructions(asked: Tree) -> list[Tree]:
    """Return the parts of instructions that stand apart from the conversation."""
    return _parts(asked.get("system")) or _parts(asked.get("instructions"))


def asked_messages(asked: Tree) -> list[Tree]:
    """Return the conversation of a request, the newest last."""
    if "input" in asked:  # Responses
        said = asked["input"]
        if isinstance(said, str):
            return [{"role": "user", "parts": _parts(said)}]
        return [one for item in objects_of(said) if (one := _item(item)) is not None]
    return [_message(one) for one in objects_of(asked.get("messages"))]


def answered_messages(answer: bytes, *, frames: bool) -> list[Tree]:
    """Return the messages of an answer, a whole one or the frames of a stream."""
    if frames:
        return _streamed(answer)
    try:
        tree = object_of(body.parse(answer))
    except body.MalformedBody:
        return []
    return _answered(tree)


def _answered(tree: Tree) -> list[Tree]:
    if "choices" in tree:
        return [
            _message(object_of(one.get("message"))) | {"finish_reason": str(one.get("finish_reason") or "")}
            for one in objects_of(tree["choices"])
        ]
    if "output" in tree:
        return [one for item in objects_of(tree["output"]) if (one := _item(item)) is not None]
    if "content" in tree:
        return [_message(tree) | {"finish_reason": str(tree.get("stop_reason") or "")}]
    return []


def _message(said: Tree) -> Tree:
    parts = _parts(said.get("content"))
    if said.get("role") == "tool":
        response: Tree = {
            "type": "tool_call_response", "id": str(said.get("tool_call_id")), "response": _plain(parts),
        }  # fmt: skip
        parts = [response]
    for call in objects_of(said.get("tool_calls")):
        function = object_of(call.get("function"))
        parts.append(_call(call.get("id"), function.get("name"), function.get("arguments")))
    return {"role": str(said.get("role") or "assistant"), "parts": parts}


def _item(item: Tree) -> Tree | None:
    match item.get("type", "message"):
        case "message":
            return {"role": str(item.get("role") or "assistant"), "parts": _parts(item.get("content"))}
        case "function_call":
            call = _call(item.get("call_id"), item.get("name"), item.get("arguments"))
            return {"role": "assistant", "parts": [call]}
        case "function_call_output":
            parts = _parts(item.get("output"))
            said: Tree = {"type": "tool_call_response", "id": str(item.get("call_id")), "response": _plain(parts)}
            return {"role": "tool", "parts": [said]}
        case _:
            return None


def _parts(content: object) -> list[Tree]:
    if isinstance(content, str):
        return [{"type": "text", "content": content}] if content else []
    return [_part(block) for block in objects_of(content)]


def _part(block: Tree) -> Tree:
    kind = str(block.get("type"))
    if kind in _TEXTS:
        return {"type": "text", "content": str(block.get("text") or block.get("refusal") or "")}
    if kind == "tool_use":
        return _call(block.get("id"), block.get("name"), block.get("input"))
    if kind == "tool_result":
        parts = _parts(block.get("content"))
        return {"type": "tool_call_response", "id": str(block.get("tool_use_id")), "response": _plain(parts)}
    if kind == "thinking":
        return {"type": "reasoning", "content": str(block.get("thinking") or "")}
    return {"type": kind}  # an image, a document, something new: that it was there, and no more


def _call(identifier: object, name: object, arguments: object) -> Tree:
    return {"type": "tool_call", "id": str(identifier), "name": str(name), "arguments": arguments}


def _plain(parts: list[Tree]) -> str:
    return "\n".join(str(part.get("content", "")) for part in parts)


def _streamed(frames: bytes) -> list[Tree]:
    """Return the message that the frames of a stream make up."""
    texts: dict[object, list[str]] = {}
    calls: dict[object, Tree] = {}
    finish = ""
    for tree in _events(frames):
        if tree.get("type") in {"response.completed", "response.incomplete"}:
            return _answered(object_of(tree.get("response")))
        for choice in objects_of(tree.get("choices")):
            delta, place = object_of(choice.get("delta")), choice.get("index")
            _add(texts, place, delta.get("content"))
            for call in objects_of(delta.get("tool_calls")):
                function = object_of(call.get("function"))
                _begin(calls, (place, call.get("index")), call.get("id"), function.get("name"))
                _argue(calls, (place, call.get("index")), function.get("arguments"))
            finish = str(choice.get("finish_reason") or finish)
        block, delta, place = object_of(tree.get("content_block")), object_of(tree.get("delta")), tree.get("index")
        if block.get("type") == "tool_use":
            _begin(calls, place, block.get("id"), block.get("name"))
        _add(texts, place, delta.get("text"))
        _argue(calls, place, delta.get("partial_json"))
        finish = str(delta.get("stop_reason") or finish)
    parts: list[Tree] = [{"type": "text", "content": "".join(text)} for text in texts.values()]
    parts += calls.values()
    return [{"role": "assistant", "parts": parts, "finish_reason": finish}] if parts or finish else []


def _add(texts: dict[object, list[str]], place: object, text: object) -> None:
    if isinstance(text, str) and text:
        texts.setdefault(place, []).append(text)


def _begin(calls: dict[object, Tree], place: object, identifier: object, name: object) -> None:
    if place not in calls:
        calls[place] = _call(identifier, name, "")


def _argue(calls: dict[object, Tree], place: object, text: object) -> None:
    if isinstance(text, str) and place in calls:
        calls[place]["arguments"] = cast("str", calls[place]["arguments"]) + text


def _events(frames: bytes) -> Iterator[Tree]:
    try:
        found = EventSplitter().feed(frames)
    except EventTooLong:
        return
    for event in found:
        if event.data is None:
            continue
        try:
            yield object_of(body.parse(event.data))
        except body.MalformedBody:
            continue
