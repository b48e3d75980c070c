"""What the official SDKs' types accept: requests by their parameter types, answers and events by their models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)
from pydantic import TypeAdapter

from gateway import body

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.conversion.carried import Tree

_MESSAGES: Final = TypeAdapter(MessageCreateParamsNonStreaming | MessageCreateParamsStreaming)
_CHAT: Final = TypeAdapter(CompletionCreateParamsNonStreaming | CompletionCreateParamsStreaming)
_EVENT: Final[TypeAdapter[RawMessageStreamEvent]] = TypeAdapter(RawMessageStreamEvent)
#: Sampling parameters that the API takes for older models and the SDK has no argument for any more.
_OLDER: Final = frozenset({"temperature", "top_p"})


def demand_messages_request(tree: Tree) -> None:
    """Assert that the parameters of `messages.create` are these."""
    plain = cast("Tree", body.plain(tree))
    known = MessageCreateParamsNonStreaming.__annotations__ | MessageCreateParamsStreaming.__annotations__
    known |= MessageCreateParamsNonStreaming.__mro__[0].__annotations__
    assert set(plain) - _OLDER <= {*known, *_fields(MessageCreateParamsNonStreaming)}
    _walk(_MESSAGES.validate_python({name: value for name, value in plain.items() if name not in _OLDER}))


def demand_chat_request(tree: Tree) -> None:
    """Assert that the parameters of `chat.completions.create` are these."""
    plain = cast("Tree", body.plain(tree))
    assert set(plain) <= set(_fields(CompletionCreateParamsStreaming))
    _walk(_CHAT.validate_python(plain))


def demand_message(tree: Tree) -> Message:
    """Return the SDK's message of an answer, which it must accept as it is."""
    return Message.model_validate(body.plain(tree), strict=True)


def demand_completion(tree: Tree) -> ChatCompletion:
    """Return the SDK's completion of an answer, which it must accept as it is."""
    return ChatCompletion.model_validate(body.plain(tree), strict=True)


def demand_chunk(tree: Tree) -> ChatCompletionChunk:
    """Return the SDK's chunk."""
    return ChatCompletionChunk.model_validate(body.plain(tree), strict=True)


def demand_event(tree: Tree) -> RawMessageStreamEvent:
    """Return the SDK's event."""
    return _EVENT.validate_python(body.plain(tree), strict=True)


def _fields(kind: type) -> Iterable[str]:
    return cast("frozenset[str]", kind.__required_keys__ | kind.__optional_keys__)  # type: ignore[attr-defined] - of every TypedDict


def _walk(value: object) -> None:
    """Look at everything: what the types call iterable is validated as it is iterated."""
    if isinstance(value, dict):
        for inner in cast("Tree", value).values():
            _walk(inner)
    elif hasattr(value, "__iter__") and not isinstance(value, str | bytes):
        for inner in cast("Iterable[object]", value):
            _walk(inner)
