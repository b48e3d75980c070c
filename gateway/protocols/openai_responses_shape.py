"""What is structure in requests and answers of `/v1/responses`; every other string is scanned."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, cast

from gateway.promises import Promises, json_text
from redaction.finding import Shape
from redaction.media import data_url

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Fields of an item (of `input` or `output`) that are structure wherever items stand.
_ITEM: Final = (
    "type", "role", "status", "phase", "name", "namespace", "server_label", "execution", "content.*.type",
    "content.*.detail", "content.*.input_audio.format", "content.*.annotations.*.type",
    "summary.*.type", "action.type", "actions.*.type", "operation.type", "outputs.*.type", "caller.type",
    "environment.type", "output_format", "quality", "size", "background", "output.*.type",
    "tools.*.type", "tools.*.name", "tools.*.parameters.type",
)  # fmt: skip
#: What the provider signed or encrypted in an item.
_SEALED: Final = ("encrypted_content", "fingerprint")
#: Ids the provider makes; kept only where they look like it.
_IDS: Final = (
    "id", "call_id", "container_id", "approval_request_id", "content.*.annotations.*.file_id",
    "content.*.annotations.*.container_id", "content.*.file_id", "results.*.file_id", "caller.caller_id",
)  # fmt: skip
_MEDIA: Final = ("content.*.image_url", "content.*.file_data", "output.image_url", "output.*.image_url")
_CHOICE: Final = (
    "tool_choice", "tool_choice.type", "tool_choice.mode", "tool_choice.name", "tool_choice.server_label",
    "tool_choice.tools.*.type", "tool_choice.tools.*.name", "tool_choice.tools.*.server_label",
)  # fmt: skip
_REASONING: Final = ("reasoning.effort", "reasoning.summary", "reasoning.generate_summary", "reasoning.mode",
                     "reasoning.context")  # fmt: skip
_REQUEST: Final = (
    "model", "stream", "tools.*.type", "tools.*.name", "tools.*.parameters.type", *_CHOICE, *_REASONING,
    "text.format.type", "text.format.name", "text.verbosity", "include.*", "truncation",
    "service_tier", "prompt_cache_retention", "previous_response_id", "conversation", "conversation.id", "prompt.id",
    "prompt.version", "tools.*.vector_store_ids.*", "tools.*.container", "tools.*.container.type",
    "tools.*.container.file_ids.*", "tools.*.server_label", "tools.*.connector_id", "tools.*.search_context_size",
)  # fmt: skip
_RESPONSE: Final = (
    "id", "object", "model", "status", "service_tier", "previous_response_id", "conversation.id", "truncation",
    *_CHOICE, *_REASONING, "text.format.type", "text.format.name",
    "text.verbosity", "error.code", "incomplete_details.reason", "tools.*.type", "tools.*.name",
    "tools.*.parameters.type", "prompt_cache_retention", "prompt.id", "prompt.version", "include.*",
)  # fmt: skip
#: Where the items of an answer stand, plain, in its events, and listed.
_ITEMS: Final = ("output.*.", "response.output.*.", "item.", "data.*.")
_EVENT: Final = ("type", "item_id", "part.type", "annotation.type", "annotation.file_id")

#: Where a text stands that was asked for as JSON.
_JSON_TEXTS: Final = (
    "output.*.content.*.text", "response.output.*.content.*.text", "item.content.*.text", "part.text", "text",
)  # fmt: skip

#: Of the call about a kept response: its id.
KEPT_SHAPE: Final = Shape(keep=("response_id",))

_ID: Final = re.compile(r"[a-z]{1,24}_[A-Za-z0-9_\-]{1,200}")
_BINARY: Final = re.compile(r"data:(image|audio|video)/[a-z0-9.+-]+;base64,|data:application/pdf;base64,")
_ID_KEYS: Final = frozenset({"id", "call_id", "file_id", "container_id", "approval_request_id", "caller_id"})
_MEDIA_KEYS: Final = frozenset({"image_url", "file_data"})


def request_shape(tree: dict[str, object]) -> Shape:
    """Return the shape of a request: ids and media are structure only where all of them look like what they are."""
    ids = media = True
    for item in _items(tree.get("input")):
        for key, value in _strings(item):
            if key in _ID_KEYS:
                ids = ids and _ID.fullmatch(value) is not None
            elif key in _MEDIA_KEYS:
                media = media and _BINARY.match(value) is not None and data_url(value) is not None
    return _request_shape(ids, media)


def answer_shape(request: object) -> Shape:
    """Return the shape of the answer to `request`, plain or as events."""
    return _answer_shape(promised(request).text is not None)


def promised(request: object) -> Promises:
    """Return what a request says of the form of its answer."""
    asked = cast("dict[str, object]", request) if isinstance(request, dict) else {}
    tools = {
        name: tool.get("parameters") for tool in _items(asked.get("tools"))
        if isinstance(name := tool.get("name"), str)
    }  # fmt: skip
    text = asked.get("text")
    wanted = cast("dict[str, object]", text).get("format") if isinstance(text, dict) else None
    return Promises(json_text(wanted, "schema"), tools)


@lru_cache
def _request_shape(ids: bool, media: bool) -> Shape:  # noqa: FBT001 - two facts of one request
    item = [*_ITEM, *(_IDS if ids else ()), *(_MEDIA if media else ())]
    return Shape(
        keep=(*_REQUEST, *_below("input.*.", item)),
        embedded=("input.*.arguments",),
        sealed=tuple(_below("input.*.", _SEALED)),
    )


@lru_cache
def _answer_shape(is_json: bool) -> Shape:  # noqa: FBT001 - one fact of a request
    item = [*_ITEM, *_IDS]
    output = [*_RESPONSE, *_below("output.*.", item)]
    keep = (*_EVENT, *output, *_below("response.", output), *_below("item.", item), *_below("data.*.", item))
    places = ("output.*.arguments", "response.output.*.arguments", "item.arguments", "arguments", "data.*.arguments")
    sealed = [path for prefix in _ITEMS for path in _below(prefix, _SEALED)]
    return Shape(keep=keep, embedded=(*places, *(_JSON_TEXTS if is_json else ())), sealed=tuple(sealed))


def _below(prefix: str, paths: list[str] | tuple[str, ...]) -> list[str]:
    return [prefix + path for path in paths]


def _items(value: object) -> list[dict[str, object]]:
    if not isinstance(value, list):
        return []
    return [cast("dict[str, object]", item) for item in cast("list[object]", value) if isinstance(item, dict)]


def _strings(value: object) -> Iterator[tuple[str, str]]:
    """Yield every string below `value` with the key it stands under."""
    if isinstance(value, dict):
        for key, inner in cast("dict[str, object]", value).items():
            if isinstance(inner, str):
                yield key, inner
            else:
                yield from _strings(inner)
    elif isinstance(value, list):
        for inner in cast("list[object]", value):
            yield from _strings(inner)
