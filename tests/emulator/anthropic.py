"""Anthropic's wire protocol as its API speaks it: messages, their events, token counts and error objects."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from tests.emulator.faults import Answer, Emulator, Received, plain, streamed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Tree = dict[str, object]


def text(said: str) -> Tree:
    return {"type": "text", "text": said}


def tool_use(name: str, arguments: Tree, use_id: str = "toolu_01") -> Tree:
    return {"type": "tool_use", "id": use_id, "name": name, "input": arguments}


def thinking(said: str, signature: str = "c2lnbmVk") -> Tree:
    return {"type": "thinking", "thinking": said, "signature": signature}


def message(*blocks: Tree, stop: str | None = None, **more: object) -> Tree:
    calls = any(block["type"] == "tool_use" for block in blocks)
    usage = {"input_tokens": 11, "output_tokens": 7, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 0}
    return {"id": "msg_01", "type": "message", "role": "assistant", "model": "claude-up", "content": list(blocks),
            "stop_reason": stop or ("tool_use" if calls else "end_turn"), "stop_sequence": None, "usage": usage,
            **more}  # fmt: skip


def event(tree: Tree) -> bytes:
    return f"event: {tree['type']}\ndata: {json.dumps(tree, ensure_ascii=False)}\n\n".encode()


def events(whole: Tree, *, piece: int = 3) -> list[Tree]:
    """Return the events of a message, its texts and arguments cut into pieces of `piece` characters."""
    usage = cast("Tree", whole["usage"])
    begun: Tree = {**whole, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    said: list[Tree] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    for index, block in enumerate(cast("list[Tree]", whole["content"])):
        first, deltas = _block(block, piece)
        said.append({"type": "content_block_start", "index": index, "content_block": first})
        for delta in deltas:
            said.append({"type": "content_block_delta", "index": index, "delta": delta})  # noqa: PERF401 - types
        said.append({"type": "content_block_stop", "index": index})
    ended = {"stop_reason": whole["stop_reason"], "stop_sequence": whole.get("stop_sequence")}
    said.append({"type": "message_delta", "delta": ended, "usage": {"output_tokens": usage["output_tokens"]}})
    return [*said, {"type": "message_stop"}]


def stream(whole: Tree, *, piece: int = 3) -> bytes:
    return b"".join(event(one) for one in events(whole, piece=piece))


def error(kind: str, said: str = "the emulator says so") -> Tree:
    return {"type": "error", "error": {"type": kind, "message": said}, "request_id": "req_up"}


def _block(block: Tree, piece: int) -> tuple[Tree, list[Tree]]:
    match block["type"]:
        case "text":
            return {**block, "text": ""}, [{"type": "text_delta", "text": one} for one in _cut(block["text"], piece)]
        case "thinking":
            deltas: list[Tree] = [{"type": "thinking_delta", "thinking": one} for one in _cut(block["thinking"], piece)]
            signed: Tree = {"type": "signature_delta", "signature": block["signature"]}
            return {**block, "thinking": "", "signature": ""}, [*deltas, signed]
        case "tool_use":
            pieces = _cut(json.dumps(block["input"], ensure_ascii=False), piece)
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": one} for one in ["", *pieces]]
        case _:
            return block, []


def _cut(value: object, piece: int) -> Sequence[str]:
    said = cast("str", value)
    return [said[at : at + piece] for at in range(0, len(said), piece)]


class AnthropicEmulator(Emulator):
    """Answers `says(request)` as a message, plain or streamed as asked; `faulty` may take its place once each call."""

    def __init__(self) -> None:
        self.says: Callable[[Tree], Tree] = lambda _: message(text("hello"))
        self.faulty: Callable[[Received], Answer | None] = lambda _: None
        super().__init__(self._answer)

    def fresh(self) -> None:
        self.received.clear()
        self.says = lambda _: message(text("hello"))
        self.faulty = lambda _: None

    def _answer(self, received: Received) -> Answer:
        fault = self.faulty(received)
        if fault is not None:
            return fault
        if received.headers.get("x-api-key") != "upstream-secret":
            return plain(error("authentication_error"), status=401)
        if "anthropic-version" not in received.headers:
            return plain(error("invalid_request_error", "anthropic-version: header is required"), status=400)
        if "/count_tokens" in received.path:
            return plain({"input_tokens": 42})
        whole = self.says(received.tree)
        named = (("request-id", "req_up"),)
        if received.tree.get("stream"):
            found = streamed(stream(whole))
            return Answer(body=found.body, media=found.media, headers=named)
        return plain(whole, headers=named)
