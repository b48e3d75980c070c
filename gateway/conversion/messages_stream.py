"""The chunks of a chat completion said as the events of a message, one by one.

Tool calls are said at the end, each whole: a chat stream may mix the pieces of several, and nothing of them would
reach the agent before the end anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from gateway import body
from gateway.conversion.answers import arguments_of, thought_in
from gateway.conversion.carried import CannotCarry, a_text, an_object, objects, whole
from gateway.conversion.usage import messages_error, messages_usage, stop_reason
from gateway.sse import event

if TYPE_CHECKING:
    from gateway.conversion.carried import Tree

#: An error inside a stream has no status of its own.
_FAILED: Final = 500


@dataclass(slots=True)
class _Call:
    id: object = None
    name: str = ""
    arguments: str = ""


class MessagesStream:
    """Takes chunks, gives events."""

    def __init__(self) -> None:
        self._begun = False
        self._over = False
        self._blocks = 0
        #: the kind of the block that is open
        self._open: str | None = None
        self._calls: dict[int, _Call] = {}
        self._stop: str | None = None
        self._refusal = ""
        self.usage: Tree = {}

    def event(self, tree: Tree) -> bytes:
        """Return the events that say a chunk; empty where it says nothing yet. Raises `CannotCarry`."""
        if "error" in tree:
            return _frame(messages_error(_FAILED, tree))
        said = b"" if self._begun else self._start(tree)
        if tree.get("usage") is not None:
            self.usage = messages_usage(an_object(tree["usage"], "usage"))
        for _, choice in objects(tree.get("choices"), "choices"):
            if choice.get("index", 0) != 0:
                raise CannotCarry("choices", "must be one")
            said += self._delta(an_object(choice.get("delta") or {}, "delta"))
            self._stop = stop_reason(choice.get("finish_reason")) or self._stop
        return said

    def done(self) -> bytes:
        """Return the message's end, with its tool calls; nothing where no chunk said that it ends."""
        if self._over or self._stop is None:
            return b""
        self._over = True
        said = self._closed()
        for place in sorted(self._calls):
            said += self._use(self._calls[place], f"tool_calls.{place}")
        ended: Tree = {"stop_reason": "refusal" if self._refusal else self._stop, "stop_sequence": None}
        if self._refusal:
            ended["stop_details"] = {"type": "refusal", "explanation": self._refusal}
        usage = self.usage or {"output_tokens": 0}
        return (
            said + _frame({"type": "message_delta", "delta": ended, "usage": usage}) + _frame({"type": "message_stop"})
        )

    def _start(self, chunk: Tree) -> bytes:
        self._begun = True
        nothing: list[object] = []
        message: Tree = {
            "id": chunk.get("id"), "type": "message", "role": "assistant", "model": chunk.get("model"),
            "content": nothing, "stop_reason": None, "stop_sequence": None,
            # a chat stream counts at its end; the totals come with the message's last event but one
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }  # fmt: skip
        return _frame({"type": "message_start", "message": message})

    def _delta(self, delta: Tree) -> bytes:
        said = b""
        if thought := thought_in(delta):
            said += self._piece("thinking", "thinking_delta", thought)
        for name in ("content", "refusal"):
            if text := delta.get(name):
                said += self._piece("text", "text_delta", a_text(text, f"delta.{name}"))
        self._refusal += cast("str", delta.get("refusal") or "")
        for path, call in objects(delta.get("tool_calls"), "delta.tool_calls"):
            self._note(call, path)
        return said

    def _note(self, call: Tree, path: str) -> None:
        place = whole(call.get("index"))
        known = self._calls.setdefault(place, _Call())
        known.id = call.get("id") or known.id
        function = an_object(call.get("function") or {}, f"{path}.function")
        known.name += a_text(function.get("name") or "", f"{path}.function.name")
        known.arguments += a_text(function.get("arguments") or "", f"{path}.function.arguments")

    def _piece(self, kind: str, delta: str, text: str) -> bytes:
        said = b""
        if self._open != kind:
            said += self._closed()
            signed: Tree = {"signature": ""} if kind == "thinking" else {}
            block: Tree = {"type": kind, kind: "", **signed}
            said += _frame({"type": "content_block_start", "index": self._blocks, "content_block": block})
            self._open = kind
        piece = {"type": delta, kind: text}
        return said + _frame({"type": "content_block_delta", "index": self._blocks, "delta": piece})

    def _closed(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        self._blocks += 1
        return _frame({"type": "content_block_stop", "index": self._blocks - 1})

    def _use(self, call: _Call, path: str) -> bytes:
        given = body.encode(arguments_of(call.arguments, path)).decode()
        block: Tree = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        index, self._blocks = self._blocks, self._blocks + 1
        delta: Tree = {"type": "input_json_delta", "partial_json": given}
        return (
            _frame({"type": "content_block_start", "index": index, "content_block": block})
            + _frame({"type": "content_block_delta", "index": index, "delta": delta})
            + _frame({"type": "content_block_stop", "index": index})
        )


def _frame(tree: Tree) -> bytes:
    return event(body.encode(tree), name=str(tree["type"]))
