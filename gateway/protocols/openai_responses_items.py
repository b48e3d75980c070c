"""The items of a response's input and output: the ids they name, the tools they ask for and answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from gateway import body
from gateway.call import ToolUse
from gateway.providers.objects import named

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: The field that holds what a tool is asked, by the type of the item that asks.
_ASKED: Final = {"function_call": "arguments", "custom_tool_call": "input"}
_ANSWERED: Final = frozenset({"function_call_output", "custom_tool_call_output"})
#: Items that carry all they mean; their ids open nothing. Every other item with an id may stand for a kept one.
_WHOLE: Final = frozenset({
    "message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output",
    "computer_call", "computer_call_output", "local_shell_call", "local_shell_call_output", "shell_call",
    "shell_call_output", "apply_patch_call", "apply_patch_call_output", "mcp_approval_response", "tool_search_call",
    "tool_search_output", "additional_tools", "compaction_trigger",
})  # fmt: skip


def named_objects(request: dict[str, object]) -> tuple[str, ...]:
    """Return the ids of kept objects that a request names."""
    found = [*named(request), *_prompt(request.get("prompt")), *_items(request.get("input"))]
    return tuple(dict.fromkeys(found))


def tool_uses(items: Sequence[dict[str, object]]) -> list[ToolUse]:
    """Return the tool calls among `items`."""
    return [use for item in items if (use := _tool_use(item)) is not None]


def results_shown(request: dict[str, object]) -> list[ToolUse]:
    """Return the tool calls of the conversation that have a result in it."""
    items = objects_in(request.get("input"))
    answered = {str(item.get("call_id")) for item in items if str(item.get("type")) in _ANSWERED}
    return tool_uses([item for item in items if str(item.get("call_id")) in answered])


def twins_sorted(items: object) -> object:
    """Return `items` with the results of equal tool calls in sorted order.

    Frameworks that run equal calls in parallel assign their results to call ids in any order.
    """
    if not isinstance(items, list):
        return items
    ordered = list(cast("list[object]", items))
    uses: dict[str, bytes] = {}
    for item in objects_in(ordered):
        if (field := _ASKED.get(str(item.get("type")))) is not None:
            asked: list[object] = [item.get("type"), item.get("name"), item.get(field)]
            uses[str(item.get("call_id"))] = body.canonical(asked)
    if len(set(uses.values())) == len(uses):
        return ordered
    groups: dict[bytes, list[int]] = {}
    for place, item in enumerate(ordered):
        result = cast("dict[str, object]", item) if isinstance(item, dict) else {}
        use = uses.get(str(result.get("call_id")))
        if use is not None and str(result.get("type")) in _ANSWERED:
            groups.setdefault(use, []).append(place)
    for places in groups.values():
        outputs = sorted((cast("dict[str, object]", ordered[at]).get("output") for at in places), key=body.canonical)
        for at, output in zip(places, outputs, strict=True):
            ordered[at] = cast("dict[str, object]", ordered[at]) | {"output": output}
    return ordered


def objects_in(value: object) -> list[dict[str, object]]:
    """Return the JSON objects of a list; empty for anything else."""
    if not isinstance(value, list):
        return []
    return [cast("dict[str, object]", item) for item in cast("list[object]", value) if isinstance(item, dict)]


def _prompt(prompt: object) -> Iterator[str]:
    if prompt is not None:
        # a kept prompt may bring tools and texts along: without a usable id it is refused, not passed
        yield str(cast("dict[str, object]", prompt).get("id")) if isinstance(prompt, dict) else "-"


def _items(items: object) -> Iterator[str]:
    for item in objects_in(items):
        kind = item.get("type")
        if str(kind) in _WHOLE or (kind is None and "content" in item):
            continue
        if str(kind) in {"reasoning", "compaction"} and isinstance(item.get("encrypted_content"), str):
            continue
        if item.get("id") is not None:
            yield str(item["id"])


def _tool_use(item: dict[str, object]) -> ToolUse | None:
    field = _ASKED.get(str(item.get("type")))
    if field is None:
        return None
    name, arguments = item.get("name"), item.get(field)
    if not isinstance(name, str) or not isinstance(arguments, str):
        return None
    try:
        return ToolUse(name=name, arguments=body.parse(arguments.encode() or b"{}"))
    except body.MalformedBody:
        return ToolUse(name=name, arguments=arguments)
