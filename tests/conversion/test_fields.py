"""Nothing of a request is dropped in silence: every field of the SDKs' types is carried, named, refused, or listed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from anthropic.types.beta.message_create_params import MessageCreateParamsNonStreaming as BetaMessages
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming as Messages
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming as Chat

from gateway.conversion.carried import CannotCarry, Terms
from gateway.conversion.chat_request import to_messages
from gateway.conversion.messages_request import to_chat
from tests.conversion.fields import added

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.conversion.carried import Converted, Tree
    from tests.conversion.fields import Added

Said = tuple["Tree", tuple[str, ...]] | str

_TERMS: Final = Terms(output_tokens_max=9)
_MESSAGES: Final[Tree] = {
    "model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}],
    "tools": [{"name": "f", "input_schema": {"type": "object"}}],
}  # fmt: skip
_CHAT: Final[Tree] = {
    "model": "m", "messages": [{"role": "user", "content": "hi"}],
    "tools": [{"type": "function", "function": {"name": "f"}}],
}  # fmt: skip
#: Values that ask for nothing, or for what the other protocol does unasked: nothing is lost without them.
_ASK_NOTHING: Final[Mapping[str, tuple[object, ...]]] = {
    # messages
    "messages.content.citations": ({},), "messages.content.citations.enabled": (False,),
    "messages.content.is_error": (False,), "metadata": ({},), "output_config": ({},), "speed": ("standard",),
    # how much a model thinks by itself is said by `effort`
    "thinking": ({"type": "adaptive"},),
    "tool_choice.disable_parallel_tool_use": (False,),
    "tools.allowed_callers": (["direct"],), "tools.defer_loading": (False,), "tools.type": ("custom",),
    # chat
    "logprobs": (False,), "modalities": (["text"],), "n": (1,), "parallel_tool_calls": (True,),
    "response_format": ({"type": "text"},), "store": (False,), "verbosity": ("medium",),
    # the gateway always asks for usage, and shows it to who asked; nothing is padded here
    "stream_options": ({},), "stream_options.include_usage": (True, False),
    "stream_options.include_obfuscation": (True, False),
}  # fmt: skip


@pytest.mark.requirement("CONV-03")
@pytest.mark.parametrize(
    ("kind", "whole", "convert", "least"),
    [(Messages, _MESSAGES, to_chat, 900), (BetaMessages, _MESSAGES, to_chat, 3900), (Chat, _CHAT, to_messages, 130)],
    ids=["messages", "beta messages", "chat"],
)
def test_every_field_of_the_sdks_types_is_carried_named_refused_or_asks_for_nothing(
    kind: object, whole: Tree, convert: Callable[[Tree, Terms], Converted], least: int
) -> None:
    fields = list(added(kind, whole))
    silent = [one for one in fields if _is_silent(one, convert)]
    assert [(one.path, one.value) for one in silent if one.value not in _ASK_NOTHING.get(one.path, ())] == []
    # the types were walked, and did not become opaque
    assert len(fields) >= least


@pytest.mark.requirement("CONV-03")
def test_what_asks_for_nothing_is_a_field_of_some_type() -> None:
    known = {one.path for kind, whole in ((BetaMessages, _MESSAGES), (Chat, _CHAT)) for one in added(kind, whole)}
    assert set(_ASK_NOTHING) <= known


@pytest.mark.requirement("CONV-04")
def test_a_second_name_of_the_user_is_named_where_there_is_a_place_for_one() -> None:
    assert to_messages({**_CHAT, "user": "a", "safety_identifier": "b"}, _TERMS).left_out == ("user",)


def _is_silent(one: Added, convert: Callable[[Tree, Terms], Converted]) -> bool:
    """Return whether the field makes no difference, and neither it nor what it stands in is named as left out."""
    before, after = _said(one.before, convert), _said(one.request, convert)
    if isinstance(before, str) or before != after:
        return False
    named = {".".join(part for part in name.split(".") if part != "*") for name in before[1]}
    return not any(one.path == name or one.path.startswith(f"{name}.") for name in named)


def _said(request: Tree, convert: Callable[[Tree, Terms], Converted]) -> Said:
    try:
        converted = convert(request, _TERMS)
    except CannotCarry as error:
        return str(error)
    return converted.tree, converted.left_out
