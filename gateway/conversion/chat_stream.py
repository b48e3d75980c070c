"""The events of a message said as chunks of a chat completion, one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway import body
from gateway.call import Sent
from gateway.conversion.answers import refused
from gateway.conversion.carried import CannotCarry, a_text, an_object, whole
from gateway.conversion.usage import chat_error, chat_usage, finish_reason

if TYPE_CHECKING:
    from gateway.conversion.carried import Tree

_DONE: Final = b"data: [DONE]\n\n"
#: An error inside a stream has no status of its own.
_FAILED: Final = 500


class ChatStream:
    """Takes events, gives chunks. `created` is in seconds since the epoch; `shows_usage` as the client asked."""

    def __init__(self, *, created: int, shows_usage: bool) -> None:
        self._created = created
        self._shows_usage = shows_usage
        self._id: object = "chatcmpl"
        self._model: object = ""
        self._calls = -1
        #: whole arguments that came with a call's beginning, until a piece of them comes
        self._given: Tree | None = None
        self._over = False
        self.usage: Tree = {}

    def event(self, tree: Tree) -> bytes:
        """Return the chunks that say an event; empty where it says nothing. Raises `CannotCarry`."""
        match tree.get("type"):
            case "message_start":
                message = an_object(tree.get("message"), "message")
                self._id, self._model = message.get("id"), message.get("model")
                self._note(message.get("usage"))
                said = self._chunk({"role": "assistant", "content": ""})
            case "content_block_start":
                said = self._started(an_object(tree.get("content_block"), "content_block"))
            case "content_block_delta":
                said = self._delta(an_object(tree.get("delta"), "delta"))
            case "content_block_stop":
                given, self._given = self._given, None
                said = b"" if given is None else self._arguments(body.encode(given).decode())
            case "message_delta":
                self._note(tree.get("usage"))
                said = self._stopped(an_object(tree.get("delta"), "delta"))
            case "message_stop":
                self._over = True
                said = self._ended()
            case "error":
                self._over = True
                said = b"data: " + body.encode(chat_error(_FAILED, tree)) + b"\n\n"
            case _:  # ping, and what came after this was written
                said = b""
        return said

    def done(self) -> bytes:
        """Return nothing: a message says its own end. Raises `Sent` where it did not."""
        if not self._over:  # its reason to stop came before, and would be proof enough in a chat
            raise Sent("the stream ended before its last event")
        return b""

    def _started(self, block: Tree) -> bytes:
        match block.get("type"):
            case "text":
                text = a_text(block.get("text"), "content_block.text")
                return self._chunk({"content": text}) if text else b""
            case "thinking":
                thought = a_text(block.get("thinking"), "content_block.thinking")
                return self._chunk({"reasoning_content": thought}) if thought else b""
            case "redacted_thinking":
                return b""
            case "tool_use":
                self._calls += 1
                self._given = an_object(block.get("input") or {}, "content_block.input")
                function: Tree = {"name": block.get("name"), "arguments": ""}
                return self._call({"id": block.get("id"), "type": "function", "function": function})
            case _:
                raise CannotCarry("content_block.type", "cannot be said in the other protocol")

    def _delta(self, delta: Tree) -> bytes:
        match delta.get("type"):
            case "text_delta":
                return self._chunk({"content": a_text(delta.get("text"), "delta.text")})
            case "thinking_delta":
                return self._chunk({"reasoning_content": a_text(delta.get("thinking"), "delta.thinking")})
            case "input_json_delta":
                piece = a_text(delta.get("partial_json"), "delta.partial_json")
                if piece:
                    self._given = None
                return self._arguments(piece) if piece else b""
            case "signature_delta":  # for its provider only
                return b""
            case _:
                raise CannotCarry("delta.type", "cannot be said in the other protocol")

    def _arguments(self, piece: str) -> bytes:
        return self._call({"function": {"arguments": piece}})

    def _call(self, call: Tree) -> bytes:
        calls: list[object] = [{"index": self._calls, **call}]
        return self._chunk({"tool_calls": calls})

    def _stopped(self, delta: Tree) -> bytes:
        why = refused(delta)
        said = b"" if why is None else self._chunk({"refusal": why})
        return said + self._chunk({}, finish=finish_reason(delta.get("stop_reason")) or "stop")

    def _ended(self) -> bytes:
        if not self._shows_usage:
            return _DONE
        nothing: list[object] = []
        counted = {**self._around(), "choices": nothing, "usage": chat_usage(self.usage)}
        return b"data: " + body.encode(counted) + b"\n\n" + _DONE

    def _chunk(self, delta: Tree, *, finish: str | None = None) -> bytes:
        choices: list[object] = [{"index": 0, "delta": delta, "finish_reason": finish}]
        return b"data: " + body.encode({**self._around(), "choices": choices}) + b"\n\n"

    def _around(self) -> Tree:
        return {"id": self._id, "object": "chat.completion.chunk", "created": self._created, "model": self._model}

    def _note(self, usage: object) -> None:
        # counts are totals; those left out stay as they were
        self.usage |= {name: count for name, count in an_object(usage or {}, "usage").items() if count is not None}


def counted(usage: Tree) -> dict[str, int]:
    """Return usage of the messages protocol in the gateway's words."""
    said = chat_usage(usage)
    details = an_object(said["prompt_tokens_details"], "usage")
    return {
        "input_tokens": whole(said["prompt_tokens"]), "output_tokens": whole(said["completion_tokens"]),
        "cached_input_tokens": whole(details.get("cached_tokens")),
        "cache_write_tokens": whole(details.get("cache_write_tokens")),
    }  # fmt: skip
