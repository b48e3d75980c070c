"""Reads a message, plain or streamed, as it arrives (Anthropic API reference, messages and streaming)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, cast

from gateway import body
from gateway.call import Sent, Slot, Unit, Verdict, header
from gateway.providers.objects import kept, named
from gateway.sse import EventSplitter, EventTooLong, event
from gateway.sse import read as read_event
from redaction.finding import Shape

if TYPE_CHECKING:
    from collections.abc import Hashable

    from gateway.call import Headers, SlotKind

#: Structure of a content block, wherever one stands.
_BLOCK: Final = (
    "type", "id", "name", "tool_use_id", "signature", "data", "caller.**", "toolset_name", "encrypted_content",
    "content.type", "content.error_code", "content.*.type", "content.*.encrypted_content", "content.*.file_id",
    "content.encrypted_stdout", "citations.*.type", "citations.*.encrypted_index", "citations.*.file_id", "file_id",
)  # fmt: skip
_KEEP: Final = (
    "type", "id", "role", "model", "index", "stop_reason", "usage.**", "container.id", "container.expires_at",
    "error.type", "request_id", "input_tokens", "context_management.**",
    *(f"content.*.{name}" for name in _BLOCK),
    "message.id", "message.type", "message.role", "message.model", "message.usage.**", "message.stop_reason",
    *(f"message.content.*.{name}" for name in _BLOCK),
    *(f"content_block.{name}" for name in _BLOCK),
    "delta.type", "delta.signature", "delta.stop_reason", "delta.container.id", "delta.citation.type",
    "delta.citation.encrypted_index", "delta.citation.file_id",
)  # fmt: skip
_THINKING: Final = ("content.*.thinking", "message.content.*.thinking", "content_block.thinking")
#: A thinking text is signed by the provider and must come back to it unchanged: it passes as it is, or not at all.
_SHAPES: Final = {
    "fixed": Shape(keep=_KEEP, fixed=_THINKING),
    "keep": Shape(keep=(*_KEEP, *_THINKING, "delta.thinking")),
    "text": Shape(keep=_KEEP),
}

#: Answer headers worth keeping for the agent; the rest belongs to the connection to the provider.
_KEPT_HEADERS: Final = (b"retry-after", b"retry-after-ms", b"request-id", b"x-should-retry")
_UNKNOWN: Final = frozenset({408, 409})
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
    rb'(?:[^"\\\x00-\x1f]|\\["\\/bfnrt])*"\} *\} *\n\n'
)
_DELTAS: Final[dict[str, str]] = {
    "text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json",
}  # fmt: skip


class MessagesReader:
    """Units of one answer: the whole body, or one unit per stream event.

    `not_executed` are the statuses after which it is known that nothing was executed; asking again asks the
    same. `thinking` is `fixed` where its signature forbids to change it, `keep` where it passes uninspected,
    `text` where nobody has signed it. `shows_errors` lets the provider's error inside a stream pass to the agent
    (else the gateway's own takes its place). `origin` is whose the objects are that the answer hands out.
    """

    def __init__(
        self, *, not_executed: frozenset[int] = frozenset({401, 429}),
        thinking: Literal["fixed", "keep", "text"] = "fixed", shows_errors: bool = True, origin: str = "",
    ) -> None:  # fmt: skip
        self.shape: Shape = _SHAPES[thinking]
        self._not_executed = not_executed
        self._origin = origin
        self._made: list[object] = []
        self._thinking = thinking
        self._shows_errors = shows_errors
        self._status = 0
        self._media = "application/json"
        self._headers: dict[str, str] = {}
        self._splitter: EventSplitter | None = None
        self._plain: list[bytes] = []
        self._holding = False
        self._stopped = False
        self._failed = False
        self._open: set[tuple[str, int]] = set()
        self._usage: dict[str, int] = {}
        self._finish: str | None = None
        self._uses: dict[int, dict[str, object]] = {}
        self._inputs: dict[int, list[str]] = {}

    def begin(self, status: int, headers: Headers) -> None:
        """Take the answer's head; a stream is what says it is one."""
        self._status = status
        self._media = (header(headers, b"content-type") or b"application/json").decode("latin-1")
        self._headers = {
            name.decode(): value.decode("latin-1")
            for name in _KEPT_HEADERS
            if (value := header(headers, name)) is not None
        }
        if self._media.startswith("text/event-stream"):
            self._splitter = EventSplitter()

    def feed(self, chunk: bytes) -> list[Unit]:
        """Return the stream events that `chunk` completes; nothing before the end of a plain body."""
        return [self._event(raw) for raw in self._split(chunk)]

    def skim(self, chunk: bytes) -> list[Unit]:
        """Return what `feed` returns, those units that may leave at once joined to one without tree."""
        units: list[Unit] = []
        joined: list[bytes] = []
        for raw in self._split(chunk):
            if not self._holding and _USUAL.fullmatch(raw) is not None and (raw.isascii() or _utf8(raw)):
                joined.append(raw)
                continue
            unit = self._event(raw)
            if not unit.hold:
                joined.append(raw)
                continue
            if joined:
                units.append(Unit(raw=b"".join(joined)))
                joined = []
            units.append(unit)
        if joined:
            units.append(Unit(raw=b"".join(joined)))
        return units

    def end(self) -> list[Unit]:
        """Return the whole body of a plain answer. Raises `Sent` when a stream ended before its end."""
        if self._splitter is None:
            return [self._whole(b"".join(self._plain))]
        if self._failed or not self._stopped or self._splitter.rest().strip():
            raise Sent("the stream ended before its last event")
        return []

    def encode(self, unit: Unit, tree: object) -> bytes:
        """Return `tree` framed like `unit`."""
        del unit
        encoded = body.encode(tree)
        if self._splitter is None:
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

    def verdict(self) -> Verdict:
        """Say what the answer proves."""
        meta: dict[str, object] = {"headers": self._headers}
        if self._usage:
            meta["usage"] = _counted(self._usage)
        if self._finish is not None:
            meta["finish"] = [self._finish]
        if made := kept(self._made):
            meta["objects"] = {"origin": self._origin, "ids": made}
        form = "body" if self._splitter is None else "frames"
        if self._status in self._not_executed:
            return Verdict(kind="not_executed", form=form, status=self._status, media=self._media,
                           reason=f"upstream answered {self._status}", meta=meta)  # fmt: skip
        if self._status in _UNKNOWN or self._status >= 500:  # noqa: PLR2004 - RFC 9110 section 15.6
            return Verdict(kind="unknown", form=form, status=self._status, media=self._media,
                           reason=f"upstream answered {self._status}", meta=meta)  # fmt: skip
        return Verdict(kind="outcome", form=form, status=self._status, media=self._media, meta=meta)

    def tool_uses(self) -> list[dict[str, object]]:
        """Return the `tool_use` blocks of the answer, in order, their `input` parsed where it was streamed."""
        return [{**self._uses[at], "input": self._input(at)} for at in sorted(self._uses)]

    def _split(self, chunk: bytes) -> list[bytes]:
        if self._splitter is None:
            self._plain.append(chunk)
            return []
        try:
            return self._splitter.split(chunk)
        except EventTooLong:
            raise Sent("an event of the stream is too long") from None

    def _whole(self, raw: bytes) -> Unit:
        try:
            tree: object = body.parse(raw)
        except body.MalformedBody:
            if self._status < 400:  # noqa: PLR2004 - an error page need not be JSON, a message must
                raise Sent("the answer is not usable JSON") from None
            error = {"type": "api_error", "message": raw.decode("utf-8", "replace")}
            return Unit(raw=raw, tree={"type": "error", "error": error}, hold=True, final=True)
        if isinstance(tree, dict):
            message = cast("dict[str, object]", tree)
            self._note_usage(message.get("usage"))
            self._note_stop(message)
            for at, block in enumerate(_objects(message.get("content"))):
                self._note_block(at, block)
        return Unit(raw=raw, tree=cast("object", tree), hold=True, final=True)

    def _event(self, raw: bytes) -> Unit:
        data = read_event(raw).data
        if data is None:
            return Unit(raw=raw, hold=self._holding)
        try:
            tree = body.parse(data)
        except body.MalformedBody:
            raise Sent("an event of the stream is not usable JSON") from None
        if not isinstance(tree, dict):
            raise Sent("an event of the stream is not a JSON object")
        return self._read(raw, cast("dict[str, object]", tree))

    def _read(self, raw: bytes, tree: dict[str, object]) -> Unit:
        slots: tuple[Slot, ...] = ()
        closes: tuple[Hashable, ...] = ()
        match tree.get("type"):
            case "message_start":
                self._note_usage(_object(tree.get("message")).get("usage"))
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
                self._note_stop(_object(tree.get("delta")))
                closes = self._closed(None)
            case "message_stop":
                self._holding = self._stopped = True
                closes = self._closed(None)
            case "error":
                self._failed = True
                return Unit(raw=raw, tree=tree, closes=self._closed(None), hold=self._holding or not self._shows_errors)
            case _:
                pass
        return Unit(raw=raw, tree=tree, slots=slots, closes=closes, hold=self._holding)

    def _started(self, tree: dict[str, object]) -> tuple[Slot, ...]:
        block, index = _object(tree.get("content_block")), _index(tree)
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
        delta, index = _object(tree.get("delta")), _index(tree)
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
        return Slot((kind, index), path, self._slot_kind(kind))

    def _slot_kind(self, kind: str) -> SlotKind:
        if kind == "thinking_delta" and self._thinking == "fixed":
            return "fixed"
        return "json" if kind == "input_json_delta" else "text"

    def _closed(self, index: int | None) -> tuple[Hashable, ...]:
        closes = tuple(sorted(key for key in self._open if index is None or key[1] == index))
        self._open.difference_update(closes)
        return closes

    def _note_usage(self, usage: object) -> None:
        # counts of later events are totals; those left out stay as they were
        for name, count in _object(usage).items():
            if isinstance(count, int):
                self._usage[name] = count

    def _note_stop(self, said: dict[str, object]) -> None:
        if isinstance(reason := said.get("stop_reason"), str):
            self._finish = reason
        self._made.append(_object(said.get("container")).get("id"))

    def _note_block(self, at: int, block: dict[str, object]) -> None:
        if block.get("type") == "tool_use":
            self._uses[at] = block
        elif block.get("type") in _MAKING:  # what a model or a foreign server writes hands out nothing
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


def _object(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _objects(value: object) -> list[dict[str, object]]:
    if not isinstance(value, list):
        return []
    return [cast("dict[str, object]", item) for item in cast("list[object]", value) if isinstance(item, dict)]


def _utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
