"""Whole answers: a message said as a chat completion, and the other way round."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import body
from gateway.conversion.carried import CannotCarry, a_list, a_text, an_object, below, objects
from gateway.conversion.usage import chat_usage, finish_reason, messages_usage, stop_reason

if TYPE_CHECKING:
    from gateway.conversion.carried import Tree


def completion_of(message: Tree, *, created: int) -> Tree:
    """Return a message as a chat completion made at `created` (seconds since the epoch). Raises `CannotCarry`."""
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[Tree] = []
    for path, block in objects(message.get("content"), "content"):
        match block.get("type"):
            case "text":
                texts.append(a_text(block.get("text"), below(path, "text")))
            case "thinking":
                thoughts.append(a_text(block.get("thinking"), below(path, "thinking")))
            case "tool_use":
                arguments = body.encode(an_object(block.get("input"), below(path, "input"))).decode()
                function: Tree = {"name": block.get("name"), "arguments": arguments}
                calls.append({"id": block.get("id"), "type": "function", "function": function})
            case "redacted_thinking":  # for its provider only, who does without where it is told nothing
                pass
            case _:
                raise CannotCarry(below(path, "type"), "cannot be said in the other protocol")
    said: Tree = {"role": "assistant", "content": "".join(texts) if texts else None, "refusal": refused(message)}
    if thoughts:
        said["reasoning_content"] = "".join(thoughts)
    if calls:
        said["tool_calls"] = calls
    finish = finish_reason(message.get("stop_reason")) or "stop"
    choices: list[object] = [{"index": 0, "message": said, "logprobs": None, "finish_reason": finish}]
    usage = an_object(message.get("usage") or {}, "usage")
    return {"id": message.get("id"), "object": "chat.completion", "created": created, "model": message.get("model"),
            "choices": choices, "usage": chat_usage(usage)}  # fmt: skip


def message_of(completion: Tree) -> Tree:
    """Return a chat completion of one choice as a message. Raises `CannotCarry`."""
    choices = a_list(completion.get("choices"), "choices")
    if len(choices) != 1:
        raise CannotCarry("choices", "must be one")
    choice = an_object(choices[0], "choices.0")
    said = an_object(choice.get("message"), "choices.0.message")
    content: list[object] = []
    if thought := thought_in(said):
        content.append({"type": "thinking", "thinking": thought, "signature": ""})
    for name in ("content", "refusal"):
        if said.get(name):
            text = a_text(said[name], f"choices.0.message.{name}")
            content.append({"type": "text", "text": text})
    calls = objects(said.get("tool_calls"), "choices.0.message.tool_calls")
    content += [_use(call, path) for path, call in calls]
    stop = "refusal" if said.get("refusal") else stop_reason(choice.get("finish_reason")) or "end_turn"
    usage = messages_usage(an_object(completion.get("usage") or {}, "usage"))
    return {
        "id": completion.get("id"), "type": "message", "role": "assistant", "model": completion.get("model"),
        "content": content, "stop_reason": stop, "stop_sequence": None,
        "stop_details": {"type": "refusal", "explanation": said["refusal"]} if said.get("refusal") else None,
        "usage": usage,
    }  # fmt: skip


def thought_in(said: Tree) -> str:
    """Return what a server of an open model calls its thoughts, empty where there are none."""
    for name in ("reasoning_content", "reasoning"):
        if isinstance(thought := said.get(name), str) and thought:
            return thought
    return ""


def refused(message: Tree) -> str | None:
    """Return why a message is a refusal, where it says so."""
    details = message.get("stop_details")
    explanation = an_object(details, "stop_details").get("explanation") if details is not None else None
    return explanation if isinstance(explanation, str) else None


def _use(call: Tree, path: str) -> Tree:
    if call.get("type", "function") != "function":
        raise CannotCarry(below(path, "type"), "cannot be said in the other protocol")
    function = an_object(call.get("function"), below(path, "function"))
    given = arguments_of(a_text(function.get("arguments"), below(path, "function.arguments")), path)
    return {"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": given}


def arguments_of(text: str, path: str) -> Tree:
    """Return a call's arguments as an object. Raises `CannotCarry`."""
    try:
        return an_object(body.parse(text.encode() or b"{}"), below(path, "function.arguments"))
    except (body.MalformedBody, UnicodeEncodeError):
        raise CannotCarry(below(path, "function.arguments"), "is not a JSON object") from None
