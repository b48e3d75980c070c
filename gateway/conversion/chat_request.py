"""A chat request said as a messages request (OpenAI API reference, chat; Anthropic API reference, messages)."""

from __future__ import annotations

import re
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
    number,
    objects,
    only,
)

if TYPE_CHECKING:
    from gateway.conversion.carried import Terms, Tree

#: Said otherwise, or of no meaning to the model; all other fields are refused by name.
_KNOWN: Final = frozenset({
    "model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "stream",
    "stream_options", "tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort", "user",
    "safety_identifier",
})  # fmt: skip
_HINTS: Final = ("metadata", "service_tier", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options",
                 "prediction")  # fmt: skip
#: Values that ask for nothing, so that nothing is lost without them.
_NEUTRAL: Final[dict[str, tuple[object, ...]]] = {
    "n": (1,), "logprobs": (False,), "frequency_penalty": (0,), "presence_penalty": (0,), "logit_bias": ({},),
    "modalities": (["text"],), "verbosity": ("medium",), "store": (False,), "functions": ([],),
}  # fmt: skip
_EFFORTS: Final = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
#: What was thought in earlier turns, as answers of ours and of servers of open models say it.
_THOUGHTS: Final = ("reasoning_content", "reasoning")
_TOOL_CHOICES: Final = {"auto": "auto", "required": "any", "none": "none"}
_USE_ID: Final = re.compile(r"[A-Za-z0-9_-]+")


def to_messages(chat: Tree, terms: Terms) -> Converted:
    """Return `chat` as a messages request. Raises `CannotCarry`."""
    left_out = LeftOut()
    asked = {name: value for name, value in chat.items() if not _is_neutral(name, value)}
    only(asked, "", _KNOWN | frozenset(_HINTS))
    left_out.hints(asked, "", _HINTS)
    system, messages = _conversation(asked, left_out)
    tree: Tree = {**copied(asked, "model"), "max_tokens": _limit(asked, terms), "messages": messages}
    if system:
        tree["system"] = system[0]["text"] if len(system) == 1 else system
    tree |= copied(asked, "top_p", "stream")
    if asked.get("temperature") is not None:
        if (warmth := number(asked["temperature"])) is None or not 0 <= warmth <= 1:
            raise CannotCarry("temperature", "must be from 0 to 1 for this model's provider")
        tree["temperature"] = asked["temperature"]
    if (stop := asked.get("stop")) is not None:
        tree["stop_sequences"] = [stop] if isinstance(stop, str) else a_list(stop, "stop")
    if (user := asked.get("safety_identifier") or asked.get("user")) is not None:
        tree["metadata"] = {"user_id": user}
        if asked.get("safety_identifier") is not None and asked.get("user") not in (None, user):
            left_out.note("user")
    return Converted(tree | _tools(asked) | _output(asked), tuple(left_out.names))


def _is_neutral(name: str, value: object) -> bool:
    known = _NEUTRAL.get(name)
    return known is not None and any(value == one or number(value) == one for one in known)


def _limit(asked: Tree, terms: Terms) -> object:
    for name in ("max_completion_tokens", "max_tokens"):
        if asked.get(name) is not None:
            return asked[name]
    if terms.output_tokens_max is None:
        why = "is needed by this model's provider; send it, or set `max_output_tokens` for the model"
        raise CannotCarry("max_tokens", why)
    return terms.output_tokens_max


def _conversation(asked: Tree, left_out: LeftOut) -> tuple[list[Tree], list[Tree]]:
    """Return the leading system texts, and the turns."""
    system: list[Tree] = []
    turns: list[Tree] = []
    results: list[object] | None = None
    for path, message in objects(asked.get("messages"), "messages"):
        role = message.get("role")
        if role == "tool":
            if results is None:
                results = []
                turns.append({"role": "user", "content": results})
            results.append(_result(message, path, left_out))
            continue
        if str(role) in {"system", "developer"}:
            only(message, path, frozenset({"role", "content"}))
            if turns:
                turns.append({"role": "system", "content": _content(message, path, left_out)})
            else:
                system += _blocks(message, path, left_out)
        elif role == "user":
            only(message, path, frozenset({"role", "content"}))
            if results is None:
                turns.append({"role": "user", "content": _content(message, path, left_out)})
            else:  # one turn: what the tools gave, then what is said to it
                results += _blocks(message, path, left_out)
        elif role == "assistant":
            turns.append(_assistant(message, path, left_out))
        else:
            raise CannotCarry(below(path, "role"), "is a role that cannot be carried to this model's provider")
        results = None
    return system, turns


def _assistant(message: Tree, path: str, left_out: LeftOut) -> Tree:
    said = {name: value for name, value in message.items() if value not in ([], "")}
    only(said, path, frozenset({"role", "content", "refusal", "tool_calls", *_THOUGHTS}))
    # agents send back what they got; without its signature the provider would refuse it, and needs it not
    left_out.hints(said, path, _THOUGHTS)
    calls = [_use(call, place) for place, call in objects(message.get("tool_calls"), below(path, "tool_calls"))]
    refusal = message.get("refusal")
    if not calls and not refusal:
        return {"role": "assistant", "content": _content(message, path, left_out)}
    content: list[object] = [] if not message.get("content") else [*_blocks(message, path, left_out)]
    if refusal:
        content.append({"type": "text", "text": a_text(refusal, below(path, "refusal"))})
    return {"role": "assistant", "content": [*content, *calls]}


