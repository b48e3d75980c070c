"""What a messages request holds: its structure, what escapes through the provider, whose results it shows."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from gateway import body
from gateway.call import ToolUse
from gateway.model_request import bad_request, hosted, list_of
from gateway.providers.connectors import connector_host
from redaction.finding import Shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from durable.step import Effect

#: Left out of the fingerprint: they never change the answer's meaning, or change by themselves
#: (facts/agents.md section 5: the command line of Claude sends a fresh `metadata.user_id` in every process).
VOLATILE: Final = frozenset({"metadata", "service_tier"})

#: Of a request nothing below a place is kept as a whole: what a field not known yet holds is scanned.
_CACHE: Final = ("cache_control.type", "cache_control.ttl")
_BLOCK: Final = (
    "type", "id", "name", "tool_use_id", "caller.type", "caller.tool_id", "toolset_name",
    *_CACHE, *(f"content.*.{name}" for name in _CACHE), "source.type", "source.media_type",
    "source.file_id", "file_id", "citations.enabled", "citations.*.type",
    "content.type", "content.error_code",
    "content.*.type", "content.*.source.type", "content.*.source.media_type",
    "content.*.source.file_id", "content.*.tool_name",
)  # fmt: skip
#: What the provider signed or encrypted in a block, and wants back as it was.
_SEALED: Final = ("signature", "data", "content.*.encrypted_content", "content.encrypted_stdout",
                  "citations.*.encrypted_index", "encrypted_content")  # fmt: skip
#: Structure of a request; every other string is scanned.
REQUEST_SHAPE: Final = Shape(
    keep=(
        "model", "stream", "messages.*.role", *(f"messages.*.content.*.{name}" for name in _BLOCK),
        "system.*.type", *(f"{place}{name}" for place in ("", "system.*.", "tools.*.") for name in _CACHE),
        "tools.*.type", "tools.*.name", "tools.*.input_schema.type", "tools.*.allowed_callers.*",
        "tools.*.mcp_server_name", "tool_choice.type", "tool_choice.name", "thinking.type", "thinking.display",
        "output_config.effort", "output_config.format.type", "service_tier", "speed", "container", "container.id",
        "container.skills.*.skill_id", "container.skills.*.type", "container.skills.*.version",
        "mcp_servers.*.type", "mcp_servers.*.name", "context_management.edits.*.type",
        "context_management.edits.*.clear_tool_inputs.*", "context_management.edits.*.exclude_tools.*",
        "diagnostics.previous_message_id", "inference_geo",
    ),
    sealed=tuple(f"messages.*.content.*.{name}" for name in _SEALED),
)  # fmt: skip

#: Images and documents in other than text cannot be inspected; they pass where a call's policy lets it pass.
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_\-\s]*={0,2}\s*")
_BINARY_MEDIA: Final = ("image/", "application/pdf")

#: Tools that the agent runs itself, by type without its date.
_CLIENT_TOOLS: Final = frozenset({
    "custom", "bash", "text_editor", "memory", "computer", "computer_toolset", "browser_toolset",
})  # fmt: skip
_DATE: Final = re.compile(r"_\d{8}$")


def shape_of(request: dict[str, object], *, keeps_thinking: bool) -> Shape:
    """Return the structure of this request: signed thinking and binary sources stand at places of their own.

    A signed text can only pass as it is (`fixed`, or `keep` with `keeps_thinking`); one without a signature
    is a text as any other.
    """
    keep: list[str] = []
    fixed: list[str] = []
    for path, block in _blocks(request):
        if block.get("type") == "thinking" and block.get("signature"):
            (keep if keeps_thinking else fixed).append(f"{path}.thinking")
        source = _object(block.get("source"))
        if source.get("type") == "base64" and _is_binary(source):
            keep.append(f"{path}.source.data")
    if not keep and not fixed:
        return REQUEST_SHAPE
    return replace(REQUEST_SHAPE, keep=(*REQUEST_SHAPE.keep, *keep), fixed=tuple(fixed))


def canonical(request: dict[str, object]) -> bytes:
    """Return what the fingerprint covers: no volatile fields, the results of equal tool calls in sorted order."""
    kept = {key: value for key, value in request.items() if key not in VOLATILE}
    kept["messages"] = _twins_sorted(cast("list[object]", request["messages"]))
    return body.canonical(kept)


def escapes(model: str, request: dict[str, object]) -> tuple[tuple[str, ...], Effect]:
    """Return what the provider itself would run, fetch or hand out, as resources, and the effect it gives the call.

    Raises `Refusal` for a name that cannot be used.
    """
    found = hosted(model, _hosted(request))
    return found, "once" if found else "safe"


def named_objects(request: dict[str, object]) -> tuple[str, ...]:
    """Return the ids of what the provider keeps that a request names.

    Files, containers, a customer's skills, and the message whose cache `diagnostics` compares with.
    """
    container = request.get("container")
    names = [container, _object(container).get("id"), _object(request.get("diagnostics")).get("previous_message_id")]
    skills = objects(_object(container).get("skills"))
    names += [skill.get("skill_id") for skill in skills if skill.get("type") != "anthropic"]
    for _, block in _blocks(request):  # never what an agent's own tool was given: its keys are no names of ours
        names += [block.get("file_id"), _object(block.get("source")).get("file_id")]
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))


def results_shown(tree: object) -> Sequence[ToolUse]:
    """Return the tool calls of the conversation that have a `tool_result`."""
    if not isinstance(tree, dict):
        return ()
    blocks = [block for _, block in _blocks(cast("dict[str, object]", tree))]
    answered = {str(block.get("tool_use_id")) for block in blocks if block.get("type") == "tool_result"}
    uses = [block for block in blocks if block.get("type") == "tool_use"]
    return tool_uses([block for block in uses if str(block.get("id")) in answered])


def tool_uses(blocks: Sequence[dict[str, object]]) -> list[ToolUse]:
    """Return `tool_use` blocks as evidence."""
    named = [(block.get("name"), block.get("input")) for block in blocks]
    return [ToolUse(name=name, arguments=arguments) for name, arguments in named if isinstance(name, str)]


def _hosted(request: dict[str, object]) -> Iterator[tuple[str, str]]:
    """Yield kind and place (host, id or `-`) of what the provider would do or reach by itself."""
    for tool in objects(list_of(request, "tools")):
        kind = _DATE.sub("", str(tool.get("type") or "custom"))
        if kind in _CLIENT_TOOLS or kind == "mcp_toolset":  # its server stands in `mcp_servers`
            continue
        domains = tool.get("allowed_domains")
        hosts = [str(one) for one in cast("list[object]", domains)] if isinstance(domains, list) else []
        yield from ((kind, host.partition("/")[0] or "-") for host in hosts or ["-"])
    for server in objects(list_of(request, "mcp_servers")):
        yield "mcp", _host(server.get("url"))
    container = request.get("container")
    if container is not None:
        yield "container", "-"
        for skill in objects(_object(container).get("skills")):
            yield "skill", str(skill.get("skill_id") or "-")
    if request.get("fallbacks"):
        yield "fallback", "-"


def _host(url: object) -> str:
    host = connector_host(url)
    if not host:
        raise bad_request("the `url` of an MCP server must be an http or https URL")
    return host


def _blocks(request: dict[str, object]) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield every content block of the conversation with its path, those inside tool results and documents too."""
    messages = request.get("messages")
    for number, message in enumerate(cast("list[object]", messages) if isinstance(messages, list) else []):
        if isinstance(message, dict):
            content = cast("dict[str, object]", message).get("content")
            yield from _below(content, f"messages.{number}.content")


