"""The events of a streamed response: which carry a piece of a text, which may leave, which end it.

Source: the 60 event types of `openai.types.responses.ResponseStreamEvent`; one that is not known here is held.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from gateway.call import Slot
from gateway.model_answer import is_utf8

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.call import SlotKind

    Place = tuple[str | int, ...]

FINAL: Final = frozenset({
    "response.completed", "response.incomplete", "response.failed", "response.cancelled",
})  # fmt: skip
#: Items nobody but the provider acts on. Every other one may be acted on by the agent as soon as it parses.
_PASSIVE: Final = frozenset({
    "message", "reasoning", "file_search_call", "web_search_call", "code_interpreter_call", "image_generation_call",
    "mcp_call", "mcp_list_tools", "compaction", "program", "program_output", "additional_tools",
})  # fmt: skip
#: Events that may leave while none of the agent's tool calls has begun.
_FLOWING: Final = (
    "response.created", "response.queued", "response.in_progress", "response.output_item.", "response.content_part.",
    "response.output_text.", "response.refusal.", "response.reasoning_", "response.audio.",
    "response.web_search_call.", "response.file_search_call.", "response.code_interpreter_call",
    "response.image_generation_call.", "response.mcp_call", "response.mcp_list_tools.", "response.compaction.",
    "response.shell_call_output_content.",
)  # fmt: skip
_ARGUMENTS: Final = ("response.function_call_arguments.", "response.mcp_call_arguments.")
#: Pieces of a sound (the second as the realtime API names them).
_AUDIO: Final = frozenset({"response.audio.delta", "response.output_audio.delta"})
#: What the usual event looks like: one flat object around a piece of a text. `\\u` is left to the parser.
_STRING: Final = rb'"[^"\\\x00-\x1f]*(?:\\["\\/bfnrt][^"\\\x00-\x1f]*)*"'
_VALUE: Final = rb"(?:" + _STRING + rb"|-?[0-9]{1,18}|\[\]|null)"
_FLAT: Final = re.compile(
    rb"event: (response\.(?:output_text|reasoning_summary_text|reasoning_text|refusal)\.delta)\n"
    rb'data: \{(?:"[a-z_]+": ?' + _VALUE + rb'(?:, ?(?=")|(?=\})))+\}\n\n'
)


class SlotKey(NamedTuple):
    """Which text or sound of an answer: its event without `.delta`, and the indexes that tell it from others."""

    family: str
    output: object
    content: object
    summary: object
    command: object
    field: str

    @property
    def kind(self) -> SlotKind:
        """Whether it is a text, a tool call's arguments, or a sound."""
        if self.family in _ARGUMENTS:
            return "json"
        return "audio" if f"{self.family}delta" in _AUDIO and not self.field else "text"

    def ended_by(self, kind: str, tree: dict[str, object]) -> bool:
        """Return whether an event says that no more of this text comes."""
        if kind in FINAL:
            return True
        if kind == "response.output_item.done":
            return self.output == tree.get("output_index")
        return kind.endswith(".done") and self[:5] == _key(kind.removesuffix("done"), tree)[:5]


def acted_on(item: object) -> bool:
    """Return whether an agent may act on an item of the output."""
    return not isinstance(item, dict) or str(cast("dict[str, object]", item).get("type")) not in _PASSIVE


def flows(kind: str) -> bool:
    """Return whether an event of this type may leave before the outcome is known."""
    return kind.startswith(_FLOWING)


def flat_text(raw: bytes) -> bool:
    """Return whether the bytes of an event are a well-formed piece of a text and nothing else."""
    match = _FLAT.fullmatch(raw)
    if match is None or raw.count(b'"type"') != 1:
        return False
    kind = b'"' + match.group(1) + b'"'
    if b'"type":' + kind not in raw and b'"type": ' + kind not in raw:
        return False
    return is_utf8(raw)


def slots_of(kind: str, tree: dict[str, object]) -> tuple[Slot, ...]:
    """Return the pieces of texts in an event."""
    delta = tree.get("delta")
    if not kind.endswith(".delta"):
        return ()
    key = _key(kind.removesuffix("delta"), tree)
    if isinstance(delta, str):
        return (Slot(key, ("delta",), key.kind),)
    if not isinstance(delta, dict):
        return ()
    return tuple(
        Slot(key._replace(field=name), ("delta", name))
        for name, text in cast("dict[str, object]", delta).items()
        if isinstance(text, str)
    )


def blind_places(tree: dict[str, object]) -> tuple[Place, ...]:
    """Return the places of an event or answer that cannot be inspected."""
    obfuscation: tuple[Place, ...] = (("obfuscation",),) if isinstance(tree.get("obfuscation"), str) else ()
    return (*obfuscation, *_probabilities(tree, ()))


def _key(family: str, tree: dict[str, object]) -> SlotKey:
    return SlotKey(
        family, tree.get("output_index"), tree.get("content_index"), tree.get("summary_index"),
        tree.get("command_index"), "",
    )  # fmt: skip


def _probabilities(value: object, path: Place) -> Iterator[Place]:
    """Yield where log probabilities stand: they hold the text once more, in tokens."""
    if isinstance(value, dict):
        for key, inner in cast("dict[str, object]", value).items():
            if key == "logprobs" and inner:
                yield (*path, key)
            elif key in {"response", "item", "part", "output", "content"}:
                yield from _probabilities(inner, (*path, key))
    elif isinstance(value, list):
        for place, inner in enumerate(cast("list[object]", value)):
            yield from _probabilities(inner, (*path, place))
