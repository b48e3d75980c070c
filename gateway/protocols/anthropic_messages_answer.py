"""Reads a message, plain or streamed, as it arrives (Anthropic API reference, messages and streaming)."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal, cast

from gateway import body
from gateway.call import Slot, Unit
from gateway.model_answer import ModelAnswer, is_utf8, object_of, objects_of, placed_objects
from gateway.promises import NOTHING, Promises, json_text
from gateway.providers.objects import named
from gateway.providers.provider import NOT_EXECUTED
from gateway.sse import event
from redaction.finding import Shape

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from gateway.call import SlotKind

#: Structure of a content block, wherever one stands.
_BLOCK: Final = (
    "type", "id", "name", "tool_use_id", "caller.type", "caller.tool_id", "toolset_name",
    "content.type", "content.error_code", "content.*.type", "content.*.file_id",
    "citations.*.type", "citations.*.file_id", "file_id",
)  # fmt: skip
#: What the provider signed or encrypted in a block.
_SEALED_BLOCK: Final = ("signature", "data", "encrypted_content", "content.*.encrypted_content",
                        "content.encrypted_stdout", "citations.*.encrypted_index")  # fmt: skip
_BLOCKS: Final = ("content.*.", "message.content.*.", "content_block.")
_USAGE: Final = ("usage.service_tier", "usage.inference_geo", "usage.speed", "usage.iterations.*.type",
                 "usage.iterations.*.model")  # fmt: skip
_KEEP: Final = (
    "type", "id", "role", "model", "index", "stop_reason", *_USAGE, "container.id", "container.expires_at",
    "error.type", "request_id", "input_tokens", "context_management.applied_edits.*.type",
    *(f"{place}{name}" for place in _BLOCKS for name in _BLOCK),
    "message.id", "message.type", "message.role", "message.model", "message.stop_reason", "message.container.id",
    *(f"message.{name}" for name in _USAGE),
    "delta.type", "delta.stop_reason", "delta.container.id", "delta.citation.type", "delta.citation.file_id",
)  # fmt: skip
_SEALED: Final = (
    "delta.signature", "delta.citation.encrypted_index",
    *(f"{place}{name}" for place in _BLOCKS for name in _SEALED_BLOCK),
)  # fmt: skip
_THINKING: Final = ("content.*.thinking", "message.content.*.thinking", "content_block.thinking")
#: A thinking text is signed by the provider and must come back to it unchanged: it passes as it is, or not at all.
_SHAPES: Final = {
    "fixed": Shape(keep=_KEEP, fixed=_THINKING, sealed=_SEALED),
    "keep": Shape(keep=(*_KEEP, *_THINKING, "delta.thinking"), sealed=_SEALED),
    "text": Shape(keep=_KEEP, sealed=_SEALED),
}

_JSON_SHAPES: Final = {name: replace(shape, embedded=("content.*.text",)) for name, shape in _SHAPES.items()}

#: Answer headers worth keeping for the agent; the rest belongs to the connection to the provider.
_KEPT_HEADERS: Final = (b"retry-after", b"retry-after-ms", b"request-id", b"x-should-retry")
#: What an agent is only shown; of every other block it could act on a part, so nothing of it leaves early.
_ONLY_SHOWN: Final = frozenset({"text", "thinking", "redacted_thinking", "server_tool_use", "mcp_tool_use",
                                "mcp_tool_result", "container_upload", "compaction"})  # fmt: skip
#: Blocks in which the provider itself hands out what it keeps.
_MAKING: Final = frozenset({"code_execution_tool_result", "bash_code_execution_tool_result",
                            "text_editor_code_execution_tool_result", "container_upload"})  # fmt: skip
#: The usual event of a stream, in which only a text differs (RFC 8259 section 7; `\\u` is left to the parser).
_USUAL: Final = re.compile(
    rb'event: content_block_delta\ndata: \{"type": ?"content_block_delta", ?"index": ?\d{1,6}, ?"delta": ?\{'
    rb'"type": ?"(?:text_delta", ?"text|thinking_delta", ?"thinking)": ?"'
    rb'[^"\\\x00-\x1f]*(?:\\["\\/bfnrt][^"\\\x00-\x1f]*)*"\} *\} *\n\n'
)
_DELTAS: Final[dict[str, str]] = {
    "text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json",
}  # fmt: skip


def promised(request: object) -> Promises:
    """Return what a request says of the form of its answer."""
    asked = object_of(request)
    tools = {
        name: tool.get("input_schema") for tool in objects_of(asked.get("tools"))
        if isinstance(name := tool.get("name"), str)
    }  # fmt: skip
    wanted = asked.get("output_format") or object_of(asked.get("output_config")).get("format")
    return Promises(json_text(wanted, "schema"), tools)


class MessagesReader(ModelAnswer):
    """Units of one answer: the whole body, or one unit per stream event (`gateway/model_answer.py`).

    `thinking` is `fixed` where its signature forbids to change it, `keep` where it passes uninspected, `text` where
    nobody has signed it. `shows_errors` lets the provider's error inside a stream pass to the agent (else the
    gateway's own takes its place). `keeps_id` hands out the message's id, which a later request may name.
    """

    _kept = _KEPT_HEADERS

    def __init__(
        self, *, not_executed: frozenset[int] = NOT_EXECUTED, thinking: Literal["fixed", "keep", "text"] = "fixed",
        shows_errors: bool = True, origin: str = "", promises: Promises = NOTHING, keeps_id: bool = False,
    ) -> None:  # fmt: skip
        shapes = _SHAPES if promises.text is None else _JSON_SHAPES
        super().__init__(shape=shapes[thinking], origin=origin, not_executed=not_executed)
        self._promises = promises
        self._thinking = thinking
        self._shows_errors = shows_errors
        self._keeps_id = keeps_id
        self._open: set[tuple[str, int]] = set()
        self._finish: str | None = None
        self._uses: dict[int, dict[str, object]] = {}
        self._inputs: dict[int, list[str]] = {}

    def encode(self, unit: Unit, tree: object) -> bytes:
        """Return `tree` framed like `unit`."""
        del unit
        encoded = body.encode(tree)
        if not self._streams:
            return encoded
        return event(encoded, name=str(cast("dict[str, object]", tree).get("type", "")))

    def continuation(self, key: Hashable, text: str) -> Unit:
        """Return a delta that carries `text` for slot `key` only."""
        kind, index = cast("tuple[str, int]", key)
        name = _DELTAS[kind]
        tree: dict[str, object] = {
            "type": "content_block_delta", "index": index, "delta": {"type": kind, name: text},
        }  # fmt: skip
        slot = Slot((kind, index), ("delta", name), self._slot_kind(kind))
        return Unit(raw=event(body.encode(tree), name="content_block_delta"), tree=tree, slots=(slot,),
                    hold=self._holding)  # fmt: skip

    def tool_uses(self) -> list[dict[str, object]]:
        """Return the `tool_use` blocks of the answer, in order, their `input` parsed where it was streamed."""
        return [{**self._uses[at], "input": self._input(at)} for at in sorted(self._uses)]

    # -- what `ModelAnswer` asks

    def _flowing(self, content: bytes, begin: int) -> int:
        end = begin
        while (usual := _USUAL.match(content, end)) is not None:
            end = usual.end()
        return end if is_utf8(content[begin:end]) else begin

    def _used(self) -> dict[str, int]:
        return _counted(self._usage) if self._usage else {}

    def _reasons(self) -> list[str]:
        return [] if self._finish is None else [self._finish]

    def _page(self, text: str) -> dict[str, object]:
        return {"type": "error", "error": {"type": "api_error", "message": text}}

    def _note_whole(self, tree: dict[str, object]) -> tuple[tuple[str | int, ...], ...]:
        self._begun(tree)
        self._note_stop(tree)
        for at, block in placed_objects(tree.get("content")):
            self._note_block(at, block)
        return ()

    def _schemas(self, tree: dict[str, object]) -> Mapping[str, object]:
        blocks = placed_objects(tree.get("content"))
        texts = [f"/content/{at}/text" for at, block in blocks if block.get("type") == "text"]
        uses = [(f"/content/{at}/input", block.get("name")) for at, block in blocks if block.get("type") == "tool_use"]
        return self._promises.schemas(texts, uses)

    def _read(self, raw: bytes, tree: dict[str, object]) -> tuple[Unit, ...]:
        slots: tuple[Slot, ...] = ()
        closes: tuple[Hashable, ...] = ()
        match tree.get("type"):
            case "message_start":
                self._begun(object_of(tree.get("message")))
            case "content_block_start":
                slots = self._started(tree)
            case "content_block_delta":
                slots, closes = self._delta(tree)
            case "content_block_stop":
                closes = self._closed(_index(tree))
            case "message_delta":
                # says how the answer ended: the agent may go on from here
                self._holding = True
                self._note_usage(tree.get("usage"))
                self._note_stop(object_of(tree.get("delta")))
                closes = self._closed(None)
            case "message_stop":
                self._holding = self._done = True
                closes = self._closed(None)
            case "error":
                self._failed = True
                hold = self._holding or not self._shows_errors
                return (Unit(raw=raw, tree=tree, closes=self._closed(None), hold=hold),)
            case _:
                pass
        return (Unit(raw=raw, tree=tree, slots=slots, closes=closes, hold=self._holding),)

    # -- inside

    def _started(self, tree: dict[str, object]) -> tuple[Slot, ...]:
        block, index = object_of(tree.get("content_block")), _index(tree)
        kind = str(block.get("type"))
        if kind not in _ONLY_SHOWN and not kind.endswith("_tool_result"):
            # a tool call may be acted on as soon as it parses: nothing of it leaves before the journal has it
            self._holding = True
        self._note_block(index, block)
        if isinstance(block.get("text"), str):
            return (self._slot("text_delta", index, ("content_block", "text")),)
        if kind == "thinking" and isinstance(block.get("thinking"), str) and self._thinking != "keep":
            return (self._slot("thinking_delta", index, ("content_block", "thinking")),)
        return ()

    def _delta(self, tree: dict[str, object]) -> tuple[tuple[Slot, ...], tuple[Hashable, ...]]:
        delta, index = object_of(tree.get("delta")), _index(tree)
        kind = str(delta.get("type"))
        if kind == "signature_delta":  # the thinking it signs goes before it
            thinking = ("thinking_delta", index)
            closes = (thinking,) if thinking in self._open else ()
            self._open.difference_update(closes)
            return (), closes
        name = _DELTAS.get(kind)
        if name is None or not isinstance(text := delta.get(name), str):
            return (), ()
        if kind == "input_json_delta":
            self._inputs.setdefault(index, []).append(text)
        if kind == "thinking_delta" and self._thinking == "keep":
            return (), ()
        return (self._slot(kind, index, ("delta", name)),), ()

    def _slot(self, kind: str, index: int, path: tuple[str | int, ...]) -> Slot:
        self._open.add((kind, index))
        typed = None
        if kind == "input_json_delta":
            typed = self._promises.tool_slots(self._uses.get(index, {}).get("name"))
        elif kind == "text_delta":
            typed = self._promises.text_slots
        return Slot((kind, index), path, self._slot_kind(kind), typed)

    def _slot_kind(self, kind: str) -> SlotKind:
        if kind == "thinking_delta" and self._thinking == "fixed":
            return "fixed"
        is_json = kind == "input_json_delta" or (kind == "text_delta" and self._promises.text is not None)
        return "json" if is_json else "text"

    def _closed(self, index: int | None) -> tuple[Hashable, ...]:
        closes = tuple(sorted(key for key in self._open if index is None or key[1] == index))
        self._open.difference_update(closes)
        return closes

    def _begun(self, message: dict[str, object]) -> None:
        self._note_usage(message.get("usage"))
        if self._keeps_id:
            self._made.append(message.get("id"))

    def _note_usage(self, usage: object) -> None:
        # counts of later events are totals; those left out stay as they were
        for name, count in object_of(usage).items():
            if isinstance(count, int):
                self._usage[name] = count

    def _note_stop(self, said: dict[str, object]) -> None:
        if isinstance(reason := said.get("stop_reason"), str):
            self._finish = reason
        self._made.append(object_of(said.get("container")).get("id"))

    def _note_block(self, at: int, block: dict[str, object]) -> None:
        if block.get("type") == "tool_use":
            self._uses[at] = block
        elif str(block.get("type")) in _MAKING:  # what a model or a foreign server writes hands out nothing
            self._made += named(block)

    def _input(self, at: int) -> object:
        parts = self._inputs.get(at)
        if not parts or not (text := "".join(parts)):
            return self._uses[at].get("input")
        try:
            return body.parse(text.encode())
        except body.MalformedBody:
            return text


def _counted(usage: dict[str, int]) -> dict[str, int]:
    """Return usage in the gateway's words: input is all of it, of which some was cached or is cached now."""
    read, written = usage.get("cache_read_input_tokens", 0), usage.get("cache_creation_input_tokens", 0)
    counted = {
        "input_tokens": usage.get("input_tokens", 0) + read + written,
        "output_tokens": usage.get("output_tokens", 0),
    }
    if "cache_read_input_tokens" in usage:
        counted["cached_input_tokens"] = read
    if "cache_creation_input_tokens" in usage:
        counted["cache_write_tokens"] = written
    return counted


def _index(tree: dict[str, object]) -> int:
    index = tree.get("index")
    return index if isinstance(index, int) else 0