def _use(call: Tree, path: str) -> Tree:
    only(call, path, frozenset({"id", "type", "function", "index"}))
    if call.get("type", "function") != "function":
        raise CannotCarry(below(path, "type"), "is a kind of tool that cannot be carried to this model's provider")
    function = an_object(call.get("function"), below(path, "function"))
    only(function, below(path, "function"), frozenset({"name", "arguments"}))
    text = a_text(function.get("arguments"), below(path, "function.arguments"))
    try:
        arguments = body.parse(text.encode() or b"{}")
    except (body.MalformedBody, UnicodeEncodeError):
        arguments = None
    given = an_object(arguments, below(path, "function.arguments"))
    use_id = _use_id(call.get("id"), below(path, "id"))
    return {"type": "tool_use", "id": use_id, "name": function.get("name"), "input": given}


def _use_id(value: object, path: str) -> str:
    use_id = a_text(value, path)
    if _USE_ID.fullmatch(use_id) is None:
        raise CannotCarry(path, "must be of letters, digits, `_` and `-` for this model's provider")
    return use_id


def _result(message: Tree, path: str, left_out: LeftOut) -> Tree:
    only(message, path, frozenset({"role", "content", "tool_call_id"}))
    use_id = _use_id(message.get("tool_call_id"), below(path, "tool_call_id"))
    return {"type": "tool_result", "tool_use_id": use_id, "content": _content(message, path, left_out)}


def _content(message: Tree, path: str, left_out: LeftOut) -> object:
    content = message.get("content")
    if content is None:
        return ""
    return content if isinstance(content, str) else _blocks(message, path, left_out)


def _blocks(message: Tree, path: str, left_out: LeftOut) -> list[Tree]:
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [_block(part, place, left_out) for place, part in objects(content, below(path, "content"))]


def _block(part: Tree, path: str, left_out: LeftOut) -> Tree:
    left_out.hints(part, path, ("prompt_cache_breakpoint",))
    kind = part.get("type")
    only(part, path, frozenset({"type", "prompt_cache_breakpoint", str(kind)}))
    match kind:
        case "text" | "refusal":
            return {"type": "text", "text": a_text(part.get(str(kind)), below(path, kind))}
        case "image_url":
            return media.image_block(part, path, left_out)
        case "file":
            return media.document_block(part, path)
        case _:
            raise CannotCarry(below(path, "type"), "is a kind of content that cannot be carried")


def _tools(asked: Tree) -> Tree:
    tools = [_tool(tool, path) for path, tool in objects(asked.get("tools"), "tools")]
    if not tools:
        return {}
    choice: Tree = {}
    chosen = asked.get("tool_choice")
    if isinstance(chosen, str):
        if chosen not in _TOOL_CHOICES:
            raise CannotCarry("tool_choice", "must be `auto`, `required`, `none` or a function")
        choice["type"] = _TOOL_CHOICES[chosen]
    elif chosen is not None:
        named = an_object(chosen, "tool_choice")
        only(named, "tool_choice", frozenset({"type", "function"}))
        if named.get("type") != "function":
            raise CannotCarry("tool_choice.type", "cannot be carried to this model's provider")
        function = an_object(named.get("function"), "tool_choice.function")
        only(function, "tool_choice.function", frozenset({"name"}))
        choice = {"type": "tool", "name": a_text(function.get("name"), "tool_choice.function.name")}
    if asked.get("parallel_tool_calls") is False and choice.get("type") != "none":
        choice = {"type": "auto", **choice, "disable_parallel_tool_use": True}
    return {"tools": tools, "tool_choice": choice} if choice else {"tools": tools}


def _tool(tool: Tree, path: str) -> Tree:
    if tool.get("type") != "function":
        raise CannotCarry(below(path, "type"), "is a kind of tool that cannot be carried to this model's provider")
    only(tool, path, frozenset({"type", "function"}))
    function = an_object(tool.get("function"), below(path, "function"))
    only(function, below(path, "function"), frozenset({"name", "description", "parameters", "strict"}))
    schema = function.get("parameters")
    empty: Tree = {"type": "object", "properties": {}}
    return copied(function, "name", "description", "strict") | {"input_schema": empty if schema is None else schema}


def _output(asked: Tree) -> Tree:
    tree: Tree = {}
    config: Tree = {}
    if (effort := asked.get("reasoning_effort")) is not None:
        if effort == "none":
            tree["thinking"] = {"type": "disabled"}
        elif isinstance(effort, str) and effort in _EFFORTS:
            tree["thinking"], config["effort"] = {"type": "adaptive"}, _EFFORTS[effort]
        else:
            raise CannotCarry("reasoning_effort", "is not known")
    if (wanted := asked.get("response_format")) is not None:
        form = an_object(wanted, "response_format")
        only(form, "response_format", frozenset({"type", "json_schema"}))
        if form.get("type") == "json_schema":
            config["format"] = _format(an_object(form.get("json_schema"), "response_format.json_schema"))
        elif form.get("type") != "text":
            why = "cannot be carried to this model's provider; use `json_schema`"
            raise CannotCarry("response_format.type", why)
    return {**tree, "output_config": config} if config else tree


def _format(wanted: Tree) -> Tree:
    only(wanted, "response_format.json_schema", frozenset({"name", "description", "schema", "strict"}))
    schema = an_object(wanted.get("schema"), "response_format.json_schema.schema")
    return {"type": "json_schema", "schema": copied(wanted, "description") | schema}