def _below(content: object, path: str) -> Iterator[tuple[str, dict[str, object]]]:
    if isinstance(content, dict):  # the result of a hosted tool
        yield from _within(cast("dict[str, object]", content), path)
    elif isinstance(content, list):
        for place, item in enumerate(cast("list[object]", content)):
            if isinstance(item, dict):
                yield from _within(cast("dict[str, object]", item), f"{path}.{place}")


def _within(block: dict[str, object], path: str) -> Iterator[tuple[str, dict[str, object]]]:
    yield path, block
    yield from _below(block.get("content"), f"{path}.content")
    yield from _below(_object(block.get("source")).get("content"), f"{path}.source.content")


def _is_binary(source: dict[str, object]) -> bool:
    media, data = source.get("media_type"), source.get("data")
    if not isinstance(media, str) or not media.startswith(_BINARY_MEDIA):
        return False
    return isinstance(data, str) and _BASE64.fullmatch(data) is not None


def _twins_sorted(messages: list[object]) -> list[object]:
    """Return `messages` with the results of equal tool calls in sorted order.

    Frameworks that run equal calls in parallel assign their results to call ids in any order.
    """
    uses: dict[str, bytes] = {}
    results: dict[bytes, list[tuple[int, int]]] = {}
    for number, message in enumerate(messages):
        for place, block in _places(message):
            if block.get("type") == "tool_use":
                uses[str(block.get("id"))] = body.canonical([block.get("name"), block.get("input")])
            elif block.get("type") == "tool_result" and (use := uses.get(str(block.get("tool_use_id")))):
                results.setdefault(use, []).append((number, place))
    twins = [places for places in results.values() if len(places) > 1]
    if not twins:
        return messages
    ordered = [_copied(message) for message in messages]
    for places in twins:
        said = sorted((_said(ordered, at) for at in places), key=body.canonical)
        for at, one in zip(places, said, strict=True):
            _put(ordered, at, one)
    return ordered


def _places(message: object) -> list[tuple[int, dict[str, object]]]:
    content = _object(message).get("content")
    items = cast("list[object]", content) if isinstance(content, list) else []
    return [(place, cast("dict[str, object]", item)) for place, item in enumerate(items) if isinstance(item, dict)]


def _copied(message: object) -> object:
    if not isinstance(message, dict):
        return message
    copied = dict(cast("dict[str, object]", message))
    if isinstance(content := copied.get("content"), list):
        copied["content"] = list(cast("list[object]", content))
    return copied


def _said(messages: list[object], at: tuple[int, int]) -> dict[str, object]:
    content = cast("list[dict[str, object]]", cast("dict[str, object]", messages[at[0]])["content"])
    return {name: value for name, value in content[at[1]].items() if name != "tool_use_id"}


def _put(messages: list[object], at: tuple[int, int], said: dict[str, object]) -> None:
    content = cast("list[dict[str, object]]", cast("dict[str, object]", messages[at[0]])["content"])
    content[at[1]] = {"tool_use_id": content[at[1]]["tool_use_id"], **said}


def objects(value: object) -> list[dict[str, object]]:
    """Return the objects of a list, nothing for what is none."""
    if not isinstance(value, list):
        return []
    return [cast("dict[str, object]", item) for item in cast("list[object]", value) if isinstance(item, dict)]


def _object(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}
