"""A messages request said as a chat request (Anthropic API reference, messages; OpenAI API reference, chat)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway import body
from gateway.conversion import media
from gateway.conversion.carried import (
    CannotCarry,
    Converted,
    LeftOut,
    a_list,
    a_text,
    an_object,
    below,
    copied,
    objects,
    only,
    whole,
)

if TYPE_CHECKING:
    from gateway.conversion.carried import Terms, Tree

#: Said otherwise, or of no meaning to the model; all other fields are refused by name.
_KNOWN: Final = frozenset({
    "model", "messages", "max_tokens", "system", "temperature", "top_p", "stop_sequences", "stream", "tools",
    "tool_choice", "thinking", "output_config", "metadata",
})  # fmt: skip
_HINTS: Final = ("service_tier", "cache_control", "diagnostics")
_TOOL_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}
_TOOL_HINTS: Final = ("cache_control", "eager_input_streaming")
_EFFORTS: Final = frozenset({"low", "medium", "high", "xhigh", "max"})
#: Budgets of thinking, in tokens, up to which it is called low or medium effort.
_LOW_TOKENS_MAX: Final = 4_096
_MEDIUM_TOKENS_MAX: Final = 16_384
#: The chat protocol has no word for a tool that failed: its result says so in its first words.
FAILED: Final = "error: "


def to_chat(asked: Tree, terms: Terms) -> Converted:
    """Return a messages request as a chat request. Raises `CannotCarry`."""
    left_out = LeftOut()
    asked = {name: value for name, value in asked.items() if not (name == "speed" and value == "standard")}
    only(asked, "", _KNOWN | frozenset(_HINTS))
    left_out.hints(asked, "", _HINTS)
    messages: list[Tree] = []
    if asked.get("system"):
        messages.append({"role": "system", "content": _said(asked["system"], "system", left_out)})
    for path, message in objects(asked.get("messages"), "messages"):
        messages += _turn(message, path, left_out)
    tree: Tree = {**copied(asked, "model"), "messages": messages, terms.limit_name: asked.get("max_tokens")}
    tree |= copied(asked, "temperature", "top_p", "stream")
    if asked.get("stream"):
        tree["stream_options"] = {"include_usage": True}
    if stops := asked.get("stop_sequences"):
        tree["stop"] = a_list(stops, "stop_sequences")
    if asked.get("metadata") is not None:
        metadata = an_object(asked["metadata"], "metadata")
        tree |= {"user": metadata["user_id"]} if metadata.get("user_id") is not None else {}
        if set(metadata) - {"user_id"}:
            left_out.note("metadata")
    return Converted(tree | _tools(asked, left_out) | _output(asked, left_out), tuple(left_out.names))


def _turn(message: Tree, path: str, left_out: LeftOut) -> list[Tree]:
    only(message, path, frozenset({"role", "content"}))
    role, content = message.get("role"), message.get("content")
    place = below(path, "content")
    if isinstance(content, str):
        if role not in {"user", "assistant", "system"}:
            raise CannotCarry(below(path, "role"), "is a role that cannot be carried to this model's provider")
        return [{"role": role, "content": content}]
    if role == "assistant":
        return [_assistant(content, place, left_out)]
    if role == "system":
        return [{"role": "system", "content": _said(content, place, left_out)}]
    if role != "user":
        raise CannotCarry(below(path, "role"), "is a role that cannot be carried to this model's provider")
    results: list[Tree] = []
    parts: list[Tree] = []
    for at, block in objects(content, place):
        if block.get("type") == "tool_result":
            results.append(_result(block, at, left_out))
        else:
            parts.append(_part(block, at, left_out))
    return [*results, {"role": "user", "content": parts}] if parts or not results else results


def _assistant(content: object, path: str, left_out: LeftOut) -> Tree:
    parts: list[Tree] = []
    calls: list[Tree] = []
    thoughts: list[str] = []
    for place, block in objects(content, path):
        match block.get("type"):
            case "tool_use":
                calls.append(_call(block, place, left_out))
            case "thinking" if not block.get("signature"):
                only(block, place, frozenset({"type", "thinking", "signature"}))
                thoughts.append(a_text(block.get("thinking"), below(place, "thinking")))
            case "thinking" | "redacted_thinking":
                raise CannotCarry(place, "is thinking signed for another provider; it cannot be carried to this one")
            case "text":
                parts.append(_text(block, place, left_out))
            case _:
                raise CannotCarry(below(place, "type"), "is a kind of content that cannot be carried")
    tree: Tree = {"role": "assistant", "content": _simple(parts) if parts else None}
    if calls:
        tree["tool_calls"] = calls
    if thoughts:  # what servers of open models call what they say before their answer
        tree["reasoning_content"] = "".join(thoughts)
    return tree


def _call(block: Tree, path: str, left_out: LeftOut) -> Tree:
    only(block, path, frozenset({"type", "id", "name", "input", "cache_control", "caller"}))
    left_out.hints(block, path, ("cache_control", "caller"))
    arguments = body.encode(an_object(block.get("input"), below(path, "input"))).decode()
    return {"id": block.get("id"), "type": "function",
            "function": {"name": block.get("name"), "arguments": arguments}}  # fmt: skip


def _result(block: Tree, path: str, left_out: LeftOut) -> Tree:
    only(block, path, frozenset({"type", "tool_use_id", "content", "is_error", "cache_control"}))
    left_out.hints(block, path, ("cache_control",))
    content = block.get("content")
    said = "" if content is None else _said(content, below(path, "content"), left_out)
    if block.get("is_error") is True:
        said = FAILED + said if isinstance(said, str) else [{"type": "text", "text": FAILED}, *said]
    return {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": said}


def _said(content: object, path: str, left_out: LeftOut) -> str | list[Tree]:
    """Return content that can be text only."""
    if isinstance(content, str):
        return content
    parts: list[Tree] = []
    for place, block in objects(content, path):
        if block.get("type") != "text":
            raise CannotCarry(below(place, "type"), "is a kind of content that cannot be carried here")
        parts.append(_text(block, place, left_out))
    return _simple(parts)


def _simple(parts: list[Tree]) -> str | list[Tree]:
    """Return parts of text, one of them as a text: not every server takes a list."""
    return a_text(parts[0]["text"], "text") if len(parts) == 1 else parts


def _part(block: Tree, path: str, left_out: LeftOut) -> Tree:
    match block.get("type"):
        case "text":
            return _text(block, path, left_out)
        case "image":
            return media.image_part(block, path, left_out)
        case "document":
            return media.file_part(block, path, left_out)
        case _:
            raise CannotCarry(below(path, "type"), "is a kind of content that cannot be carried")


def _text(block: Tree, path: str, left_out: LeftOut) -> Tree:
    said = {name: value for name, value in block.items() if value != []}
    only(said, path, frozenset({"type", "text", "cache_control"}))
    left_out.hints(block, path, ("cache_control",))
    return {"type": "text", "text": a_text(block.get("text"), below(path, "text"))}


def _tools(asked: Tree, left_out: LeftOut) -> Tree:
    tools = [_tool(tool, path, left_out) for path, tool in objects(asked.get("tools"), "tools")]
    if not tools:
        return {}
    tree: Tree = {"tools": tools}
    if asked.get("tool_choice") is None:
        return tree
    choice = an_object(asked["tool_choice"], "tool_choice")
    only(choice, "tool_choice", frozenset({"type", "name", "disable_parallel_tool_use"}))
    kind = choice.get("type")
    if kind == "tool":
        tree["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
    elif isinstance(kind, str) and kind in _TOOL_CHOICES:
        tree["tool_choice"] = _TOOL_CHOICES[kind]
    else:
        raise CannotCarry("tool_choice.type", "cannot be carried to this model's provider")
    return {**tree, "parallel_tool_calls": False} if choice.get("disable_parallel_tool_use") else tree


def _tool(tool: Tree, path: str, left_out: LeftOut) -> Tree:
    if tool.get("type") not in {None, "custom"}:
        raise CannotCarry(below(path, "type"), "is a kind of tool that cannot be carried to this model's provider")
    told = {name: value for name, value in tool.items() if not (name == "defer_loading" and value is False)}
    if told.get("allowed_callers") == ["direct"]:
        del told["allowed_callers"]
    only(told, path, frozenset({"type", "name", "description", "input_schema", "strict", *_TOOL_HINTS}))
    left_out.hints(tool, path, _TOOL_HINTS)
    function = copied(tool, "name", "description", "strict") | {"parameters": tool.get("input_schema")}
    return {"type": "function", "function": function}


def _output(asked: Tree, left_out: LeftOut) -> Tree:
    tree: Tree = {}
    config = an_object(asked.get("output_config") or {}, "output_config")
    only(config, "output_config", frozenset({"effort", "format"}))
    effort = config.get("effort") or _effort(asked, left_out)
    if effort is not None:
        if effort != "none" and str(effort) not in _EFFORTS:
            raise CannotCarry("output_config.effort", "is not known")
        tree["reasoning_effort"] = effort
    if config.get("format") is not None:
        wanted = an_object(config["format"], "output_config.format")
        only(wanted, "output_config.format", frozenset({"type", "schema"}))
        if wanted.get("type") != "json_schema":
            raise CannotCarry("output_config.format.type", "cannot be carried to this model's provider")
        schema: Tree = {"name": "output", "schema": wanted.get("schema"), "strict": True}
        tree["response_format"] = {"type": "json_schema", "json_schema": schema}
    return tree


def _effort(asked: Tree, left_out: LeftOut) -> str | None:
    """Return how much thinking is asked for; `None` where it is left to the model."""
    if asked.get("thinking") is None:
        return None
    thinking = an_object(asked["thinking"], "thinking")
    only(thinking, "thinking", frozenset({"type", "budget_tokens", "display"}))
    left_out.hints(thinking, "thinking", ("display",))
    match thinking.get("type"):
        case "disabled":
            return "none"
        case "adaptive":
            return None
        case "enabled":
            tokens = whole(thinking.get("budget_tokens"))
            if tokens <= _LOW_TOKENS_MAX:
                return "low"
            return "medium" if tokens <= _MEDIUM_TOKENS_MAX else "high"
        case _:
            raise CannotCarry("thinking.type", "cannot be carried to this model's provider")
